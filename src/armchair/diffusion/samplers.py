"""From noise to a sample: generators of Step over a denoiser.

All walk a schedule from its last level to its first and then to the clean sample, one call of the denoiser a
step; coefficients are Python floats of 64 bits. x (B, C, ...) starts as noise of the last level, which is
`seeds.normal(C, ...)`. The noise of a step comes from `seeds`, one generator an image.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from armchair.core.errors import BadInput
from armchair.core.rng import SeedBatch
from armchair.core.step import Step
from armchair.diffusion.prediction import Denoiser, Prediction
from armchair.diffusion.schedule import Schedule


@torch.no_grad()
def ddpm(denoise: Denoiser, x: Tensor, schedule: Schedule, seeds: SeedBatch) -> Iterator[Step]:
    """Ancestral sampling (arXiv:2006.11239). The variance is the network's where it has learned one
    (arXiv:2102.09672), else the posterior's, the smallest of its range.
    """
    for i, here, after in _walk(schedule):
        found = _ask(denoise, x, schedule, i)
        x = _mean(found, after, _posterior_variance(here, after))
        if after < 1:
            log_variance = found.log_variance
            if log_variance is None:
                spread: Tensor | float = _posterior_variance(here, after) ** 0.5
            else:
                spread = (0.5 * log_variance).exp()
            x = x + spread * seeds.normal(*x.shape[1:])
        yield _step(i, schedule, x, found)


@torch.no_grad()
def ddim(
    denoise: Denoiser, x: Tensor, schedule: Schedule, seeds: SeedBatch | None = None, eta: float = 0.0
) -> Iterator[Step]:
    """arXiv:2010.02502, equation 12. eta 0 is deterministic and needs no seeds, 1 is DDPM's variance."""
    _check_eta(eta, seeds)
    for i, here, after in _walk(schedule):
        found = _ask(denoise, x, schedule, i)
        variance = eta**2 * _posterior_variance(here, after)
        x = _mean(found, after, variance)
        if variance > 0 and seeds is not None:
            x = x + variance**0.5 * seeds.normal(*x.shape[1:])
        yield _step(i, schedule, x, found)


@torch.no_grad()
def ddim_invert(denoise: Denoiser, x0: Tensor, schedule: Schedule, corrections: int = 0) -> Iterator[Step]:
    """A clean sample to the noise that `ddim` with eta 0 turns into it (arXiv:2105.05233, appendix F).

    Step.x is the sample at level `index`; the last one is what `ddim` starts from. corrections: how often
    each level is found again with the noise that the network sees at the level itself, as `ddim` will; each
    costs a call a level. Give it a denoiser that does not clip x0.
    """
    if corrections < 0:
        raise BadInput(f"corrections {corrections}: 0 or more")
    x, before, levels = x0, 1.0, _floats(schedule.alpha_bar)
    found = _ask(denoise, x, schedule, 0)
    for i, here in enumerate(levels):
        start = x
        x = _climb(start, found, before, here)
        for _ in range(corrections):
            found = _ask(denoise, x, schedule, i)
            x = _climb(start, found, before, here)
        yield Step(i, len(levels), x, found.x0)
        if i + 1 < len(levels):
            found = _ask(denoise, x, schedule, i)
        before = here


@torch.no_grad()
def analytic_dpm(
    denoise: Denoiser, x: Tensor, schedule: Schedule, gamma: Tensor, seeds: SeedBatch, eta: float = 1.0
) -> Iterator[Step]:
    """Ancestral sampling with the variance that is optimal for the mean (arXiv:2201.06503).

    gamma (N,): E |eps|^2 / d at each level of this schedule, from `noise_power`. eta as in `ddim`.
    """
    _check_eta(eta, seeds)
    assert gamma.shape == schedule.alpha_bar.shape, (tuple(gamma.shape), len(schedule))
    for i, here, after in _walk(schedule):
        found = _ask(denoise, x, schedule, i)
        least = eta**2 * _posterior_variance(here, after)
        x = _mean(found, after, least)
        if after < 1:
            unknown = min(1.0, max(0.0, (1 - here) / here * (1 - float(gamma[i])))) if here > 0 else 1.0
            # how far the mean moves with x0, squared, times what is unknown of x0
            moves = math.sqrt(after) - math.sqrt((1 - after - least) * here / (1 - here))
            x = x + math.sqrt(least + moves**2 * unknown) * seeds.normal(*x.shape[1:])
        yield _step(i, schedule, x, found)


