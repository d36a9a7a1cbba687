"""Whole systems of published forms at toy size, with random weights, as bundles of ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from armchair.clip.config import ClipConfig, TextConfig, ViTConfig
from armchair.core.bundle import Bundle, Component, save_bundle
from armchair.core.config import to_json
from armchair.dalle2.config import ClipDecoderConfig, PriorConfig
from armchair.dalle2.parts import CLASSES as UNCLIP
from armchair.dalle3.config import ClipWordsConfig, LatentConfig
from armchair.dalle3.parts import CLASSES as LATENT
from armchair.nn.autoencoder import AutoencoderConfig
from armchair.nn.unet import LevelSpec, UNetConfig
from armchair.text.clip_bpe import ClipBPE
from armchair.weights.importing.unclip import DEFAULTS, upsampling
from tests.weights.made import VOCAB, merges_file

TEXT = TextConfig(vocab=VOCAB, length=9, width=64, depth=1)
LEVELS = (LevelSpec(width=64, depth=1), LevelSpec(width=128, depth=1, attention="keys"))
KARLO: dict[str, Any] = {
    "clip": ClipConfig(image_size=32, embed=64, image=ViTConfig(patch=8, width=64, depth=1), text=TEXT),
    "prior": PriorConfig(
        embed=64, unit=False, words="clip", text_width=64, length=9, width=64, depth=1, heads=1,
        hidden="empty", candidates=1, limit=10.0,
    ),
    "decoder": ClipDecoderConfig(
        text_width=64, image_size=64, embed=64, context_width=32, levels=LEVELS, time_width=64
    ),
    "upsample_256": upsampling(
        UNetConfig(
            channels_in=6, channels_out=3, levels=(LevelSpec(width=32, depth=1),) * 2, time_width=32
        ),
        64,
    ),
}  # fmt: skip
STABLE: dict[str, Any] = {
    "autoencoder": AutoencoderConfig(image_size=16, widths=(8, 16), depth=1, groups=8),
    "text_encoder": ClipWordsConfig(text=TEXT),
    "latent": LatentConfig(
        side=16, stride=2, ratios=("1:1",), words=ClipWordsConfig(text=TEXT), heads=2, groups=8,
        levels=(LevelSpec(width=16, depth=1, attention="cross"), LevelSpec(width=32, depth=1)),
        time_width=16, modulation="add", inpaints=False, spacing="trailing",
    ),
}  # fmt: skip


def numbers(net: torch.nn.Module, seed: int) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return {
        name: value + 0.05 * torch.randn(value.shape, generator=rng) if value.is_floating_point() else value
        for name, value in net.state_dict().items()
    }


def bundle_of(folder: Path, kind: str, configs: Mapping[str, Any]) -> Bundle:
    """Component -> its config, with CLIP's tokenizer."""
    components: dict[str, Component] = {}
    with torch.random.fork_rng(devices=[]):
        for seed, (name, config) in enumerate(configs.items()):
            torch.manual_seed(seed)
            if kind == "dalle2":
                net = next(make for cls, make in UNCLIP[name] if isinstance(config, cls))(config)
            else:
                net = LATENT[name][1](config)
            found = numbers(net, seed)
            if name == "prior":  # what a published one does not have
                found |= {"no_text": torch.zeros(config.width), "gamma": torch.ones(64)}
            if name == "latent":
                found |= {"scale.mean": torch.zeros(4), "scale.std": torch.full((4,), 1 / 0.18215)}
            components[name] = Component(config=to_json(config), tensors=found, storage="float32")
    bpe = ClipBPE.from_merges(merges_file(), VOCAB)
    components["text"] = Component(config={"vocab": bpe.vocab}, file=bpe.save(), storage="file")
    return save_bundle(
        folder,
        kind=kind,
        name=folder.name,
        components=components,
        languages=["en"],
        licence="MIT",
        trained={},
        scores={},
        defaults=DEFAULTS if kind == "dalle2" else {},
    )
