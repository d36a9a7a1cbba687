"""A recipe: all that a run depends on, in one frozen dataclass. `armchair train NAME --set field=value`
changes any of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch

from armchair.core.errors import BadInput
from armchair.core.rng import mix

if TYPE_CHECKING:
    from armchair.core.bundle import Bundle
    from armchair.core.task import Task


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """Which optimizer, and its numbers. Weight decay is decoupled and spares gains and biases."""

    name: Literal["adamw", "muon"] = "adamw"
    lr: float = 3e-4  # of AdamW; the schedule scales it
    betas: tuple[float, float] = (0.9, 0.95)  # AdamW's two averages
    eps: float = 1e-8
    weight_decay: float = 0.01
    muon_lr: float | None = None  # of Muon's matrices; None: lr, whose scale Muon's update has
    momentum: float = 0.95  # Muon's average
    newton_schulz_steps: int = 5  # Muon's iterations
    sam: float = 0.0  # radius of sharpness-aware minimisation, over either; twice the cost. 0: off

    def __post_init__(self) -> None:
        for name in ("lr", "eps"):
            _above(f"optim.{name}", getattr(self, name), 0)
        if self.muon_lr is not None:
            _above("optim.muon_lr", self.muon_lr, 0)
        _at_least("optim.weight_decay", self.weight_decay, 0)
        _at_least("optim.newton_schulz_steps", self.newton_schulz_steps, 1)
        _at_least("optim.sam", self.sam, 0)
        for name, value in (("betas", self.betas[0]), ("betas", self.betas[1]), ("momentum", self.momentum)):
            _share(f"optim.{name}", value)


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """The learning rate over the run, as a share of the optimizer's: a linear warm-up, then `kind` down to
    `final`.
    """

    kind: Literal["constant", "cosine", "linear", "constant-then-linear", "halving"] = "cosine"
    warmup: int = 100  # steps
    steps: int | None = None  # where `final` is reached; None: at the end of the run. Afterwards it stays
    final: float = 0.0  # share of the learning rate at the end
    tail: float = 0.2  # constant-then-linear: share of the steps that the descent takes

    def __post_init__(self) -> None:
        _at_least("schedule.warmup", self.warmup, 0)
        _at_least("schedule.final", self.final, 0)
        _share("schedule.tail", self.tail)
        if self.steps is not None:
            _at_least("schedule.steps", self.steps, 1)

    def scale(self, step: int, run_steps: int) -> float:
        """The share of the learning rate for update `step` (from 0) of a run of `run_steps`."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        end = run_steps if self.steps is None else self.steps
        done = min(1.0, (step - self.warmup) / max(1, end - self.warmup))
        return self.final + (1.0 - self.final) * self._left(done)

    def _left(self, done: float) -> float:
        """1 at the start of the descent, 0 at its end. done: 0..1"""
        match self.kind:
            case "constant":
                return 1.0
            case "cosine":
                return 0.5 * (1.0 + math.cos(math.pi * done))
            case "linear":
                return 1.0 - done
            case "constant-then-linear":
                return 1.0 if done <= 1.0 - self.tail else (1.0 - done) / self.tail
            case (
                "halving"
            ):  # DALL·E 1 halves five times, on plateaus (arXiv:2102.12092, B.2); here at equal distances
                return 0.5 ** min(5, int(6 * done))


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One run. `task.build(using, init)` makes the Task, `data.open()` the Source."""

    name: str
    task: Any  # a config dataclass with .build(using: Mapping[str, Bundle], init: Bundle | None) -> Task
    data: Any = None  # a config dataclass with .open() -> Source; None: --data is needed
    steps: int = 1000  # optimizer updates
    batch: int = 32  # samples an update, over all processes and micro-batches
    accumulate: int = 1  # micro-batches an update, in each process
    optim: OptimConfig = field(default_factory=OptimConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    ema: float = 0.999  # decay of the averaged weights, which previews, scores and bundles use; 0: off
    clip: float = 1.0  # largest norm of the gradient; 0: off
    # a storage that a bundle is to have: gradients are taken where weights are rounded as it rounds them
    rounding: Literal["int8", "int6"] | None = None
    precision: Literal["float32", "bfloat16"] = "float32"  # of autocast; the weights are float32 either way
    seed: int = 0  # of the weights, the data order, and every random draw
    workers: int = 0  # processes that prepare examples; 0: one thread
    checkpoint_every: int = 1000  # steps; the last step has one in any case
    keep: int = 2  # newest checkpoints kept
    preview_every: int = 0  # steps; 0: never
    evaluate_every: int = 0  # steps, and once at the end; 0: never
    evaluate_samples: int = 256
    enough: int = 0  # samples seen from which its pictures are worth a look; 0: those of the whole run
    licence: str = "Apache-2.0"  # of the bundle

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "accumulate", "checkpoint_every", "keep", "evaluate_samples"):
            _at_least(name, getattr(self, name), 1)
        for name in ("clip", "workers", "preview_every", "evaluate_every", "enough"):
            _at_least(name, getattr(self, name), 0)
        _share("ema", self.ema)


def build_task(recipe: Recipe, using: Mapping[str, Bundle] | None = None, init: Bundle | None = None) -> Task:
    """The recipe's Task, its fresh weights drawn from the recipe's seed; torch's global generator is left as
    it was.

    using: earlier stages by name ("dvae"); init: a bundle whose weights to start from.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix(recipe.seed, "init"))
        return recipe.task.build({} if using is None else using, init)


def _at_least(name: str, value: float, least: float) -> None:
    if not value >= least:
        raise BadInput(f"{name}={value}: at least {least} is needed")


def _above(name: str, value: float, bound: float) -> None:
    if not value > bound:
        raise BadInput(f"{name}={value}: more than {bound} is needed")


def _share(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise BadInput(f"{name}={value}: a number from 0 up to, but not including, 1 is needed")
