"""The U-Net and the prior of unCLIP against diffusers: tiny and random, every number; and Karlo's sizes."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from armchair.core.tensorfile import Lazy
from armchair.dalle2.config import PriorConfig
from armchair.dalle2.prior import Prior
from armchair.nn.unet import LevelSpec, UNet, UNetConfig
from armchair.weights.tables.keys import fit, revert
from armchair.weights.tables.unet import DIFFUSERS_PRIOR, DIFFUSERS_UNET, adm_unet

pytestmark = [pytest.mark.references, pytest.mark.filterwarnings("ignore")]


def stirred(net: Any) -> Any:
    """Random numbers everywhere, those too that start at 0 or 1."""
    torch.manual_seed(3)
    for value in net.state_dict().values():
        if value.is_floating_point():
            value += 0.1 * torch.randn_like(value)
    return net.eval()


def as_lazy(state: dict[str, Tensor]) -> dict[str, Lazy]:
    return {name: Lazy(v.dtype, tuple(v.shape), lambda v=v: v) for name, v in state.items()}


def carried(table: Any, state: dict[str, Tensor], net: torch.nn.Module) -> None:
    """Fill our network from a state dict of theirs, and check that the way back gives theirs again."""
    fitted = fit(table, as_lazy(state), net.state_dict(), "the reference")
    assert fitted.dropped == {}
    net.load_state_dict({name: tensor.read() for name, tensor in fitted.tensors.items()})
    net.eval()
    back = revert(table, net.state_dict())
    assert back.keys() == state.keys()
    for name, value in state.items():
        assert torch.allclose(back[name], value, atol=1e-5), name


def levels(*widths: int, depth: int, attention: bool) -> tuple[LevelSpec, ...]:
    """The finest level has no attention."""
    return tuple(
        LevelSpec(width=width, depth=depth, attention="keys" if attention and i else None)
        for i, width in enumerate(widths)
    )


SMALL = UNetConfig(
    channels_in=3,
    channels_out=6,
    levels=levels(16, 32, depth=1, attention=True),
    middle_attention="keys",
    time_width=16,
    context_width=24,
    head_width=8,
    groups=8,
)
CONFIGS = {
    "two levels": SMALL,
    "one level": replace(SMALL, levels=(LevelSpec(width=16, depth=2, attention="keys"),)),
    "odd widths": replace(
        SMALL, levels=levels(24, 40, 56, depth=2, attention=True), time_width=24, context_width=12
    ),
    "no attention": replace(
        SMALL,
        channels_in=6,
        channels_out=3,
        levels=levels(16, 24, 32, depth=2, attention=False),
        middle_attention=None,
        context_width=0,
    ),
}


def diffusers_unet(config: UNetConfig) -> Any:
    """The same network in diffusers: with words, or without any attention."""
    diffusers = importlib.import_module("diffusers")
    specs = config.levels
    shared = {
        "sample_size": 16,
        "in_channels": config.channels_in,
        "out_channels": config.channels_out,
        "block_out_channels": tuple(spec.width for spec in specs),
        "layers_per_block": specs[0].depth,
        "norm_num_groups": config.groups,
        "resnet_time_scale_shift": "scale_shift",
        "norm_eps": 1e-5,
    }
    if config.middle_attention is None:
        return diffusers.UNet2DModel(
            **shared,
            down_block_types=("ResnetDownsampleBlock2D",) * len(specs),
            up_block_types=("ResnetUpsampleBlock2D",) * len(specs),
            add_attention=False,
            downsample_type="resnet",
            upsample_type="resnet",
        )
    kinds = ["SimpleCrossAttn" if spec.attention else "Resnet" for spec in specs]
    ends = {"SimpleCrossAttn": "Block2D", "Resnet": "sampleBlock2D"}
    down = [f"{kind}Down{ends[kind]}" for kind in kinds]
    up = [f"{kind}Up{ends[kind]}" for kind in reversed(kinds)]
    return diffusers.UNet2DConditionModel(
        **shared,
        down_block_types=tuple(down),
        up_block_types=tuple(up),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        cross_attention_dim=config.context_width,
        attention_head_dim=config.head_width,
        class_embed_type="identity",
    )


@pytest.mark.parametrize("name", CONFIGS)
def test_the_unet(name: str):
    """With and without attention, one level and several, odd widths: below 1e-4 at every pixel, words that
    are masked included.
    """
    config = CONFIGS[name]
    theirs = stirred(diffusers_unet(config))
    ours = UNet(config)
    carried(DIFFUSERS_UNET, theirs.state_dict(), ours)
    rng = torch.Generator().manual_seed(1)
    x, t = torch.randn(2, config.channels_in, 16, 16, generator=rng), torch.tensor([3, 981])
    with torch.no_grad():
        if config.middle_attention is None:
            want, got = theirs(x, t).sample, ours(x, t)
        else:
            extra = torch.randn(2, config.emb_width, generator=rng)
            words = torch.randn(2, 5, config.context_width, generator=rng)
            keep = torch.tensor([[True] * 5, [True, True, False, True, False]])
            out = theirs(x, t, encoder_hidden_states=words, class_labels=extra, attention_mask=keep)
            want, got = out.sample, ours(x, t, extra=extra, context=words, keep=keep)
    assert want.abs().max() > 0.1
    assert (got - want).abs().max() < 1e-4


@pytest.mark.parametrize("name", CONFIGS)
def test_the_layout_of_openai(name: str):
    """GLIDE's and Karlo's own names lead to the same network: blocks counted through, q, k and v head by
    head, attention by convolutions one wide.
    """
    config = CONFIGS[name]
    theirs = stirred(diffusers_unet(config)).state_dict()
    ours, other = UNet(config), UNet(config)
    carried(DIFFUSERS_UNET, theirs, ours)
    published = openai_names(config, theirs)
    carried(adm_unet(config, "model."), published, other)
    for (key, value), (_, same) in zip(ours.state_dict().items(), other.state_dict().items(), strict=True):
        assert torch.equal(value, same), key


def openai_names(config: UNetConfig, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """diffusers' names and layout as OpenAI's, by the rules of the published conversion, backwards."""
    found: dict[str, Tensor] = {}
    names = {
        "norm1": "in_layers.0",
        "conv1": "in_layers.2",
        "time_emb_proj": "emb_layers.1",
        "norm2": "out_layers.0",
        "conv2": "out_layers.3",
        "conv_shortcut": "skip_connection",
    }

    def resnet(theirs: str, new: str) -> None:
        for name, value in state.items():
            part, _, end = name.removeprefix(f"{theirs}.").partition(".")
            if name.startswith(f"{theirs}.") and part in names:
                found[f"model.{new}.{names[part]}.{end}"] = value

    def attention(theirs: str, new: str) -> None:
        for end in ("weight", "bias"):
            parts = {
                x: state[f"{theirs}.{x}.{end}"]
                for x in ("to_q", "to_k", "to_v", "add_k_proj", "add_v_proj", "to_out.0", "group_norm")
            }

            def by_head(*values: Tensor, end: str = end) -> Tensor:
                split = [value.split(config.head_width) for value in values]
                rows = torch.cat([part for parts in zip(*split, strict=True) for part in parts])
                return rows[..., None] if end == "weight" else rows

            found[f"model.{new}.qkv.{end}"] = by_head(parts["to_q"], parts["to_k"], parts["to_v"])
            found[f"model.{new}.encoder_kv.{end}"] = by_head(parts["add_k_proj"], parts["add_v_proj"])
            found[f"model.{new}.proj_out.{end}"] = (
                parts["to_out.0"][..., None] if end == "weight" else parts["to_out.0"]
            )
            found[f"model.{new}.norm.{end}"] = parts["group_norm"]

    for end in ("weight", "bias"):
        for old, new in (
            ("time_embedding.linear_1", "time_embed.0"),
            ("time_embedding.linear_2", "time_embed.2"),
            ("conv_in", "input_blocks.0.0"),
            ("conv_norm_out", "out.0"),
            ("conv_out", "out.2"),
        ):
            found[f"model.{new}.{end}"] = state[f"{old}.{end}"]
    block = 0
    for i, spec in enumerate(config.levels):
        for j in range(spec.depth):
            block += 1
            resnet(f"down_blocks.{i}.resnets.{j}", f"input_blocks.{block}.0")
            if spec.attention:
                attention(f"down_blocks.{i}.attentions.{j}", f"input_blocks.{block}.1")
        if i + 1 < len(config.levels):
            block += 1
            resnet(f"down_blocks.{i}.downsamplers.0", f"input_blocks.{block}.0")
    resnet("mid_block.resnets.0", "middle_block.0")
    if config.middle_attention:
        attention("mid_block.attentions.0", "middle_block.1")
    resnet("mid_block.resnets.1", f"middle_block.{2 if config.middle_attention else 1}")
    block = 0
    for i, spec in enumerate(reversed(config.levels)):
        for j in range(spec.depth + 1):
            resnet(f"up_blocks.{i}.resnets.{j}", f"output_blocks.{block}.0")
            if spec.attention:
                attention(f"up_blocks.{i}.attentions.{j}", f"output_blocks.{block}.1")
            if j == spec.depth and i + 1 < len(config.levels):
                resnet(f"up_blocks.{i}.upsamplers.0", f"output_blocks.{block}.{2 if spec.attention else 1}")
            block += 1
    return found


PRIORS = {
    "small": PriorConfig(embed=8, words="clip", text_width=12, length=7, width=16, depth=2, heads=2, steps=8),
    "odd": PriorConfig(embed=10, words="clip", text_width=6, length=5, width=36, depth=1, heads=3, steps=8),
}


@pytest.mark.parametrize("name", PRIORS)
def test_the_prior(name: str):
    """Below 1e-4, with words that are masked; a text's embedding goes in as it is, of any length."""
    config = PRIORS[name]
    theirs = stirred(diffusers_prior(config))
    with torch.no_grad():
        theirs.clip_std.abs_().add_(0.5)
    ours = Prior(config)
    carried(DIFFUSERS_PRIOR, theirs.state_dict(), ours)
    rng = torch.Generator().manual_seed(1)
    x, text = (torch.randn(2, config.embed, generator=rng) for _ in range(2))
    words = torch.randn(2, config.length, config.text_width, generator=rng)
    keep = torch.ones(2, config.length, dtype=torch.bool)
    keep[1, 3:] = False
    t = torch.tensor([5, 987])
    with torch.no_grad():
        want = theirs(x, t, proj_embedding=text, encoder_hidden_states=words, attention_mask=keep)
        read = ours.read(words, keep, text, torch.tensor([True, True]))
        got = ours(x, t, **read)
        latents = theirs.post_process_latents(got)
    assert (got - want.predicted_image_embedding).abs().max() < 1e-4
    assert (ours.scale.back(got) - latents).abs().max() < 1e-5


