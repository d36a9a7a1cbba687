"""Training the judge on rendered single objects, never on generated pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from armchair.core.bundle import Component
from armchair.core.config import to_json
from armchair.core.errors import BadInput
from armchair.core.packing import fill_module
from armchair.core.rng import SeedBatch
from armchair.core.task import Batch, Sample, Source
from armchair.data.augment import centre
from armchair.data.world.concepts import load_concepts
from armchair.data.world.scene import Scene
from armchair.judge.config import JudgeConfig
from armchair.judge.network import Judge

if TYPE_CHECKING:
    from armchair.core.bundle import Bundle


@dataclass(frozen=True, kw_only=True)
class JudgeTaskConfig:
    """How to train the judge so that it reads soft pictures too."""

    net: JudgeConfig = field(default_factory=JudgeConfig)
    soften: float = 0.7  # share of the pictures that are shrunk and grown again
    smallest: int = 24  # pixels per side that a picture is shrunk to at most
    noise: float = 0.06  # standard deviation of the strongest noise, of pixels in [0, 1]
    shift: int = 4  # pixels by which a picture is moved at most, the edge repeated
    smoothing: float = 0.05  # of the labels
    storage: str = "float16"

    def build(self, using: Mapping[str, Bundle], init: Bundle | None) -> JudgeTask:
        """The task with fresh weights, or with those of `init`."""
        if using:
            raise BadInput(f"--using {next(iter(using))}: the judge builds on no other network")
        task = JudgeTask(self)
        if init is not None:
            fill_module(task.net, init.tensors("judge"), "judge")
        return task


class JudgeTask:
    """One network, `net`, and the concepts' numbers."""

    bundle_kind = "judge"
    languages: tuple[str, ...] = ()
    defaults: Mapping[str, float] = {}

    def __init__(self, config: JudgeTaskConfig):
        self.config = config
        self.net = Judge(config.net)
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.labels = {c.name: i for i, c in enumerate(load_concepts()[: config.net.concepts])}

    def prepare(self, source: Source, rng: torch.Generator) -> None:
        """Raises BadInput for a source that is not Emoji World: only there is the truth known."""
        self._concept(source[0])

    def example(self, sample: Sample, generator: torch.Generator) -> dict[str, Tensor]:
        """image (3, S, S) uint8, label () int64"""
        pixels = soften(centre(sample.image, self.config.net.image_size), self.config, generator)
        return {
            "image": torch.from_numpy(pixels).permute(2, 0, 1),
            "label": torch.tensor(self._concept(sample)),
        }

    def counts(self, data: dict[str, Tensor]) -> dict[str, float]:
        return {"samples": float(len(data["label"]))}

    def loss(self, batch: Batch, rng: SeedBatch) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Cross-entropy with smoothed labels, and the share named rightly."""
        logits = self.net(batch.data["image"].float() / 255)
        label = batch.data["label"]
        smoothing = self.config.smoothing
        loss = (
            F.cross_entropy(logits, label, reduction="sum", label_smoothing=smoothing)
            / batch.totals["samples"]
        )
        right = (logits.argmax(dim=1) == label).sum() / batch.totals["samples"]
        return loss, {"right": right}

    def preview(self, rng: SeedBatch) -> None:
        """It draws nothing."""
        return None

    def evaluate(self, source: Source, n: int) -> dict[str, float]:
        """The share of n renders that it names rightly, sharp and softened as in training."""
        device = next(self.net.parameters()).device
        right = {"sharp": 0, "soft": 0}
        for start in range(0, n, 64):
            samples = [source[i % len(source)] for i in range(start, min(n, start + 64))]
            label = torch.tensor([self._concept(s) for s in samples], device=device)
            soft = [
                self.example(s, torch.Generator().manual_seed(i))["image"]
                for i, s in enumerate(samples, start)
            ]
            sharp = [torch.from_numpy(np.ascontiguousarray(s.image)).permute(2, 0, 1) for s in samples]
            for name, images in (("sharp", sharp), ("soft", soft)):
                logits = self.net(torch.stack(images).to(device).float() / 255)
                right[name] += int((logits.argmax(dim=1) == label).sum())
        return {name: count / n for name, count in right.items()}

    def components(self) -> dict[str, Component]:
        """`judge`."""
        config = to_json(self.config.net)
        return {"judge": Component(config=config, tensors=self.net.state_dict(), storage=self.config.storage)}

    def golden(self) -> None:
        return None

    def _concept(self, sample: Sample) -> int:
        scene = sample.truth
        if not isinstance(scene, Scene) or len(scene.things) != 1:
            raise BadInput(f"sample {sample.key} is no single object of Emoji World, whose name is known")
        name = scene.things[0].concept
        if name not in self.labels:
            known = len(self.labels)
            raise BadInput(
                f"sample {sample.key} shows {name!r}, which is not among the first {known} concepts that "
                f"task.net.concepts keeps apart: say --set data.concepts={known} too"
            )
        return self.labels[name]


def soften(image: np.ndarray, config: JudgeTaskConfig, generator: torch.Generator) -> np.ndarray:
    """(S, S, 3) uint8 -> the same shape: moved a little, often shrunk and grown again, with noise."""
    size, shift = config.net.image_size, config.shift
    u = torch.rand(5, generator=generator).tolist()
    top, left = int(u[0] * (2 * shift + 1)), int(u[1] * (2 * shift + 1))
    moved = np.pad(image, ((shift, shift), (shift, shift), (0, 0)), mode="edge")[
        top : top + size, left : left + size
    ]
    if u[2] < config.soften:
        small = config.smallest + int(u[3] * (size - config.smallest))
        picture = Image.fromarray(np.ascontiguousarray(moved)).resize((small, small), Image.Resampling.BOX)
        moved = np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC))
    noise = torch.randn(moved.shape, generator=generator).numpy() * (255 * config.noise * u[4])
    return np.clip(moved + noise, 0, 255).astype(np.uint8)
