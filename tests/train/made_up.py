"""A made-up task that has one of everything a real one has, tiny; as a script, a run of it.

python tests/train/made_up.py --out DIR [--resume] [--set key=value ...] [--slow SECONDS]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from armchair.core.bundle import Component
from armchair.core.config import override
from armchair.core.images import contact_sheet, to_image
from armchair.core.rng import SeedBatch, generator
from armchair.core.task import Batch, Caption, Sample, Source
from armchair.train import OptimConfig, Recipe, ScheduleConfig, build_task, run, saved_recipe

SIZE = 8  # pixels a side
LENGTH = 6  # tokens at most
VOCAB = 11


class Pictures:
    """`count` little pictures with captions of 1 to LENGTH words, each a function of its number."""

    def __init__(self, count: int = 50, slow: float = 0.0):
        self.count = count
        self.slow = slow

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        time.sleep(self.slow)
        rng = np.random.default_rng(index)
        words = " ".join(str(word) for word in rng.integers(1, VOCAB, rng.integers(1, LENGTH + 1)))
        return Sample(str(index), rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8), (Caption(words),))

    def describe(self) -> dict[str, Any]:
        return {"kind": "made up"}


class Net(nn.Module):
    """A convolution, an embedding, a matrix, gains, biases, dropout and a fitted buffer."""

    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.register_buffer("mean", torch.zeros(3, 1, 1))
        self.mean: Tensor
        self.look = nn.Conv2d(3, width, 3, padding=1).to(memory_format=torch.channels_last)
        self.words = nn.Embedding(VOCAB, width)
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Linear(width, width)
        self.paint = nn.Conv2d(width, 3, 3, padding=1)
        self.say = nn.Linear(width, VOCAB)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, 3, H, W), tokens (B, L) -> (B, 3, H, W), (B, L, V)"""
        h = self.look(x - self.mean) + self.words(tokens).mean(1)[:, :, None, None]  # (B, W, H, W)
        h = self.dropout(F.gelu(self.mix(self.norm(h.movedim(1, -1))))).movedim(-1, 1)  # (B, W, H, W)
        return self.paint(h), self.say(h.mean((2, 3)))[:, None] + self.say(self.words(tokens))


@dataclass(frozen=True, kw_only=True)
class MadeUp:
    """The config of the made-up task."""

    width: int = 8
    dropout: float = 0.0
    poison: int = -1  # a sample number whose loss is not a number

    def build(self, using: Mapping[str, Any], init: Any) -> Task:
        return Task(self)


