"""Classifier-free guidance (arXiv:2207.12598), here and nowhere else.

guidance 1 is off: output = uncond + guidance (cond - uncond). Ho and Salimans' w is guidance - 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor

from armchair.core.errors import BadInput
from armchair.diffusion.prediction import Output


def guided(
    net: Callable[..., Tensor],
    cond: Mapping[str, object],
    uncond: Mapping[str, object] | None = None,
    guidance: float = 1.0,
    rescale: float = 0.0,
) -> Output:
    """A network with its conditions, as a function of x (B, C, ...) and t (B,).

    net(x, t, **conditions) -> (B, C, ...), or (B, 2C, ...) with the variance, which guidance leaves as the
    conditional row has it. cond, uncond: tensors (B, ...) of the same names. Both rows go through the
    network in one pass, conditional first; at guidance 1, or with no uncond, there is one row.
    rescale: how much of the conditional output's standard deviation to restore (arXiv:2305.08891, 3.4), 0..1.
    Raises BadInput for a guidance that is no number and a rescale out of range.
    """
    if not math.isfinite(guidance):
        raise BadInput(f"guidance {guidance}: a number, 1 is off")
    if not 0 <= rescale <= 1:
        raise BadInput(f"guidance rescale {rescale}: a share from 0 (off) to 1")
    if uncond is None or guidance == 1.0:
        return lambda x, t: net(x, t, **cond)
    assert cond.keys() == uncond.keys(), (list(cond), list(uncond))
    both = {name: torch.cat(cast(list[Tensor], [cond[name], uncond[name]])) for name in cond}  # (2B, ...)

    def output(x: Tensor, t: Tensor) -> Tensor:
        rows = net(torch.cat([x, x]), torch.cat([t, t]), **both)  # (2B, C or 2C, ...)
        here, there = rows.chunk(2)
        return combine(here, there, guidance, rescale, x.shape[1])

    return output


def combine(cond: Tensor, uncond: Tensor, guidance: float, rescale: float, channels: int) -> Tensor:
    """cond, uncond (B, C', ...), of which the first `channels` are guided -> (B, C', ...)"""
    wide = torch.promote_types(cond.dtype, torch.float32)
    here, there = cond[:, :channels].to(wide), uncond[:, :channels].to(wide)
    value = there + guidance * (here - there)
    if rescale > 0:
        value = value * torch.lerp(torch.ones_like(_std(here)), _std(here) / _std(value), rescale)
    if cond.shape[1] == channels:
        return value
    return torch.cat([value, cond[:, channels:].to(wide)], dim=1)


def _std(value: Tensor) -> Tensor:
    """(B, C, ...) -> (B, 1, ...) over all of a sample"""
    return value.flatten(1).std(dim=1).view(-1, *[1] * (value.ndim - 1))
