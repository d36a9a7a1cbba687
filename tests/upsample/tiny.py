"""An upsampler small enough for tests, 8 px to 32 px, and pictures to train it on."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from armchair.core.task import Batch, Sample
from armchair.nn.unet import LevelSpec, UNetConfig
from armchair.upsample.config import UpsamplerConfig
from armchair.upsample.task import UpsamplerTask, UpsamplerTaskConfig

UNET = UNetConfig(
    channels_in=6,
    channels_out=3,
    levels=(LevelSpec(width=8, depth=1), LevelSpec(width=8, depth=1)),
    patch=2,
    time_width=8,
    groups=4,
)
NET = UpsamplerConfig(unet=UNET, low=8, size=32, predicts="v", residual=0.25, steps="trailing3")


class Pictures:
    """Numbered pictures of a box on a plain ground."""

    def __init__(self, count: int = 20, size: int = 32):
        self.count = count
        self.size = size

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng(index)
        image = np.empty((self.size, self.size, 3), np.uint8)
        image[:] = rng.integers(0, 256, 3)
        top, left = rng.integers(0, self.size // 2, 2)
        image[top : top + self.size // 2, left : left + self.size // 2] = rng.integers(0, 256, 3)
        return Sample(str(index), image)

    def describe(self) -> dict[str, Any]:
        return {"kind": "made up"}


def task(scale: float = 0.0, **changes: Any) -> UpsamplerTask:
    """With weights from a fixed seed. scale: how far the last layer is from the zeros that it starts with."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        made = UpsamplerTaskConfig(**{"net": NET, "crop": 0.5, **changes}).build({}, None)
        if scale > 0:
            torch.nn.init.normal_(made.net.unet.out.weight, std=scale)
    return made


def batch(made: UpsamplerTask, indices: list[int], totals: dict[str, float] | None = None) -> Batch:
    """Examples by number; totals: of these alone unless given."""
    source = Pictures()
    examples = [made.example(source[i], torch.Generator().manual_seed(i)) for i in indices]
    data = {name: torch.stack([example[name] for example in examples]) for name in examples[0]}
    return Batch(data, indices, 0, made.counts(data) if totals is None else totals)
