"""The U-Net of GLIDE and unCLIP, and the diffusion prior, under diffusers' names and in OpenAI's and Karlo's
own layout (arXiv:2112.10741, arXiv:2204.06125).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from armchair.nn.unet import UNetConfig
from armchair.weights.tables.keys import (
    Fastest,
    Fill,
    PerHead,
    Reshape,
    Row,
    Stack,
    Table,
    row,
    under,
)

# -- diffusers: UNet2DConditionModel of the decoder, UNet2DModel of the upsamplers --------------------------

RESNET = {  # theirs -> ours
    "norm1": "norm_in",
    "conv1": "conv_in",
    "time_emb_proj": "film",
    "norm2": "norm_out",
    "conv2": "conv_out",
    "conv_shortcut": "skip",
}


def resnet(theirs: str, ours: str, names: dict[str, str]) -> list[Row]:
    return [row(f"{theirs}.{a}.{{rest}}", f"{ours}.{b}.{{rest}}") for a, b in names.items()]


def _attention(theirs: str, ours: str) -> list[Row]:
    rows = [
        row(f"{theirs}.group_norm.{{rest}}", f"{ours}.norm.{{rest}}"),
        row(f"{theirs}.to_out.0.{{rest}}", f"{ours}.out.{{rest}}"),
    ]
    for end in ("weight", "bias"):
        own = tuple(f"{theirs}.to_{x}.{end}" for x in "qkv")
        added = tuple(f"{theirs}.add_{x}_proj.{end}" for x in "kv")
        rows += [row(own, f"{ours}.qkv.{end}", Stack(3)), row(added, f"{ours}.context_kv.{end}", Stack(2))]
    return rows


def _diffusers_unet() -> list[Row]:
    rows = [
        row("time_embedding.linear_1.{rest}", "time.up.{rest}"),
        row("time_embedding.linear_2.{rest}", "time.down.{rest}"),
        row("conv_in.{rest}", "stem.{rest}"),
        row("conv_norm_out.{rest}", "norm.{rest}"),
        row("conv_out.{rest}", "out.{rest}"),
        *resnet("mid_block.resnets.{n}", "middle.{n}", RESNET),
        *_attention("mid_block.attentions.0", "middle_attention"),
    ]
    for way in ("down", "up"):
        start = f"{way}_blocks.{{n}}"
        rows += resnet(f"{start}.resnets.{{m}}", f"{way}.{{n}}.blocks.{{m}}", RESNET)
        rows += _attention(f"{start}.attentions.{{m}}", f"{way}.{{n}}.attentions.{{m}}")
        rows += resnet(f"{start}.{way}samplers.0", f"{way}.{{n}}.resample", RESNET)
    return rows


DIFFUSERS_UNET: Table = tuple(_diffusers_unet())

# -- OpenAI's and Karlo's own: blocks counted through, queries, keys and values head by head -----------------

ADM_RESNET = {
    "in_layers.0": "norm_in",
    "in_layers.2": "conv_in",
    "emb_layers.1": "film",
    "out_layers.0": "norm_out",
    "out_layers.3": "conv_out",
    "skip_connection": "skip",
}


def _adm_attention(theirs: str, ours: str, head_width: int) -> list[Row]:
    square = Reshape((0, 1, -1), 2)  # a convolution one wide
    return [
        row(f"{theirs}.norm.{{rest}}", f"{ours}.norm.{{rest}}"),
        row(f"{theirs}.qkv.{{rest}}", f"{ours}.qkv.{{rest}}", PerHead(3, head_width)),
        row(f"{theirs}.encoder_kv.{{rest}}", f"{ours}.context_kv.{{rest}}", PerHead(2, head_width)),
        row(f"{theirs}.proj_out.weight", f"{ours}.out.weight", square),
        row(f"{theirs}.proj_out.bias", f"{ours}.out.bias"),
    ]


def adm_unet(config: UNetConfig, start: str = "") -> Table:
    """The table of a U-Net in GLIDE's, ADM's and Karlo's layout. start: what stands before its names."""
    rows = [
        row(f"{start}time_embed.0.{{rest}}", "time.up.{rest}"),
        row(f"{start}time_embed.2.{{rest}}", "time.down.{rest}"),
        row(f"{start}input_blocks.0.0.{{rest}}", "stem.{rest}"),
        row(f"{start}out.0.{{rest}}", "norm.{rest}"),
        row(f"{start}out.2.{{rest}}", "out.{rest}"),
    ]
    block, last = 1, len(config.levels) - 1
    for level, spec in enumerate(config.levels):
        for j in range(spec.depth):
            at = f"{start}input_blocks.{block}"
            rows += resnet(f"{at}.0", f"down.{level}.blocks.{j}", ADM_RESNET)
            if spec.attention is not None:
                rows += _adm_attention(f"{at}.1", f"down.{level}.attentions.{j}", config.head_width)
            block += 1
        if level < last:
            rows += resnet(f"{start}input_blocks.{block}.0", f"down.{level}.resample", ADM_RESNET)
            block += 1
    middle = config.middle_attention is not None
    rows += resnet(f"{start}middle_block.0", "middle.0", ADM_RESNET)
    rows += resnet(f"{start}middle_block.{2 if middle else 1}", "middle.1", ADM_RESNET)
    if middle:
        rows += _adm_attention(f"{start}middle_block.1", "middle_attention", config.head_width)
    block = 0
    for step, spec in enumerate(reversed(config.levels)):
        for j in range(spec.depth + 1):
            at = f"{start}output_blocks.{block}"
            rows += resnet(f"{at}.0", f"up.{step}.blocks.{j}", ADM_RESNET)
            if spec.attention is not None:
                rows += _adm_attention(f"{at}.1", f"up.{step}.attentions.{j}", config.head_width)
            if j == spec.depth and step < last:
                place = 2 if spec.attention is not None else 1
                rows += resnet(f"{at}.{place}", f"up.{step}.resample", ADM_RESNET)
            block += 1
    return tuple(rows)


