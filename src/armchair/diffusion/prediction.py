"""What a network says about a noisy sample, as a clean sample: eps, x0, v and flow, with learned variance.

B samples, C channels. A denoiser is made from a network's raw output, after guidance:

    denoise = denoiser(guided(net, cond, uncond, guidance), schedule, "eps")
    denoise = keeping(clipped(denoise, schedule), schedule, known, keep)        where wanted
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from armchair.core.errors import BadInput
from armchair.diffusion.schedule import Levels, Schedule

Kind = Literal["eps", "x0", "v", "flow"]  # v = alpha eps - sigma x0; flow = eps - x0, where alpha + sigma = 1


class Prediction(NamedTuple):
    """x = alpha x0 + sigma eps holds between the two."""

    x0: Tensor  # (B, C, ...) the clean sample
    eps: Tensor  # (B, C, ...) the noise
    log_variance: Tensor | None = None  # (B, C, ...) of the next step, where the network has learned it


Output = Callable[[Tensor, Tensor], Tensor]  # x (B, C, ...), t (B,) -> (B, C, ...), or 2C with the variance
Denoiser = Callable[[Tensor, Tensor], Prediction]  # x (B, C, ...), t (B,)


def denoiser(output: Output, levels: Levels, kind: Kind) -> Denoiser:
    """A network's output as a denoiser.

    levels: for a learned variance the schedule that the sampler walks (respaced), since the variance belongs
    to its steps. Raises BadInput where eps is predicted and nothing but noise is left at the last level.
    """
    if kind == "eps" and isinstance(levels, Schedule) and levels.alpha_bar[-1] == 0:
        raise BadInput(
            "a network that predicts eps cannot start from pure noise (alpha_bar 0): use v or x0, or a "
            "schedule that keeps some signal"
        )

    def denoise(x: Tensor, t: Tensor) -> Prediction:
        return predict(output(x, t), x, t, levels, kind)

    return denoise


def predict(output: Tensor, x: Tensor, t: Tensor, levels: Levels, kind: Kind) -> Prediction:
    """output (B, C, ...) or (B, 2C, ...), x (B, C, ...), t (B,) -> both sides of the mixture, in x's dtype"""
    value, variance = split(output.to(x.dtype), x)
    alpha, sigma = levels.alpha_sigma(t, x)
    match kind:
        case "eps":
            x0, eps = (x - sigma * value) / alpha, value
        case "x0":
            x0, eps = value, (x - alpha * value) / sigma
        case "v":
            x0, eps = alpha * x - sigma * value, alpha * value + sigma * x
        case "flow":
            x0, eps = x - sigma * value, x + alpha * value
    if variance is None:
        return Prediction(x0, eps)
    assert isinstance(levels, Schedule), "only a Schedule has reverse steps whose variance could be learned"
    return Prediction(x0, eps, learned_log_variance(variance, t, levels))


def split(output: Tensor, x: Tensor) -> tuple[Tensor, Tensor | None]:
    """The prediction and, where the output has twice the channels of x, the variance's channels."""
    channels = x.shape[1]
    assert output.shape[1] in (channels, 2 * channels), (tuple(output.shape), tuple(x.shape))
    return output[:, :channels], output[:, channels:] if output.shape[1] > channels else None


def learned_log_variance(variance: Tensor, t: Tensor, schedule: Schedule) -> Tensor:
    """variance (B, C, ...), -1 for the smallest and 1 for the largest of the range, on a log scale
    (arXiv:2102.09672, equation 15) -> the same shape
    """
    smallest, largest = (schedule.lookup(table, t, variance) for table in schedule.log_variance_range)
    return smallest + (variance + 1) / 2 * (largest - smallest)


def with_x0(prediction: Prediction, x0: Tensor, x: Tensor, t: Tensor, levels: Levels) -> Prediction:
    """Another clean sample, and the noise that then explains x."""
    alpha, sigma = levels.alpha_sigma(t, x)
    return prediction._replace(x0=x0, eps=(x - alpha * x0) / sigma)


def clipped(
    denoise: Denoiser, levels: Levels, limit: float = 1.0, percentile: float | None = None
) -> Denoiser:
    """Keep x0 within -limit .. limit.

    percentile: dynamic thresholding (arXiv:2205.11487, 2.3): where this share of a sample's |x0| ends beyond
    the limit, the sample is clipped there and then scaled back to the limit. Raises BadInput outside 0..1.
    """
    if percentile is not None and not 0 < percentile <= 1:
        raise BadInput(f"threshold {percentile}: a share above 0 and at most 1, such as 0.995")

    def denoise_clipped(x: Tensor, t: Tensor) -> Prediction:
        found = denoise(x, t)
        if percentile is None:
            x0 = found.x0.clamp(-limit, limit)
        else:
            reach = (_quantile(found.x0.abs(), percentile) / limit).clamp_min(1)
            x0 = (found.x0 / reach).clamp(-limit, limit)
        return with_x0(found, x0, x, t, levels)

    return denoise_clipped


def keeping(denoise: Denoiser, levels: Levels, known: Tensor, keep: Tensor) -> Denoiser:
    """Inpainting: x0 is `known` wherever `keep` is True, so that a sampler's last step returns it unchanged.

    known (B, C, ...), keep bool, (B, 1, ...) or as large.
    """
    assert keep.dtype == torch.bool, keep.dtype

    def denoise_kept(x: Tensor, t: Tensor) -> Prediction:
        found = denoise(x, t)
        return with_x0(found, torch.where(keep, known.to(x.dtype), found.x0), x, t, levels)

    return denoise_kept


def _quantile(values: Tensor, share: float) -> Tensor:
    """(B, ...) -> (B, 1, ...) the value below which this share of each sample lies"""
    flat = values.flatten(1)  # torch.quantile refuses 2^24 values and more: six pictures of 1024 px
    rank = max(1, round(share * (flat.shape[1] - 1)) + 1)
    return flat.kthvalue(rank, dim=1).values.view(-1, *[1] * (values.ndim - 1))
