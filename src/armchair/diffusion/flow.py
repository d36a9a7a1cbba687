"""Rectified flow: x = (1 - t) x0 + t eps along a straight line, t from 1 (noise) to 0 (clean).

arXiv:2209.03003; times as in arXiv:2403.03206.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from armchair.core.errors import BadInput
from armchair.core.rng import SeedBatch
from armchair.core.step import Step
from armchair.diffusion.prediction import Denoiser, Prediction
from armchair.diffusion.schedule import shifted

TIMES = 1000.0  # what a network is told of a flow's time 1, so that its sinusoids tell times apart


@dataclass(frozen=True, kw_only=True)
class Flow:
    """The levels of a flow; a denoiser of kind "flow" is told t (B,) as a number in 0 .. 1."""

    shift: float = 1.0  # above 1 more of the steps, and of the training, go to the noisy end

    def __post_init__(self) -> None:
        if not self.shift > 0:
            raise BadInput(f"shift {self.shift}: a number above 0 is needed; 1 is even")

    def times(self, steps: int) -> list[float]:
        """steps + 1 times, from 1 down to 0."""
        if steps < 1:
            raise BadInput(f"steps {steps}: at least 1 is needed")
        return [shifted(1 - i / steps, self.shift) for i in range(steps + 1)]

    def draw(self, rng: SeedBatch, mean: float = 0.0, std: float = 1.0) -> Tensor:
        """(B,) times to train at: the logistic of a normal number, shifted."""
        return shifted((rng.normal() * std + mean).sigmoid(), self.shift)

    def alpha_sigma(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """See Levels."""
        sigma = t.to(like).view(-1, *[1] * (like.ndim - 1))
        return 1 - sigma, sigma


def shift_for(tokens: int) -> float:
    """FLUX's shift for a picture of so many tokens: exp(0.5) at 256, exp(1.15) at 4096."""
    return math.exp(0.5 + (1.15 - 0.5) * (tokens - 256) / (4096 - 256))


@torch.no_grad()
def euler(denoise: Denoiser, x: Tensor, times: Sequence[float]) -> Iterator[Step]:
    """First order: one call of the denoiser a step."""
    for i, (t, after) in enumerate(zip(times, times[1:], strict=False)):
        found = _ask(denoise, x, t)
        x = found.x0 if after == 0 else x + (after - t) * _velocity(found)
        yield Step(i, len(times) - 1, x, found.x0)


@torch.no_grad()
def heun(denoise: Denoiser, x: Tensor, times: Sequence[float]) -> Iterator[Step]:
    """Second order: two calls a step, and one for the last, where there is no noise to look at."""
    for i, (t, after) in enumerate(zip(times, times[1:], strict=False)):
        found = _ask(denoise, x, t)
        if after == 0:
            x = found.x0
        else:
            there = _ask(denoise, x + (after - t) * _velocity(found), after)
            x = x + (after - t) * (_velocity(found) + _velocity(there)) / 2
        yield Step(i, len(times) - 1, x, found.x0)


def _velocity(found: Prediction) -> Tensor:
    return found.eps - found.x0


def _ask(denoise: Denoiser, x: Tensor, t: float) -> Prediction:
    return denoise(x, torch.full((len(x),), t, dtype=torch.float32, device=x.device))
