"""From conditions to pixels: the decoder with its guidance and samplers.

On a CPU every picture goes through the network by itself (two rows under guidance, in one pass): kernels for
other numbers of rows differ in their last bits, and the same seed would give another picture in a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, cast

import torch
from torch import Tensor

from armchair.core.errors import BadInput
from armchair.core.rng import SeedBatch
from armchair.core.step import Step
from armchair.dalle2.decoder import Conditions, Decoder
from armchair.diffusion.guidance import guided
from armchair.diffusion.prediction import Denoiser, Output, clipped, denoiser, keeping
from armchair.diffusion.samplers import ddim, ddpm, dpm_solver_pp_2m
from armchair.diffusion.schedule import Schedule

Sampler = Literal["ddpm", "ddim", "dpm"]
SAMPLERS = ("ddpm", "ddim", "dpm")


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


def pick(conditions: Conditions, rows: slice) -> dict[str, Tensor]:
    return {name: cast(Tensor, value)[rows] for name, value in conditions.items()}


@torch.no_grad()
def conditions_of(
    net: Decoder, tokens: Tensor, image_emb: Tensor, has_image: bool, known: Tensor | None = None
) -> Conditions:
    """tokens (L,) of one caption, image_emb (B, Z), known (1 or B, 4, H, W) -> for B pictures, each computed
    by itself
    """
    device = net.no_image.device
    shown = torch.tensor([has_image], device=device)
    rows = [
        net.conditions(
            tokens[None].to(device),
            image_emb[i : i + 1].to(device),
            shown,
            None if known is None else known[i if len(known) > 1 else 0][None].to(device),
        )
        for i in range(len(image_emb))
    ]
    joined = {
        name: torch.cat([cast(Tensor, row[name]) for row in rows]) for name in Conditions.__annotations__
    }
    return cast(Conditions, joined)


def denoiser_of(
    net: Decoder,
    schedule: Schedule,
    cond: Conditions,
    uncond: Conditions | None,
    guidance: float,
    *,
    threshold: float | None = None,
    clip: bool = True,
) -> Denoiser:
    """The decoder as samplers want it.

    schedule: the one that the sampler walks.  clip: x0 to -1..1, after guidance; threshold: dynamically, see
    `clipped`.
    """

    def make(rows: slice) -> Output:
        return guided(net, pick(cond, rows), None if uncond is None else pick(uncond, rows), guidance)

    output = apart(make, len(cond["extra"]), net.no_image.device)
    denoise = denoiser(output, schedule, net.config.prediction)
    return clipped(denoise, schedule, percentile=threshold) if clip else denoise


def sample(
    denoise: Denoiser,
    x: Tensor,
    schedule: Schedule,
    seeds: SeedBatch,
    sampler: Sampler,
    eta: float = 0.0,
    kept: tuple[Tensor, Tensor] | None = None,
) -> Iterator[Step]:
    """x (B, 3, H, W) noise -> steps down to the picture.

    eta: of DDIM.  kept: pixels (B or 1, 3, H, W) and a bool mask (B or 1, 1, H, W), True where they stay.
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


def to_pixels(x0: Tensor) -> Tensor:
    """-1..1 -> 0..1"""
    return (x0.float() * 0.5 + 0.5).clamp(0, 1)


def from_pixels(image: Tensor) -> Tensor:
    """0..1 -> -1..1"""
    return image * 2 - 1
