"""Data for the tests of training tasks, and what the loop makes of a task."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from armchair.core.bundle import Bundle, save_bundle
from armchair.core.rng import SeedBatch
from armchair.core.task import Batch, Caption, Sample, Source, Spot
from armchair.nn.layout import LayoutPrior

WORDS = "red green blue big small round dog cat house tree".split()


LOOKS = ("flat", "line")


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


class Placed:
    """Pictures in two looks whose captions say where the thing of their first word stands."""

    def __init__(self, source: Source):
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Sample:
        sample = self.source[index]
        caption = sample.captions[0]
        spot = Spot(len(caption.text.split(" ")[0]), 0.1 + index % 8 / 10, 0.5, 0.3, 0.4)
        return replace(sample, captions=(replace(caption, spots=(spot,), look=LOOKS[index % 2]),))

    def describe(self) -> dict[str, Any]:
        return self.source.describe()


def outspoken(prior: LayoutPrior) -> None:
    """Let an untrained prior point to words: each is likelier than none."""
    with torch.no_grad():
        prior.pointer.weight.zero_()
        prior.pointer.bias.fill_(1.0)
        prior.keys.bias.fill_(1.0)
        prior.end.fill_(-1.0)


def wake(net: torch.nn.Module, std: float = 0.1) -> None:
    """Fill weights that start at zero, which would hide what reaches the output."""
    with torch.no_grad():
        for p in net.parameters():
            if not p.any():
                p.normal_(std=std)


def saved(folder: Path, task: Any) -> Bundle:
    """The bundle that the loop would write."""
    task.net.eval()
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


def batch(
    task: Any,
    indices: list[int],
    totals: dict[str, float] | None = None,
    step: int = 0,
    source: Source | None = None,
) -> Batch:
    """Examples by number; totals: of these alone unless given."""
    source = Pictures() if source is None else source
    made = [task.example(source[i], torch.Generator().manual_seed(i)) for i in indices]
    data = {name: torch.stack([example[name] for example in made]) for name in made[0]}
    return Batch(data, indices, step, task.counts(data) if totals is None else totals)


def losses(task: Any, made: Batch, updates: int, lr: float) -> list[float]:
    """Of so many updates by Adam on one batch, with the same noise each time."""
    trained = [weight for weight in task.net.parameters() if weight.requires_grad]
    optimizer, found = torch.optim.Adam(trained, lr=lr), []
    for _ in range(updates):
        loss, _ = task.loss(made, SeedBatch(range(len(made))))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


def alone_learns(task: Any, made: Batch, source: Source, *names: str) -> None:
    """The parts of these names have all that is trained, the error falls, and evaluation says no other."""
    learns = {name for name, weight in task.net.named_parameters() if weight.requires_grad}
    assert learns and all(any(part in name for part in names) for name in learns)
    found = losses(task, made, updates=30, lr=1e-2)
    assert found[-1] < 0.7 * found[0]
    assert set(task.evaluate(source, 4)) == {task.what} and task.preview(SeedBatch([1])) is None
