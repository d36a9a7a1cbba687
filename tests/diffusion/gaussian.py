"""Data whose best denoiser and whose exact solution have a closed form: every value from N(MEAN, STD^2)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from armchair.core.step import Step
from armchair.diffusion.prediction import Denoiser, Prediction
from armchair.diffusion.schedule import Levels, Schedule

MEAN, STD = 0.3, 0.5


def variance(alpha: float, sigma: float) -> float:
    """Of the noisy sample at a level."""
    return (alpha * STD) ** 2 + sigma**2


def best(levels: Levels, calls: list[float] | None = None) -> Denoiser:
    """E[x0 | x], which is what a network trained to perfection says. calls: is told every t."""

    def denoise(x: Tensor, t: Tensor) -> Prediction:
        if calls is not None:
            calls.append(t[0].item())
        alpha, sigma = levels.alpha_sigma(t, x)
        x0 = MEAN + alpha * STD**2 / ((alpha * STD) ** 2 + sigma**2) * (x - alpha * MEAN)
        return Prediction(x0, (x - alpha * x0) / sigma)

    return denoise


def exact(x: Tensor, start: tuple[float, float], end: tuple[float, float]) -> Tensor:
    """Where the probability-flow ODE takes x from one (alpha, sigma) to another."""
    scale = math.sqrt(variance(*end) / variance(*start))
    return end[0] * MEAN + scale * (x - start[0] * MEAN)


def even_log_snr(count: int, last: float = -4.0, first: float = 2.0) -> Schedule:
    """Levels at equal distances in log-SNR between the same two ends, however many."""
    log_snr = torch.linspace(first, last, count, dtype=torch.float64)
    return Schedule(alpha_bar=torch.sigmoid(2 * log_snr), times=torch.arange(count))


def mixed(schedule: Schedule, index: int) -> tuple[float, float]:
    """(alpha, sigma) of a level."""
    alpha_bar = schedule.alpha_bar[index].item()
    return math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)


def last(steps: Iterable[Step]) -> Tensor:
    """What a sampler ends with."""
    return [step.x for step in steps][-1]


def order(error: Callable[[int], float], counts: list[int]) -> list[float]:
    """The observed orders of convergence: log2 of what doubling the steps does to the error."""
    errors = [error(count) for count in counts]
    return [math.log2(a / b) for a, b in zip(errors, errors[1:], strict=False)]