@torch.no_grad()
def noise_power(denoise: Denoiser, batches: Iterable[Tensor], schedule: Schedule, seeds: SeedBatch) -> Tensor:
    """gamma of `analytic_dpm`: E |eps|^2 / d over batches of clean samples (B, C, ...), (N,) float64.

    seeds: one a sample of a batch, all batches of one size. The denoiser must not clip x0.
    """
    total, count = torch.zeros(len(schedule), dtype=torch.float64), 0
    for x0 in batches:
        for i, value in enumerate(_floats(schedule.alpha_bar)):
            x = math.sqrt(value) * x0 + math.sqrt(1 - value) * seeds.normal(*x0.shape[1:])
            total[i] += _ask(denoise, x, schedule, i).eps.square().mean().cpu()
        count += 1
    assert count > 0, "no batch"
    return total / count


@torch.no_grad()
def dpm_solver_pp_2m(denoise: Denoiser, x: Tensor, schedule: Schedule) -> Iterator[Step]:
    """DPM-Solver++(2M) (arXiv:2211.01095, algorithm 2): second order from the x0 of two steps, deterministic.

    The first and the last step are of first order: before the first there is none, and to the clean sample
    the second would need an infinite stride.
    """
    last: tuple[Tensor, float] | None = None  # the x0 and the stride, in log-SNR, of the step before
    for i, here, after in _walk(schedule):
        found = _ask(denoise, x, schedule, i)
        stride = _log_snr(after) - _log_snr(here)
        x0 = found.x0
        if last is not None and after < 1:
            ratio = stride / last[1] / 2  # 0 where the step before came from no signal at all
            x0 = (1 + ratio) * found.x0 - ratio * last[0]
        scale = math.sqrt((1 - after) / (1 - here))
        x = scale * x - math.sqrt(after) * math.expm1(-stride) * x0 if after < 1 else found.x0
        last = found.x0, stride
        yield _step(i, schedule, x, found)


def _walk(schedule: Schedule) -> Iterator[tuple[int, float, float]]:
    """(level, its alpha_bar, alpha_bar of the level that the step arrives at), the noisiest first."""
    here, after = _floats(schedule.alpha_bar), _floats(schedule.alpha_bar_before)
    for i in reversed(range(len(schedule))):
        yield i, here[i], after[i]


def _floats(table: Tensor) -> list[float]:
    return [float(value) for value in table]


def _ask(denoise: Denoiser, x: Tensor, schedule: Schedule, i: int) -> Prediction:
    t = torch.full((len(x),), int(schedule.times[i]), dtype=torch.int64, device=x.device)
    return denoise(x, t)


def _mean(found: Prediction, after: float, variance: float) -> Tensor:
    """Of the next level, of which `variance` is left to fresh noise."""
    if after == 1:
        return found.x0
    return math.sqrt(after) * found.x0 + math.sqrt(1 - after - variance) * found.eps


def _climb(x: Tensor, found: Prediction, before: float, here: float) -> Tensor:
    """x of a level to the noisier one from which DDIM, seeing `found` there, comes back to x.

    By eps where there is more signal and by x0 where there is more noise: of the two equal forms the one that
    moves less with what is seen, so that corrections converge.
    """
    if here > 0.5 or before == 1:
        scale = math.sqrt(here / before)
        return scale * x + (math.sqrt(1 - here) - scale * math.sqrt(1 - before)) * found.eps
    scale = math.sqrt((1 - here) / (1 - before))
    return scale * x + (math.sqrt(here) - scale * math.sqrt(before)) * found.x0


def _posterior_variance(here: float, after: float) -> float:
    return (1 - here / after) * (1 - after) / (1 - here)


def _log_snr(alpha_bar: float) -> float:
    if alpha_bar in (0.0, 1.0):
        return math.inf if alpha_bar == 1.0 else -math.inf
    return 0.5 * math.log(alpha_bar / (1 - alpha_bar))


def _step(i: int, schedule: Schedule, x: Tensor, found: Prediction) -> Step:
    return Step(len(schedule) - 1 - i, len(schedule), x, found.x0)


def _check_eta(eta: float, seeds: SeedBatch | None) -> None:
    if not 0 <= eta <= 1:
        raise BadInput(f"eta {eta}: from 0 (no noise between steps) to 1 (as much as DDPM)")
    assert eta == 0 or seeds is not None, "noise between steps needs seeds"
