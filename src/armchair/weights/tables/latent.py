"""Latent diffusion under diffusers' names and in the layout of CompVis' checkpoints: Stable Diffusion's
U-Net, its autoencoder and text tower, T5's encoder, the consistency decoder (arXiv:2112.10752, 1910.10683).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from armchair.nn.autoencoder import AutoencoderConfig
from armchair.nn.unet import UNetConfig
from armchair.weights.tables.clip import HUGGING_FACE, OPENAI_VIT
from armchair.weights.tables.keys import Drop, Fill, Row, Stack, Table, row, under
from armchair.weights.tables.unet import ADM_RESNET, DIFFUSERS_UNET, RESNET, resnet


@dataclass(frozen=True)
class Pointwise:
    """A linear layer, which may have been published as a convolution one wide: (A, B) or (A, B, 1, 1)."""

    convolution: bool

    def there(self, theirs: list[Tensor]) -> list[Tensor]:
        return [x.flatten(1) for x in theirs]

    def back(self, ours: list[Tensor]) -> list[Tensor]:
        return [x[..., None, None] if self.convolution else x for x in ours]


@dataclass(frozen=True)
class Joined:
    """Pointwise queries, keys and values below each other in one of ours."""

    parts: int
    convolution: bool

    def there(self, theirs: list[Tensor]) -> list[Tensor]:
        return Stack(self.parts).there([x.flatten(1) for x in theirs])

    def back(self, ours: list[Tensor]) -> list[Tensor]:
        return Pointwise(self.convolution).back(Stack(self.parts).back(ours))


# -- the U-Net ---------------------------------------------------------------------------------------------


def _transformer(theirs: str, ours: str, linear: bool) -> list[Row]:
    """A spatial transformer; linear: its way in and out are linear layers (Stable Diffusion 2)."""
    block, own = f"{theirs}.transformer_blocks.{{k}}", f"{ours}.blocks.{{k}}"
    rows = [row(f"{theirs}.norm.{{rest}}", f"{ours}.norm.{{rest}}")]
    for a, b in (("proj_in", "into"), ("proj_out", "out")):
        rows.append(row(f"{theirs}.{a}.weight", f"{ours}.{b}.weight", Pointwise(not linear)))
        rows.append(row(f"{theirs}.{a}.bias", f"{ours}.{b}.bias"))
    for a, b in (("norm1", "own_norm"), ("norm2", "context_norm"), ("norm3", "mlp_norm")):
        rows.append(row(f"{block}.{a}.{{rest}}", f"{own}.{b}.{{rest}}"))
    for a, b in (("attn1", "own"), ("attn2", "context")):
        rows.append(row(f"{block}.{a}.to_q.weight", f"{own}.{b}.q.weight"))
        both = (f"{block}.{a}.to_k.weight", f"{block}.{a}.to_v.weight")
        rows.append(row(both, f"{own}.{b}.kv.weight", Stack(2)))
        rows.append(row(f"{block}.{a}.to_out.0.{{rest}}", f"{own}.{b}.out.{{rest}}"))
    for a, b in (("ff.net.0.proj", "up"), ("ff.net.2", "down")):
        rows.append(row(f"{block}.{a}.{{rest}}", f"{own}.{b}.{{rest}}"))
    return rows


def _ends(times: tuple[str, str], stem: str, norm: str, out: str) -> list[Row]:
    return [
        row(f"{times[0]}.{{rest}}", "time.up.{rest}"),
        row(f"{times[1]}.{{rest}}", "time.down.{rest}"),
        row(f"{stem}.{{rest}}", "stem.{rest}"),
        row(f"{norm}.{{rest}}", "norm.{rest}"),
        row(f"{out}.{{rest}}", "out.{rest}"),
    ]


def diffusers_unet(linear: bool) -> Table:
    """UNet2DConditionModel of Stable Diffusion."""
    rows = _ends(
        ("time_embedding.linear_1", "time_embedding.linear_2"), "conv_in", "conv_norm_out", "conv_out"
    )
    rows += resnet("mid_block.resnets.{n}", "middle.{n}", RESNET)
    rows += _transformer("mid_block.attentions.0", "middle_attention", linear)
    for way in ("down", "up"):
        start = f"{way}_blocks.{{n}}"
        rows += resnet(f"{start}.resnets.{{m}}", f"{way}.{{n}}.blocks.{{m}}", RESNET)
        rows += _transformer(f"{start}.attentions.{{m}}", f"{way}.{{n}}.attentions.{{m}}", linear)
        rows.append(row(f"{start}.{way}samplers.0.conv.{{rest}}", f"{way}.{{n}}.resample.conv.{{rest}}"))
    return tuple(rows)


def compvis_unet(config: UNetConfig, linear: bool) -> Table:
    """The same in the layout of CompVis: blocks counted through."""
    rows = _ends(("time_embed.0", "time_embed.2"), "input_blocks.0.0", "out.0", "out.2")
    last, block = len(config.levels) - 1, 1
    for level, spec in enumerate(config.levels):
        for j in range(spec.depth):
            rows += resnet(f"input_blocks.{block}.0", f"down.{level}.blocks.{j}", ADM_RESNET)
            if spec.attention is not None:
                rows += _transformer(f"input_blocks.{block}.1", f"down.{level}.attentions.{j}", linear)
            block += 1
        if level < last:
            rows.append(row(f"input_blocks.{block}.0.op.{{rest}}", f"down.{level}.resample.conv.{{rest}}"))
            block += 1
    rows += resnet("middle_block.0", "middle.0", ADM_RESNET)
    rows += _transformer("middle_block.1", "middle_attention", linear)
    rows += resnet("middle_block.2", "middle.1", ADM_RESNET)
    block = 0
    for step, spec in enumerate(reversed(config.levels)):
        for j in range(spec.depth + 1):
            at = f"output_blocks.{block}"
            rows += resnet(f"{at}.0", f"up.{step}.blocks.{j}", ADM_RESNET)
            if spec.attention is not None:
                rows += _transformer(f"{at}.1", f"up.{step}.attentions.{j}", linear)
            if j == spec.depth and step < last:
                place = 2 if spec.attention is not None else 1
                rows.append(row(f"{at}.{place}.conv.{{rest}}", f"up.{step}.resample.conv.{{rest}}"))
            block += 1
    return tuple(rows)


def denoiser(unet: Table, scale: float, start: str = "") -> Table:
    """The network around it: latents are multiplied by `scale` before diffusion."""
    return (
        *under(unet, start, "unet."),
        Fill("scale.mean", 0.0, "its latents are scaled and not moved"),
        Fill("scale.std", 1 / scale, "the config has it, as scaling_factor"),
    )


# -- the autoencoder ---------------------------------------------------------------------------------------

_VAE_ATTENTION = ("group_norm", "to_q", "to_k", "to_v", "to_out.0")
_VAE_ATTENTION_OLD = ("group_norm", "query", "key", "value", "proj_attn")
_VAE_ATTENTION_COMPVIS = ("norm", "q", "k", "v", "proj_out")
_COMPVIS_RESNET = {**{k: v for k, v in RESNET.items() if k != "conv_shortcut"}, "nin_shortcut": "skip"}


def _vae_attention(theirs: str, ours: str, names: tuple[str, ...], convolution: bool) -> list[Row]:
    norm, q, k, v, out = names
    return [
        row(f"{theirs}.{norm}.{{rest}}", f"{ours}.norm.{{rest}}"),
        row(
            tuple(f"{theirs}.{x}.weight" for x in (q, k, v)),
            f"{ours}.qkv.weight",
            Joined(3, convolution),
        ),
        row(tuple(f"{theirs}.{x}.bias" for x in (q, k, v)), f"{ours}.qkv.bias", Stack(3)),
        row(f"{theirs}.{out}.weight", f"{ours}.out.weight", Pointwise(convolution)),
        row(f"{theirs}.{out}.bias", f"{ours}.out.bias"),
    ]


def diffusers_autoencoder(old: bool = False) -> Table:
    """AutoencoderKL; old: as its attention was called before 2023."""
    names = _VAE_ATTENTION_OLD if old else _VAE_ATTENTION
    rows = [row("quant_conv.{rest}", "moments.{rest}"), row("post_quant_conv.{rest}", "unmoments.{rest}")]
    for half, way in (("encoder", "down"), ("decoder", "up")):
        for a, b in (("conv_in", "stem"), ("conv_norm_out", "norm"), ("conv_out", "out")):
            rows.append(row(f"{half}.{a}.{{rest}}", f"{half}.{b}.{{rest}}"))
        rows += resnet(f"{half}.mid_block.resnets.{{n}}", f"{half}.middle.blocks.{{n}}", RESNET)
        rows += _vae_attention(f"{half}.mid_block.attentions.0", f"{half}.middle.attention", names, False)
        start, ours = f"{half}.{way}_blocks.{{n}}", f"{half}.levels.{{n}}"
        rows += resnet(f"{start}.resnets.{{m}}", f"{ours}.blocks.{{m}}", RESNET)
        rows.append(row(f"{start}.{way}samplers.0.conv.{{rest}}", f"{ours}.resample.conv.{{rest}}"))
    return tuple(rows)


def compvis_autoencoder(config: AutoencoderConfig) -> Table:
    """The same in the layout of CompVis, whose decoder counts its levels from the finest."""
    rows = [row("quant_conv.{rest}", "moments.{rest}"), row("post_quant_conv.{rest}", "unmoments.{rest}")]
    last = len(config.widths) - 1
    for half, way in (("encoder", "down"), ("decoder", "up")):
        for a, b in (("conv_in", "stem"), ("norm_out", "norm"), ("conv_out", "out")):
            rows.append(row(f"{half}.{a}.{{rest}}", f"{half}.{b}.{{rest}}"))
        for i in (1, 2):
            rows += resnet(f"{half}.mid.block_{i}", f"{half}.middle.blocks.{i - 1}", _COMPVIS_RESNET)
        rows += _vae_attention(f"{half}.mid.attn_1", f"{half}.middle.attention", _VAE_ATTENTION_COMPVIS, True)
        for i in range(last + 1):
            theirs = f"{half}.{way}.{last - i if way == 'up' else i}"
            rows += resnet(f"{theirs}.block.{{m}}", f"{half}.levels.{i}.blocks.{{m}}", _COMPVIS_RESNET)
            rows.append(
                row(f"{theirs}.{way}sample.conv.{{rest}}", f"{half}.levels.{i}.resample.conv.{{rest}}")
            )
    return tuple(rows)


# -- what reads the text -----------------------------------------------------------------------------------


def _words(table: Table, dropped: str) -> Table:
    """The rows of a whole CLIP's text tower, without the projection that nobody reads here, and without
    text_model. before the names.
    """
    start = "text_model."
    rows = [
        Row(
            tuple(name.removeprefix(start) for name in entry.theirs),
            tuple(name.removeprefix("text.") for name in entry.ours),
            entry.how,
        )
        for entry in table
        if isinstance(entry, Row) and all(name.startswith("text.") for name in entry.ours)
    ]
    unread = "the states are read, and not their projection"
    return (
        *(entry for entry in rows if entry.ours != ("projection",)),
        Drop(dropped, unread),
        Drop("logit_scale", unread),
        *(Drop(entry.theirs.removeprefix(start), entry.reason) for entry in table if isinstance(entry, Drop)),
    )


CLIP_WORDS = _words(HUGGING_FACE, "text_projection.weight")
OPEN_CLIP_WORDS = _words(OPENAI_VIT, "text_projection")

_LAYER = "encoder.block.{n}.layer"
_QKV = tuple(f"{_LAYER}.0.SelfAttention.{x}.weight" for x in "qkv")
T5: Table = (
    row("shared.weight", "token_embedding.weight"),
    row("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", "distance_embedding.weight"),
    row(_QKV, "blocks.{n}.qkv.weight", Stack(3)),
    row(f"{_LAYER}.0.SelfAttention.o.weight", "blocks.{n}.out.weight"),
    row(f"{_LAYER}.0.layer_norm.weight", "blocks.{n}.attention_norm.weight"),
    row(f"{_LAYER}.1.DenseReluDense.wi_0.weight", "blocks.{n}.gate.weight"),
    row(f"{_LAYER}.1.DenseReluDense.wi_1.weight", "blocks.{n}.up.weight"),
    row(f"{_LAYER}.1.DenseReluDense.wo.weight", "blocks.{n}.down.weight"),
    row(f"{_LAYER}.1.layer_norm.weight", "blocks.{n}.mlp_norm.weight"),
    row("encoder.final_layer_norm.weight", "norm.weight"),
    Drop("encoder.embed_tokens.weight", "shared.weight is the same"),
    Drop("decoder.{rest}", "the encoder alone is read"),
    Drop("lm_head.weight", "the encoder alone is read"),
)

# -- the consistency decoder -------------------------------------------------------------------------------

# of Stable Diffusion's latents, after its scaling: written in the published code and not in the file
LATENT_MEAN = (0.38862467, 0.02253063, 0.07381133, -0.0171294)
LATENT_STD = (0.9654121, 1.0440036, 0.76147926, 0.77022034)


def consistency(scale: float) -> Table:
    """ConsistencyDecoderVAE. scale: what latents are multiplied by first."""
    return (
        *under(DIFFUSERS_UNET, "decoder_unet.", "unet."),
        row("decoder_unet.time_proj.weight", "unet.time.time_embedding.weight"),
        Fill("scale.mean", tuple(x / scale for x in LATENT_MEAN), "the published code has it"),
        Fill("scale.std", tuple(x / scale for x in LATENT_STD), "the published code has it"),
        Drop("encoder.{rest}", "the autoencoder's own, which Stable Diffusion brings"),
        Drop("quant_conv.{rest}", "the autoencoder's own, which Stable Diffusion brings"),
    )
