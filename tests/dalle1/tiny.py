"""Networks, pictures and bundles small enough for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from armchair.core.bundle import Bundle, save_bundle
from armchair.core.task import Batch, Caption, Sample, Source, Task
from armchair.dalle1.config import DVAEConfig, TransformerConfig
from armchair.dalle1.dvae_task import DVAETask, DVAETaskConfig
from armchair.dalle1.task import TransformerTask, TransformerTaskConfig

DVAE_TINY = DVAEConfig(image_size=16, width=8, groups=3, blocks=1, vocab=24, code_width=8)  # 4 x 4 codes
NET_TINY = TransformerConfig(
    text_vocab=300, image_vocab=99, text_length=10, grid=9, width=32, depth=3, heads=2, conv_kernel=3
)  # as a recipe has it: vocabulary and grid are the dVAE's
WORDS = "red green blue big small round dog cat house tree".split()


class Pictures:
    """Numbered pictures of two colours with captions of one to four words, each a function of its number."""

    def __init__(self, count: int = 40, size: int = 20, captioned: bool = True):
        self.count = count
        self.size = size
        self.captioned = captioned

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng(index)
        image = np.empty((self.size, self.size, 3), np.uint8)
        image[:] = rng.integers(0, 256, 3)
        top, left = rng.integers(0, self.size // 2, 2)
        image[top : top + self.size // 2, left : left + self.size // 2] = rng.integers(0, 256, 3)
        words = " ".join(rng.choice(WORDS, rng.integers(1, 5)))
        return Sample(str(index), image, (Caption(words, language="en"),) if self.captioned else ())

    def describe(self) -> dict[str, Any]:
        return {"kind": "made up"}


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


def saved(folder: Path, task: Task) -> Bundle:
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
        golden=task.golden(),
        defaults=task.defaults,
    )


def batch(task: Task, indices: list[int], totals: dict[str, float] | None = None, step: int = 0) -> Batch:
    """Examples by number; totals: of these alone unless given."""
    source = Pictures()
    made = [task.example(source[i], torch.Generator().manual_seed(i)) for i in indices]
    data = {name: torch.stack([example[name] for example in made]) for name in made[0]}
    return Batch(data, indices, step, task.counts(data) if totals is None else totals)


def write_pictures(folder: Path, count: int = 40, size: int = 20) -> Path:
    """The same pictures as files with captions."""
    folder.mkdir(parents=True)
    source = Pictures(count, size)
    for i in range(count):
        sample = source[i]
        Image.fromarray(sample.image).save(folder / f"{i:03d}.png")
        (folder / f"{i:03d}.txt").write_text(sample.captions[0].text)
    return folder