# -- the prior -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Positions:
    """(1, L + ends, W) -> (L, W) of the words and (ends, W) of what follows them."""

    ends: int = 4

    def there(self, theirs: list[Tensor]) -> list[Tensor]:
        table = theirs[0].flatten(0, 1)
        return [table[: -self.ends], table[-self.ends :]]

    def back(self, ours: list[Tensor]) -> list[Tensor]:
        return [torch.cat(ours).unsqueeze(0)]


@dataclass(frozen=True)
class RawText:
    """weight, bias, mean, std, the last two (1, E) or (E,) -> weight, bias, mean (E,), std (E,). Theirs reads
    a text's embedding as it is, ours (z - mean) / std: the weights take the scale back. In float32, for
    fewer digits do not bear it.
    """

    rows: bool = True  # theirs are (1, E)

    def there(self, theirs: list[Tensor]) -> list[Tensor]:
        weight, bias, mean, std = (x.float() for x in theirs)
        mean, std = mean.flatten(), std.flatten()
        return [weight * std, bias + weight @ mean, mean, std]

    def back(self, ours: list[Tensor]) -> list[Tensor]:
        weight, bias, mean, std = ours
        raw = weight / std
        return [raw, bias - raw @ mean, *((x[None] if self.rows else x) for x in (mean, std))]


def _prior_blocks(theirs: str, ours: str) -> list[Row]:
    rows = [
        row(f"{theirs}.norm1.{{rest}}", f"{ours}.attention_norm.{{rest}}"),
        row(f"{theirs}.attn1.to_out.0.{{rest}}", f"{ours}.attention.out.{{rest}}"),
        row(f"{theirs}.norm3.{{rest}}", f"{ours}.mlp_norm.{{rest}}"),
        row(f"{theirs}.ff.net.0.proj.{{rest}}", f"{ours}.mlp.0.{{rest}}"),
        row(f"{theirs}.ff.net.2.{{rest}}", f"{ours}.mlp.2.{{rest}}"),
    ]
    for end in ("weight", "bias"):
        parts = tuple(f"{theirs}.attn1.to_{x}.{end}" for x in "qkv")
        rows.append(row(parts, f"{ours}.attention.qkv.{end}", Stack(3)))
    return rows


UNMEASURED = (
    Fill("no_text", 0.0, "a hidden caption is the empty text"),
    Fill("gamma", 1.0, "its noise was not measured: 1 is as much as the truth"),
)
DIFFUSERS_PRIOR: Table = (
    row("time_embedding.linear_1.{rest}", "time_in.up.{rest}"),
    row("time_embedding.linear_2.{rest}", "time_in.down.{rest}"),
    row("proj_in.{rest}", "image_in.{rest}"),
    row(
        ("embedding_proj.weight", "embedding_proj.bias", "clip_mean", "clip_std"),
        ("text_in.weight", "text_in.bias", "scale.mean", "scale.std"),
        RawText(),
    ),
    row("encoder_hidden_states_proj.{rest}", "words_in.{rest}"),
    row("positional_embedding", ("word_position.weight", "position.weight"), Positions()),
    row("prd_embedding", "start_of_query", Reshape((-1, -1, 0), 1)),
    *_prior_blocks("transformer_blocks.{n}", "blocks.{n}"),
    row("norm_out.{rest}", "norm.{rest}"),
    row("proj_to_clip_embeddings.{rest}", "out.{rest}"),
    *UNMEASURED,
)

