"""Networks, pictures and bundles small enough for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image

from armchair.core.bundle import Bundle
from armchair.core.task import Source
from armchair.dalle1.config import DVAEConfig, TransformerConfig
from armchair.dalle1.dvae_task import DVAETask, DVAETaskConfig
from armchair.dalle1.task import TransformerTask, TransformerTaskConfig
from tests.stages import Pictures, batch, saved

__all__ = ["batch", "saved"]

DVAE_TINY = DVAEConfig(image_size=16, width=8, groups=3, blocks=1, vocab=24, code_width=8)  # 4 x 4 codes
NET_TINY = TransformerConfig(
    text_vocab=300, image_vocab=99, text_length=10, grid=9, width=32, depth=3, heads=2, conv_kernel=3
)  # as a recipe has it: vocabulary and grid are the dVAE's


def dvae_task(**changes: Any) -> DVAETask:
    """With weights from a fixed seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return DVAETaskConfig(**{"net": DVAE_TINY, **changes}).build({}, None)


def dvae_bundle(folder: Path, **changes: Any) -> Bundle:
    """A dVAE as its recipe leaves it."""
    return saved(folder, dvae_task(**changes))


def transformer_task(folder: Path, source: Source | None = None, **changes: Any) -> TransformerTask:
    """On a dVAE bundle in `folder`, prepared, with weights that are large enough to make pictures differ."""
    if not (folder / "dvae").exists():
        dvae_bundle(folder / "dvae")
    config = TransformerTaskConfig(**{"net": NET_TINY, "golden_prompt": "a red dog", **changes})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        task = config.build({"dvae": Bundle.open(folder / "dvae")}, None)
        task.prepare(Pictures() if source is None else source, torch.Generator().manual_seed(3))
        with torch.no_grad():
            task.net.image_head.weight.mul_(20)
    return task


def write_pictures(folder: Path, count: int = 40, size: int = 20) -> Path:
    """The same pictures as files with captions."""
    folder.mkdir(parents=True)
    source = Pictures(count, size)
    for i in range(count):
        sample = source[i]
        Image.fromarray(sample.image).save(folder / f"{i:03d}.png")
        (folder / f"{i:03d}.txt").write_text(sample.captions[0].text)
    return folder
