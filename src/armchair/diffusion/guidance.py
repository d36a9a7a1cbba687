"""Classifier-free guidance (arXiv:2207.12598), here and nowhere else.

guidance 1 is off: output = uncond + guidance (cond - uncond). Ho and Salimans' w is guidance - 1.
"""

from __future__ import annotations

import math
import re
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
    interval: tuple[float, float] | None = None,
    repeats: bool = False,
) -> Output:
    """A network with its conditions, as a function of x (B, C, ...) and t (B,), which is one t for all rows
    where there is an interval.

    net(x, t, **conditions) -> (B, C, ...), or (B, 2C, ...) with the variance, which guidance leaves as the
    conditional row has it. cond, uncond: tensors (B, ...), or tuples of them, of the same names. Both rows go
    through the network in one pass, conditional first; at guidance 1, or with no uncond, there is one row.
    rescale: how much of the conditional output's standard deviation to restore (arXiv:2305.08891, 3.4), 0..1.
    interval: the lowest and the highest t that are guided (arXiv:2404.07724); None: all.
    repeats: the network takes x and t once for both rows, and repeats them where the rows part.
    Raises BadInput for a guidance that is no number and a rescale out of range.
    """
    if not math.isfinite(guidance):
        raise BadInput(f"guidance {guidance}: a number, 1 is off")
    if not 0 <= rescale <= 1:
        raise BadInput(f"guidance rescale {rescale}: a share from 0 (off) to 1")
    if uncond is None or guidance == 1.0:
        return lambda x, t: net(x, t, **cond)
    assert cond.keys() == uncond.keys(), (list(cond), list(uncond))
    both = {name: _below(cond[name], uncond[name]) for name in cond}  # (2B, ...)

    def output(x: Tensor, t: Tensor) -> Tensor:
        if interval is not None and not interval[0] <= float(t[0]) <= interval[1]:
            return net(x, t, **cond)
        twice = (x, t) if repeats else (torch.cat([x, x]), torch.cat([t, t]))
        rows = net(*twice, **both)  # (2B, C or 2C, ...)
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


def parse_interval(text: object) -> tuple[float, float] | None:
    """ "0.1-0.8", shares of the noise, 0 the clean picture and 1 noise alone -> the two; None for all of it.

    Raises BadInput.
    """
    found = re.fullmatch(r"(\d*\.?\d+)-(\d*\.?\d+)", text) if isinstance(text, str) else None
    low, high = (float(found[1]), float(found[2])) if found is not None else (1.0, 0.0)
    if not 0 <= low < high <= 1:
        raise BadInput(
            f"guidance_interval is {text!r}; two shares of the noise from 0 to 1 are needed, as in 0.1-0.8"
        )
    return None if (low, high) == (0, 1) else (low, high)


def _below(first: object, second: object) -> object:
    """(B, ...) and (B, ...) -> (2B, ...), of tensors or of all tensors of a tuple"""
    if isinstance(first, tuple):
        pairs = zip(cast(tuple[object, ...], first), cast(tuple[object, ...], second), strict=True)
        return tuple(_below(*pair) for pair in pairs)
    return torch.cat([cast(Tensor, first), cast(Tensor, second)])


def _std(value: Tensor) -> Tensor:
    """(B, C, ...) -> (B, 1, ...) over all of a sample"""
    return value.flatten(1).std(dim=1).view(-1, *[1] * (value.ndim - 1))
