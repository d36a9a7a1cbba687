"""Networks, pictures and bundles small enough for tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from armchair.clip.config import ClipConfig, ResNetConfig, TextConfig, ViTConfig
from armchair.clip.network import Clip
from armchair.clip.task import ClipTask, ClipTaskConfig
from armchair.core.bundle import Bundle, save_bundle
from armchair.core.task import Batch, Source
from tests.dalle1.tiny import Pictures

TINY = ClipConfig(
    image_size=16,
    embed=24,
    image=ViTConfig(patch=4, width=64, depth=2),
    text=TextConfig(vocab=300, length=12, width=64, depth=2),
)
RESNET = replace(
    TINY, image_size=32, image=ResNetConfig(layers=(1, 2, 1, 1), width=4, norm="group", stem_stride=2)
)


def network(config: ClipConfig = TINY) -> Clip:
    """With weights from a fixed seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return Clip(config)


def clip_task(source: Source | None = None, **changes: Any) -> ClipTask:
    """Prepared, with weights from a fixed seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        task = ClipTaskConfig(**{"net": TINY, **changes}).build({}, None)
    task.prepare(Pictures() if source is None else source, torch.Generator())
    return task


def batch(task: ClipTask, indices: list[int]) -> Batch:
    """Examples by number, as a whole batch."""
    source = Pictures()
    made = [task.example(source[i], torch.Generator().manual_seed(i)) for i in indices]
    data = {name: torch.stack([example[name] for example in made]) for name in made[0]}
    return Batch(data, indices, 0, task.counts(data))


def saved(folder: Path, task: ClipTask) -> Bundle:
    """The bundle that the loop would write."""
    return save_bundle(
        folder,
        kind=task.bundle_kind,
        name=folder.name,
        components=task.components(),
        languages=list(task.languages),
        licence="Apache-2.0",
        trained={},
        scores={},
    )