def diffusers_prior(config: PriorConfig) -> Any:
    """Karlo's text states are as wide as its embeddings; another width only needs another first layer."""
    net = importlib.import_module("diffusers").PriorTransformer(
        num_attention_heads=config.heads,
        attention_head_dim=config.width // config.heads,
        num_layers=config.depth,
        embedding_dim=config.embed,
        num_embeddings=config.length,
    )
    if config.text_width != config.embed:
        net.encoder_hidden_states_proj = torch.nn.Linear(config.text_width, config.width)
    return net


KARLO = levels(320, 640, 960, 1280, depth=3, attention=True)


def test_karlos_sizes():
    """Names, shapes and counts of the real networks, without memory for them."""
    decoder = UNetConfig(
        channels_in=3,
        channels_out=6,
        levels=KARLO,
        middle_attention="keys",
        time_width=320,
        context_width=1536,
    )
    plain = tuple(replace(spec, attention=None) for spec in KARLO)
    upsampler = UNetConfig(channels_in=6, channels_out=3, levels=plain, time_width=320)
    prior = PriorConfig(embed=768, words="clip", text_width=768, length=77, width=2048, depth=20, heads=32)
    with torch.device("meta"):
        pairs = [
            (diffusers_unet(decoder), UNet(decoder), DIFFUSERS_UNET),
            (diffusers_unet(upsampler), UNet(upsampler), DIFFUSERS_UNET),
            (diffusers_prior(prior), Prior(prior), DIFFUSERS_PRIOR),
        ]
    for theirs, ours, table in pairs:
        state = theirs.state_dict()
        fitted = fit(table, as_lazy(state), ours.state_dict(), "Karlo")
        assert fitted.tensors.keys() == ours.state_dict().keys() and fitted.dropped == {}
