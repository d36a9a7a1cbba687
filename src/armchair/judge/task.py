"""Training the judge on rendered scenes, never on generated pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
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
from armchair.data.world.source import World
from armchair.judge.config import JudgeConfig
from armchair.judge.network import Judge, Maps
from armchair.judge.reading import Reader
from armchair.judge.scoring import Tally
from armchair.judge.soften import SHARP, Softening, frame, soften
from armchair.judge.targets import boards, targets, things_of, truth_of

if TYPE_CHECKING:
    from armchair.core.bundle import Bundle

FOCUS, FALL = 2, 4  # exponents of the loss of the middles (arXiv:1904.07850, equation 1)


@dataclass(frozen=True, kw_only=True)
class JudgeTaskConfig:
    """How to train the judge so that it reads soft pictures too."""

    net: JudgeConfig = field(default_factory=JudgeConfig)
    soft: Softening = field(default_factory=Softening)
    clean: float = 0.15  # share of the pictures that stay as rendered
    smoothing: float = 0.05  # of the concepts' labels
    weights: dict[str, float] = field(  # of the parts of the loss
        default_factory=lambda: {
            "middle": 1.0,
            "concept": 1.0,
            "box": 1.0,
            "colour": 0.5,
            "style": 0.6,
            "background": 0.3,
            "sign": 0.5,
        }
    )
    storage: str = "int8"

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
        truth_of(source[0], self.labels)

    def example(self, sample: Sample, generator: torch.Generator) -> dict[str, Tensor]:
        """image (3, S, S) uint8 and the maps of `targets`"""
        dice = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
        how = SHARP if dice.random() < self.config.clean else self.config.soft
        return self._example(sample, how, dice)

    def counts(self, data: dict[str, Tensor]) -> dict[str, float]:
        """things: middles · cells: those that tell of a thing"""
        return {
            "samples": float(len(data["image"])),
            "things": float((data["middle"] == 1).sum()),
            "cells": float((data["concept"] >= 0).sum()),
        }

    def loss(self, batch: Batch, rng: SeedBatch) -> tuple[Tensor, dict[str, float | Tensor]]:
        """The weighted sum of the parts, each of which is logged, and the share of cells named rightly."""
        data, totals = batch.data, batch.totals
        maps: Maps = self.net(data["image"].float() / 255)
        near = data["concept"] >= 0  # (B, g, g)
        concept, colour = (x.movedim(1, 3)[near] for x in (maps.concept, maps.colour))  # (N, K), (N, 9)
        label = data["concept"][near]
        ends = (maps.box - data["box"]).abs().movedim(1, 3)[near]  # (N, 4)
        places = ends[:, :2].sum() / 4 + ends[:, 2:].sum()  # a cell is a quarter of a common thing's side
        parts = {
            "middle": middle_loss(maps.middle, data["middle"]) / totals["things"],
            "concept": F.cross_entropy(concept, label, reduction="sum", label_smoothing=self.config.smoothing)
            / totals["cells"],
            "box": places / totals["cells"],
            "colour": F.cross_entropy(colour, data["colour"][near], reduction="sum") / totals["cells"],
            "style": F.cross_entropy(maps.style, data["style"], reduction="sum") / totals["samples"],
            "background": F.cross_entropy(maps.background, data["background"], reduction="sum")
            / totals["samples"],
            "sign": F.cross_entropy(maps.sign.flatten(0, 1), data["sign"].flatten(), reduction="sum")
            / totals["samples"],
        }
        loss = torch.stack([self.config.weights[name] * part for name, part in parts.items()]).sum()
        right = (concept.argmax(dim=1) == label).sum() / totals["cells"]
        return loss, {"right": right, **parts}

    def preview(self, rng: SeedBatch) -> None:
        """It draws nothing."""
        return None

    def evaluate(self, source: Source, n: int) -> dict[str, float]:
        """The tasks of `scoring` on n renders as they are, and ("soft_...") softened, in place.

        Of Emoji World: scenes of its test split, which training never shows.
        """
        if isinstance(source, World):
            source = World(replace(source.config, split="test"), source.art)
        reader = Reader(self.net, self.labels)
        tallies = {"": (SHARP, Tally()), "soft_": (self.config.soft, Tally())}
        device = next(self.net.parameters()).device
        for start in range(0, n, 50):
            samples = [source[i % len(source)] for i in range(start, min(n, start + 50))]
            scenes = [truth_of(s, self.labels) for s in samples]
            for how, tally in tallies.values():
                # nothing moves: the scene's own boxes are the truth
                still = replace(how, crop=0.0, bend=0.0)
                drawn = [
                    self._example(s, still, np.random.default_rng(i))["image"]
                    for i, s in enumerate(samples, start)
                ]
                readings = reader.read(torch.stack(drawn).to(device).float() / 255)
                for scene, reading in zip(scenes, readings, strict=True):
                    tally.add(scene, reading)
        return {f"{name}{task}": v for name, (_, t) in tallies.items() for task, v in t.shares().items()}

    def components(self) -> dict[str, Component]:
        """`judge`."""
        config = to_json(self.config.net)
        return {"judge": Component(config=config, tensors=self.net.state_dict(), storage=self.config.storage)}

    def golden(self) -> None:
        return None

    def _example(self, sample: Sample, how: Softening, dice: np.random.Generator) -> dict[str, Tensor]:
        scene = truth_of(sample, self.labels)
        boxes = [thing.box for thing in things_of(scene, self.labels)]
        chosen = frame(boxes, boards(scene), how, dice)
        pixels = soften(centre(sample.image, self.config.net.image_size), chosen, how, dice)
        image = torch.from_numpy(np.array(pixels)).permute(2, 0, 1)
        return {"image": image, **targets(scene, self.labels, chosen, self.config.net)}


def middle_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """The penalty-reduced focal loss of the middles, summed. logits, wanted (B, g, g): 1 at a middle."""
    p = logits.sigmoid()
    here = F.logsigmoid(logits) * (1 - p) ** FOCUS
    away = F.logsigmoid(-logits) * p**FOCUS * (1 - wanted) ** FALL
    return -torch.where(wanted == 1, here, away).sum()
