"""Training a denoiser: how wrong an output is, one number a sample.

B samples, C channels. t (B,) is drawn by the caller: `rng.randint(0, len(schedule))`, or `flow.draw(rng)`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from armchair.diffusion.prediction import Kind, learned_log_variance, predict, split
from armchair.diffusion.schedule import Levels, Schedule


def noised(x0: Tensor, eps: Tensor, t: Tensor, levels: Levels) -> Tensor:
    """x0, eps (B, C, ...), t (B,) -> x (B, C, ...) as the network sees it"""
    alpha, sigma = levels.alpha_sigma(t, x0)
    return alpha * x0 + sigma * eps


def target(x0: Tensor, eps: Tensor, t: Tensor, levels: Levels, kind: Kind) -> Tensor:
    """x0, eps (B, C, ...), t (B,) -> (B, C, ...) what a network of this kind should have said"""
    match kind:
        case "eps":
            return eps
        case "x0":
            return x0
        case "v":
            alpha, sigma = levels.alpha_sigma(t, x0)
            return alpha * eps - sigma * x0
        case "flow":
            return eps - x0


def simple(
    output: Tensor,
    x0: Tensor,
    eps: Tensor,
    t: Tensor,
    levels: Levels,
    kind: Kind,
    min_snr: float | None = None,
) -> Tensor:
    """Mean squared error of the output (B, C, ...), or of the first half of (B, 2C, ...) -> (B,) float32

    min_snr: weigh the levels by min(SNR, min_snr), in units of x0's error (arXiv:2303.09556); None: not.
    """
    value, _ = split(output.to(x0.dtype), x0)
    error = _mean((value - target(x0, eps, t, levels, kind)).square())
    if min_snr is None:
        return error
    alpha, sigma = (part.flatten() for part in levels.alpha_sigma(t, x0))
    snr = (alpha / sigma).square()
    units = {"eps": snr, "x0": torch.ones_like(snr), "v": snr + 1, "flow": sigma**-2}[kind]
    # an error of 1 in the output is one of 1 / sqrt(units) in x0
    return error * snr.clamp_max(min_snr) / units.clamp_min(1e-12)


def hybrid(
    output: Tensor,
    x0: Tensor,
    eps: Tensor,
    t: Tensor,
    schedule: Schedule,
    kind: Kind,
    vlb_weight: float = 1.0,
) -> Tensor:
    """arXiv:2102.09672, equation 16: `simple` of the mean and, for the variance alone, `vlb`.

    output (B, 2C, ...) -> (B,). vlb_weight: 1 is the paper's lambda of 0.001 at any number of time steps T,
    since one step's term stands for T of them.
    """
    bound = vlb(output, x0, eps, t, schedule, kind, detach_mean=True)
    return simple(output, x0, eps, t, schedule, kind) + vlb_weight * len(schedule) / 1000 * bound


def vlb(
    output: Tensor,
    x0: Tensor,
    eps: Tensor,
    t: Tensor,
    schedule: Schedule,
    kind: Kind,
    detach_mean: bool = False,
) -> Tensor:
    """One step's term of the variational bound, in bits a dimension -> (B,)

    output (B, 2C, ...); x0: pixels of 8 bits scaled to -1..1, which the first level's likelihood counts in
    bins. detach_mean: let it teach the variance alone.
    """
    value, variance = split(output.to(x0.dtype), x0)
    assert variance is not None, "the bound needs a learned variance"
    x = noised(x0, eps, t, schedule)
    found = predict(value.detach() if detach_mean else value, x, t, schedule, kind).x0
    at_x0, at_x = (schedule.lookup(table, t, x) for table in _posterior_weights(schedule))
    true_mean, mean = at_x0 * x0 + at_x * x, at_x0 * found + at_x * x
    true_log_variance = schedule.lookup(schedule.log_variance_range[0], t, x)
    log_variance = learned_log_variance(variance, t, schedule)
    kl = 0.5 * (
        log_variance
        - true_log_variance
        + (true_log_variance - log_variance).exp()
        + (true_mean - mean).square() * (-log_variance).exp()
        - 1
    )
    first = _bins_nll(x0, mean, (0.5 * log_variance).exp())
    return torch.where(schedule.index(t) == 0, _mean(first), _mean(kl)) / math.log(2)


def _posterior_weights(schedule: Schedule) -> tuple[Tensor, Tensor]:
    """(N,) each: what the mean of the level before takes of x0 and of x (arXiv:2006.11239, equation 7)"""
    before, here, beta = schedule.alpha_bar_before, schedule.alpha_bar, schedule.beta
    return before.sqrt() * beta / (1 - here), (1 - beta).sqrt() * (1 - before) / (1 - here)


def _bins_nll(x0: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """-log of the Gaussian's mass in each pixel's bin of 2/255, the outer bins open-ended, in nats."""
    low = torch.where(x0 < -0.999, -torch.inf, (x0 - mean - 1 / 255) / std)
    high = torch.where(x0 > 0.999, torch.inf, (x0 - mean + 1 / 255) / std)
    flip = low > 0  # the far tail of the right side, by symmetry from the left one, where it has digits
    low, high = torch.where(flip, -high, low), torch.where(flip, -low, high)
    mass = (torch.erfc(-high / math.sqrt(2)) - torch.erfc(-low / math.sqrt(2))) / 2
    return -mass.clamp_min(1e-12).log()


def _mean(value: Tensor) -> Tensor:
    """(B, ...) -> (B,)"""
    return value.flatten(1).mean(dim=1)
