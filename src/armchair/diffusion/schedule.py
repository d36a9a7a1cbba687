"""Noise levels: how much of the signal is left at each time step, and which steps a sampler visits.

x = alpha x0 + sigma eps, with alpha = sqrt(alpha_bar) and sigma = sqrt(1 - alpha_bar). Tables are float64.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from armchair.core.errors import BadInput

CPU = torch.device("cpu")  # also while a network is being built on the meta device
MAX_BETA = 0.999  # no step takes away more of the signal's power than this
COSINE_OFFSET = 0.008  # keeps the first steps of the cosine schedule from being too small (arXiv:2102.09672)
Place = TypeVar("Place", float, Tensor)


class Levels(Protocol):
    """Whatever says how signal and noise are mixed at a time: a Schedule, or Flow."""

    def alpha_sigma(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """t (B,) -> alpha and sigma, each (B, 1, ...) with as many dimensions as `like`, its dtype, device"""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Schedule:
    """N noise levels, the least noisy first.

    A level carries the number that the network knows it by: its place among the levels of training. A
    respaced schedule keeps those numbers, so it is what a denoiser and a sampler are given together.
    """

    alpha_bar: Tensor  # (N,) float64 on the CPU, falling, below 1; the last may be 0
    times: Tensor  # (N,) int64 on the CPU, rising: t as the network is told it
    end: float = 1.0  # alpha_bar that the step from the first level arrives at; 1 is the clean sample

    def __post_init__(self) -> None:
        values, times = self.alpha_bar, self.times
        assert values.dtype == torch.float64 and values.ndim == 1 and len(values) > 0, values
        assert times.shape == values.shape and times.dtype == torch.int64, times
        assert bool((values.diff() < 0).all()) and 0 <= values[-1] and values[0] < 1, "alpha_bar must fall"
        assert bool((times.diff() > 0).all()), "times must rise"
        assert values[0] <= self.end <= 1, self.end

    def __len__(self) -> int:
        return len(self.alpha_bar)

    @classmethod
    def from_beta(cls, beta: Tensor) -> Schedule:
        """beta (T,): the share of the signal's power that each step replaces with noise"""
        return cls(alpha_bar=(1 - beta.double()).cumprod(0), times=torch.arange(len(beta), device=CPU))

    @classmethod
    def cosine(cls, steps: int = 1000) -> Schedule:
        """Of DALL·E 2's prior, decoder and first upsampler (arXiv:2102.09672, equation 17)."""
        u = torch.arange(_count(steps) + 1, dtype=torch.float64, device=CPU) / steps
        signal = ((u + COSINE_OFFSET) / (1 + COSINE_OFFSET) * math.pi / 2).cos() ** 2  # (T + 1,)
        return cls.from_beta((1 - signal[1:] / signal[:-1]).clamp_max(MAX_BETA))

    @classmethod
    def linear(cls, steps: int = 1000) -> Schedule:
        """Of DDPM and of DALL·E 2's last upsampler; beta from 1e-4 to 0.02, both scaled by 1000 / steps."""
        scale = 1000 / _count(steps)
        beta = torch.linspace(1e-4 * scale, 0.02 * scale, steps, dtype=torch.float64, device=CPU)
        return cls.from_beta(beta.clamp_max(MAX_BETA))

    @classmethod
    def scaled_linear(cls, steps: int = 1000, first: float = 0.00085, last: float = 0.012) -> Schedule:
        """Of Stable Diffusion: the square root of beta is linear."""
        root = torch.linspace(first**0.5, last**0.5, _count(steps), dtype=torch.float64, device=CPU)
        return cls.from_beta(root.square())

    def zero_terminal_snr(self) -> Schedule:
        """The same with no signal left at the last level and the first level as it was (arXiv:2305.08891,
        algorithm 1). A network that predicts eps cannot draw from there; v or x0 can.
        """
        if len(self) == 1:
            raise BadInput("a schedule of 1 step has no last level beside its first to take the signal from")
        alpha = self.alpha_bar.sqrt()
        alpha = (alpha - alpha[-1]) * (alpha[0] / (alpha[0] - alpha[-1]))
        return replace(self, alpha_bar=alpha.square())

    def respace(self, steps: int | str, shift: float = 1.0) -> Schedule:
        """The levels that a sampler visits.

        shift: where steps is a number, above 1 they are those of a flow, 1/steps .. 1 as `shifted` moves
        them, so that more of them are noisy.

        25 or "25": evenly spaced, both ends included.  "10,10,3,2,2": equal sections of the times, so many
        steps in each, the least noisy section first.  "ddim25": every T // 25th, from the first.  "fast27":
        GLIDE's, five sections and the last step but two.  "logsnr25": evenly spaced in log(alpha / sigma).
        "trailing4": evenly spaced, the last level and not the first (arXiv:2305.08891, 3.3), for few steps.
        "leading50": every T // 50th, from the second, as published schedulers of Stable Diffusion do.
        Raises BadInput for what this schedule cannot give.
        """
        return self.take(visited(self, steps) if shift == 1 else _flow_like(len(self), steps, shift))

    def take(self, indices: Sequence[int]) -> Schedule:
        """Some of the levels, by their place here, rising."""
        picked = torch.tensor(list(indices), dtype=torch.int64, device=CPU)
        return replace(self, alpha_bar=self.alpha_bar[picked], times=self.times[picked])

    def ending_at(self, alpha_bar: float) -> Schedule:
        """The same, left with some noise at the end of drawing. alpha_bar: at least the first level's."""
        return replace(self, end=alpha_bar)

    def index(self, t: Tensor) -> Tensor:
        """t (B,) as the network is told it -> (B,) places in this schedule"""
        return torch.searchsorted(self.times.to(t.device), t)

    def alpha_sigma(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """See Levels."""
        return self.lookup(self.alpha_bar.sqrt(), t, like), self.lookup((1 - self.alpha_bar).sqrt(), t, like)

    def lookup(self, table: Tensor, t: Tensor, like: Tensor) -> Tensor:
        """table (N,), t (B,) as the network is told it -> (B, 1, ...) that broadcasts against `like`"""
        values = table.to(like.dtype).to(like.device)[self.index(t).to(like.device)]  # (B,)
        return values.view(-1, *[1] * (like.ndim - 1))

    @cached_property
    def log_snr(self) -> Tensor:
        """(N,) lambda = log(alpha / sigma), falling; -inf where no signal is left"""
        return 0.5 * (self.alpha_bar.log() - (1 - self.alpha_bar).log())

    @cached_property
    def alpha_bar_before(self) -> Tensor:
        """(N,) alpha_bar of the level that a step from here arrives at; `end` for the first"""
        return torch.cat([self.alpha_bar.new_full((1,), self.end), self.alpha_bar[:-1]])

    @cached_property
    def beta(self) -> Tensor:
        """(N,) the share of the signal's power lost between the level before and this one"""
        return 1 - self.alpha_bar / self.alpha_bar_before

    @cached_property
    def posterior_variance(self) -> Tensor:
        """(N,) of the level before, given this one and x0; 0 for the first"""
        return self.beta * (1 - self.alpha_bar_before) / (1 - self.alpha_bar)

    @cached_property
    def log_variance_range(self) -> tuple[Tensor, Tensor]:
        """(N,) each: the logarithms of the smallest and the largest variance that a reverse step can want.

        They are the posterior's and beta. Before the clean sample the first level's posterior has none, and
        takes the second's.
        """
        largest = self.beta.log()
        if len(self) == 1:
            return largest, largest
        smallest = self.posterior_variance.clone()
        if self.end == 1:
            smallest[0] = smallest[1]
        return smallest.log(), largest


def visited(schedule: Schedule, steps: int | str) -> list[int]:
    """Which levels, rising, for a word of Schedule.respace."""
    total = len(schedule)
    word = str(steps).strip()
    if re.fullmatch(r"\d+(\s*,\s*\d+)*", word) is not None:
        return _sections(total, [int(part) for part in word.split(",")], word)
    if word == "fast27":
        chosen = set(_sections(total, [10, 10, 3, 2, 2], word))
        return sorted(chosen - {total - 1} | {total - 3})
    found = re.fullmatch(r"(ddim|logsnr|trailing|leading)(\d+)", word)
    if found is None:
        raise BadInput(
            f"steps {word!r}: give a number, or numbers of sections such as 10,10,3,2,2, or one of ddim25, "
            "logsnr25, trailing25, leading25, fast27"
        )
    count = _fits(total, int(found[2]), word)
    match found[1]:
        case "ddim":
            return _strided(total, count, word)
        case "logsnr":
            return _even_in_log_snr(schedule, count)
        case "leading":
            _fits(total - 1, count, f"{word} (the first level is left out)")
            return [1 + i * (total // count) for i in range(count)]
        case _:
            return [round((i + 1) * total / count) - 1 for i in range(count)]


def shifted(u: Place, shift: float) -> Place:
    """Places in 0..1, above a shift of 1 nearer to 1, the noisy end (arXiv:2403.03206, equation 23)."""
    return shift * u / (1 + (shift - 1) * u)


def _flow_like(total: int, steps: int | str, shift: float) -> list[int]:
    """The last level and not the first, and none twice."""
    word = str(steps).strip()
    if not word.isdecimal():
        raise BadInput(f"steps {word!r}: a shift of {shift:g} goes with a number of steps")
    count = _fits(total, int(word), word)
    even = [(i + 1) / count for i in range(count)]
    return _apart([round(shifted(u, shift) * total) - 1 for u in even], total)


def _apart(places: Sequence[int], total: int) -> list[int]:
    """Rising places of 0 .. total - 1, moved on as far as it takes that none comes twice."""
    chosen: list[int] = []
    for i, place in enumerate(places):
        least = chosen[-1] + 1 if chosen else 0
        chosen.append(min(max(place, least), total - len(places) + i))  # room for those that follow
    return chosen


def _sections(total: int, counts: list[int], word: str) -> list[int]:
    """`counts[k]` steps of the k-th of equal sections of 0 .. total - 1; the first ones take what is left
    over. A section's lone step is its noisiest.
    """
    size, extra = divmod(total, len(counts))
    chosen: list[int] = []
    for k, count in enumerate(counts):
        start, length = k * size + min(k, extra), size + (k < extra)
        _fits(length, count, word if len(counts) == 1 else f"{word} ({count} in a section)")
        stride = (length - 1) / (count - 1) if count > 1 else 0.0
        chosen += [start + round(i * stride) if count > 1 else start + length - 1 for i in range(count)]
    return chosen


def _strided(total: int, count: int, word: str) -> list[int]:
    for stride in range(1, total + 1):
        if len(range(0, total, stride)) == count:
            return list(range(0, total, stride))
    raise BadInput(f"steps {word}: no whole stride takes {count} of {total} time steps; leave out 'ddim'")


def _even_in_log_snr(schedule: Schedule, count: int) -> list[int]:
    """The levels nearest to even distances in log-SNR, both ends included and none twice."""
    total, values = len(schedule), schedule.log_snr.clone()
    if values[-1].isinf():
        values[-1] = 2 * values[-2] - values[-3] if total > 2 else values[0] - 1
    ends = values[0].item(), values[-1].item()
    wanted = torch.linspace(*ends, count, dtype=torch.float64, device=CPU)
    if count == 1:
        return [total - 1]
    return _apart([int((values - value).abs().argmin()) for value in wanted], total)


def _fits(total: int, count: int, word: str) -> int:
    if not 1 <= count <= total:
        raise BadInput(f"steps {word}: at least 1, and at most the {total} time steps that there are")
    return count


def _count(steps: int) -> int:
    if steps < 1:
        raise BadInput(f"a schedule of {steps} steps: at least 1 is needed")
    return steps
