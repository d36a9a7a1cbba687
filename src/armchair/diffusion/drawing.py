"""From a denoiser to steps, by a sampler's name; pictures one by one where that is needed.

On a CPU every picture goes through the network by itself (two rows under guidance, in one pass): kernels for
other numbers of rows differ in their last bits, and the same seed would give another picture in a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import torch
from torch import Tensor

from armchair.core.errors import BadInput
from armchair.core.rng import SeedBatch
from armchair.core.step import Step
from armchair.diffusion.flow import Flow, euler, heun
from armchair.diffusion.prediction import Denoiser, Output, keeping
from armchair.diffusion.samplers import ddim, ddpm, dpm_solver_pp_2m
from armchair.diffusion.schedule import Schedule

Sampler = Literal["ddpm", "ddim", "dpm"]
SAMPLERS = ("ddpm", "ddim", "dpm")  # that walk a schedule
FlowSampler = Literal["euler", "heun"]
FLOW_SAMPLERS = ("euler", "heun")  # that walk a flow


def apart(make: Callable[[slice], Output], rows: int, device: torch.device) -> Output:
    """A function of x (B, ...), t (B,) that on a CPU is made and run for one picture at a time.

    make: rows -> the function for these pictures
    """
    if device.type != "cpu":
        return make(slice(0, rows))
    each = [make(slice(i, i + 1)) for i in range(rows)]

    def output(x: Tensor, t: Tensor) -> Tensor:
        return torch.cat([one(x[i : i + 1], t[i : i + 1]) for i, one in enumerate(each)])

    return output


def sample(
    denoise: Denoiser,
    x: Tensor,
    schedule: Schedule,
    seeds: SeedBatch,
    sampler: str,
    eta: float = 0.0,
    kept: tuple[Tensor, Tensor] | None = None,
) -> Iterator[Step]:
    """x (B, C, H, W) noise -> steps down to the clean sample.

    eta: of DDIM.  kept: samples (B or 1, C, H, W) and a bool mask (B or 1, 1, H, W), True where they stay.
    Raises BadInput for an unknown sampler.
    """
    if kept is not None:
        denoise = keeping(denoise, schedule, *kept)
    match sampler:
        case "ddpm":
            return ddpm(denoise, x, schedule, seeds)
        case "ddim":
            return ddim(denoise, x, schedule, seeds, eta)
        case "dpm":
            return dpm_solver_pp_2m(denoise, x, schedule)
        case _:
            raise BadInput(f"sampler {sampler!r} is none of {', '.join(SAMPLERS)}")


def sample_flow(
    denoise: Denoiser,
    x: Tensor,
    flow: Flow,
    steps: int,
    sampler: str,
    kept: tuple[Tensor, Tensor] | None = None,
) -> Iterator[Step]:
    """The same along a flow, in `steps` steps."""
    if kept is not None:
        denoise = keeping(denoise, flow, *kept)
    match sampler:
        case "euler":
            return euler(denoise, x, flow.times(steps))
        case "heun":
            return heun(denoise, x, flow.times(steps))
        case _:
            raise BadInput(f"sampler {sampler!r} is none of {', '.join(FLOW_SAMPLERS)}")