@dataclass
class Task:
    config: MadeUp = field(default_factory=MadeUp)
    bundle_kind: str = "made-up"
    languages: tuple[str, ...] = ("en",)
    defaults = {}

    def __post_init__(self) -> None:
        self.net = Net(self.config.width, self.config.dropout)

    def prepare(self, source: Source, rng: torch.Generator) -> None:
        picks = torch.randint(len(source), (4,), generator=rng).tolist()
        self.net.mean.fill_(float(np.mean([source[i].image for i in picks])) / 255)

    def example(self, sample: Sample, generator: torch.Generator) -> dict[str, Tensor]:
        image = torch.from_numpy(sample.image).movedim(-1, 0) / 255 + 0.1 * torch.rand(1, generator=generator)
        words = torch.tensor([int(word) for word in sample.captions[0].text.split()])
        keep = (
            torch.rand(len(words), generator=generator) < 0.9
        )  # like BPE dropout: another length every time
        keep[0] = True
        tokens = F.pad(words[keep], (0, LENGTH - int(keep.sum())))
        return {"image": image, "tokens": tokens}

    def counts(self, data: dict[str, Tensor]) -> dict[str, float]:
        return {"samples": len(data["image"]), "tokens": float((data["tokens"] > 0).sum())}

    def loss(self, batch: Batch, rng: SeedBatch) -> tuple[Tensor, dict[str, float | Tensor]]:
        image, tokens = batch.data["image"], batch.data["tokens"]
        noise = rng.normal(3, SIZE, SIZE)  # (B, 3, H, W)
        painted, said = self.net(image + 0.1 * noise, tokens)
        picture = (painted - image).square().mean((1, 2, 3)).sum() / batch.totals["samples"]
        words = F.cross_entropy(said.movedim(-1, 1), tokens, reduction="none")  # (B, L)
        text = (words * (tokens > 0)).sum() / batch.totals["tokens"]
        if self.config.poison in batch.indices:
            picture = picture * float("nan")
        return picture + text, {"picture": picture, "text": text.item()}

    def preview(self, rng: SeedBatch) -> Image.Image:
        painted, _ = self.net(
            rng.uniform(3, SIZE, SIZE), torch.ones(len(rng), LENGTH, dtype=torch.int64, device=rng.device)
        )
        return contact_sheet([to_image(p.clamp(0, 1)) for p in painted], columns=4)

    def evaluate(self, source: Source, n: int) -> dict[str, float]:
        examples = [self.example(source[i], generator("evaluate", i)) for i in range(n)]
        device = self.net.mix.weight.device
        data = {name: torch.stack([e[name] for e in examples]).to(device) for name in examples[0]}
        batch = Batch(data, list(range(n)), 0, self.counts(data))
        return {"error": float(self.loss(batch, SeedBatch(range(n), device))[0])}

    def components(self) -> dict[str, Component]:
        return {"net": Component(config={"width": 8}, tensors=self.net.state_dict(), storage="float32")}

    def golden(self) -> tuple[str, int, Image.Image]:
        return "1 2 3", 7, self.preview(SeedBatch([7], self.net.mix.weight.device)).resize((64, 64))


def recipe(**changes: Any) -> Recipe:
    """Twenty updates of the made-up task, a checkpoint every five."""
    return Recipe(
        **{
            "name": "made_up",
            "task": MadeUp(),
            "steps": 20,
            "batch": 8,
            "optim": OptimConfig(lr=0.01, weight_decay=0.1),
            "schedule": ScheduleConfig(warmup=4, final=0.1),
            "ema": 0.9,
            "seed": 3,
            "checkpoint_every": 5,
            "preview_every": 10,
            "evaluate_every": 10,
            "evaluate_samples": 4,
            **changes,
        }
    )


def main() -> None:
    """One run, in this process; with torchrun, in all of them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--set", nargs="*", default=[])
    parser.add_argument("--slow", type=float, default=0.0)
    said = parser.parse_args()
    chosen = recipe()
    if said.resume and (said.out / "recipe.json").exists():
        chosen = saved_recipe(chosen, said.out)
    chosen = override(chosen, said.set)
    run(
        chosen,
        source=Pictures(slow=said.slow),
        task=build_task(chosen),
        out=said.out,
        resume=said.resume,
        progress=False,
    )
    if torch.distributed.is_initialized():
        line = f"processes {torch.distributed.get_world_size()}\n"
        sys.stdout.write(line)  # at once: two processes share the stream
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()


def changed_and_resumed(folder: Path, shared: Mapping[str, Any], changed: Mapping[str, Any]) -> None:
    """Three runs of eight steps: with `changed`, without, and with it but ended after four steps and resumed.
    What is changed makes another run, and the resumed one is the same as the whole, byte for byte.
    """
    from tests.train.kill import same_run

    whole, plain = recipe(**{**shared, **changed}), recipe(**shared)
    short = recipe(**{**shared, **changed, "steps": 4})
    for name, chosen, resume in (
        ("whole", whole, False),
        ("plain", plain, False),
        ("killed", short, False),
        ("killed", whole, True),
    ):
        task = build_task(chosen)
        run(chosen, source=Pictures(), task=task, out=folder / name, resume=resume, progress=False)
    same_run(folder / "killed", folder / "whole")
    weights = "checkpoints/00000008/model.safetensors"
    assert (folder / "whole" / weights).read_bytes() != (folder / "plain" / weights).read_bytes()
