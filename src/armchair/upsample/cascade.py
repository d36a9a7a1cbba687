"""The upsamplers of a system, one after the other: which sizes they give, and the way there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from armchair.core.parts import Parts
from armchair.core.rng import SeedBatch, mix
from armchair.core.step import Preview
from armchair.upsample.config import UpsamplerConfig
from armchair.upsample.pipeline import UpsamplerModel

SMALL, LARGE = "upsample_256", "upsample_1024"  # one after the other, four times the side each


def factors(parts: Parts) -> list[int]:
    """How many times larger than drawn a picture can become, the default first: four times where it can."""
    large = SMALL in parts and LARGE in parts
    return [*([4] if SMALL in parts else []), 1, *([8, 16] if large else [])]


@torch.no_grad()
def enlarged(
    parts: Parts,
    drawn: Iterator[Preview],
    seeds: Sequence[int],
    factor: int,
    steps: int,
    device: torch.device,
) -> Iterator[Preview]:
    """Previews of small pictures (B, 3, h, w), of which there are `steps`, and then of large ones. What is
    drawn 16 times as large and then halved is 8 times as large.
    """
    stages = {1: [], 4: [SMALL]}.get(factor, [SMALL, LARGE])
    configs: list[UpsamplerConfig] = [parts.config(name) for name in stages]
    counts = [len(seeds) * len(config.levels().respace(config.steps)) for config in configs]
    total, done = steps + sum(counts), 0
    last: Preview | None = None
    for last in drawn:
        yield last.at(done, total)
        done += 1
    assert last is not None and done == steps, (done, steps)
    for name in stages:
        rng = SeedBatch([mix(seed, name) for seed in seeds], device)
        small, halved = last.images, factor == 8 and name == LARGE
        for last in UpsamplerModel(parts[name]).stream(small, rng):
            shown = last.at(done, total)
            yield shown.changed(_halved) if halved else shown
            done += 1


def _halved(images: Tensor) -> Tensor:
    return F.avg_pool2d(images, 2)


def restored(previews: Iterator[Preview], image: Tensor, keep: Tensor) -> Iterator[Preview]:
    """The previews with the pixels of image (1, 3, H, W) where keep (1, 1, H, W) is True, once they have its
    size.
    """

    def restore(shown: Tensor) -> Tensor:
        if shown.shape[2:] != image.shape[2:]:
            return shown
        return torch.where(keep.to(shown.device), image.to(shown), shown)

    for preview in previews:
        yield preview.changed(restore)