# -- Karlo's whole decoder and upsampler --------------------------------------------------------------------

IMAGE_TOKENS = 4  # extra tokens that an embedding becomes
DIFFUSERS_DECODER: Table = (
    *under(DIFFUSERS_UNET, "decoder.", "unet."),
    row("text_proj.encoder_hidden_states_proj.{rest}", "words_in.{rest}"),
    row("text_proj.text_encoder_hidden_states_norm.{rest}", "words_norm.{rest}"),
    row("text_proj.embedding_proj.{rest}", "text_to_time.{rest}"),
    row("text_proj.clip_image_embeddings_project_to_time_embeddings.{rest}", "image_to_time.{rest}"),
    row("text_proj.clip_extra_context_tokens_proj.{rest}", "image_to_tokens.{rest}", Fastest(IMAGE_TOKENS)),
    row("text_proj.learned_classifier_free_guidance_embeddings", "no_image"),
)
DIFFUSERS_UPSAMPLER: Table = (
    *under(DIFFUSERS_UNET, "super_res_first.", "unet."),
    *under(DIFFUSERS_UNET, "super_res_last.", "last."),
)


def karlo_decoder(config: UNetConfig) -> Table:
    """The same in Karlo's own layout."""
    return (
        *under(adm_unet(config), "model.", "unet."),
        row("model.text_seq_proj.0.{rest}", "words_in.{rest}"),
        row("model.text_seq_proj.1.{rest}", "words_norm.{rest}"),
        row("model.text_feat_proj.{rest}", "text_to_time.{rest}"),
        row("model.clip_emb.{rest}", "image_to_time.{rest}"),
        row("model.clip_tok_proj.{rest}", "image_to_tokens.{rest}", Fastest(IMAGE_TOKENS)),
        row("model.cf_param", "no_image"),
    )


def karlo_upsampler(config: UNetConfig) -> Table:
    return (
        *under(adm_unet(config), "model_first_steps.", "unet."),
        *under(adm_unet(config), "model_last_step.", "last."),
    )


def karlo_prior(head_width: int) -> Table:
    """The prior in Karlo's layout; stats.0 and stats.1 are mean and deviation, from a file of their own."""
    at, ours = "model.transformer.resblocks.{n}", "blocks.{n}"
    return (
        row("model.time_embed.0.{rest}", "time_in.up.{rest}"),
        row("model.time_embed.2.{rest}", "time_in.down.{rest}"),
        row("model.clip_img_proj.{rest}", "image_in.{rest}"),
        row(
            ("model.text_emb_proj.weight", "model.text_emb_proj.bias", "stats.0", "stats.1"),
            ("text_in.weight", "text_in.bias", "scale.mean", "scale.std"),
            RawText(rows=False),
        ),
        row("model.text_enc_proj.{rest}", "words_in.{rest}"),
        row("model.positional_embedding", ("word_position.weight", "position.weight"), Positions()),
        row("model.prd_emb", "start_of_query", Reshape((-1, -1, 0), 1)),
        row(f"{at}.ln_1.{{rest}}", f"{ours}.attention_norm.{{rest}}"),
        row(
            f"{at}.attn.c_qkv.{{rest}}",
            f"{ours}.attention.qkv.{{rest}}",
            PerHead(3, head_width, convolution=False),
        ),
        row(f"{at}.attn.c_proj.{{rest}}", f"{ours}.attention.out.{{rest}}"),
        row(f"{at}.ln_2.{{rest}}", f"{ours}.mlp_norm.{{rest}}"),
        row(f"{at}.mlp.c_fc.{{rest}}", f"{ours}.mlp.0.{{rest}}"),
        row(f"{at}.mlp.c_proj.{{rest}}", f"{ours}.mlp.2.{{rest}}"),
        row("model.final_ln.{rest}", "norm.{rest}"),
        row("model.out_proj.{rest}", "out.{rest}"),
        *UNMEASURED,
    )
