"""From conditions to pixels: the decoders with their guidance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from armchair.dalle2.clip_decoder import ClipConditions, ClipDecoder
from armchair.dalle2.decoder import Conditions, Decoder
from armchair.diffusion.drawing import apart
from armchair.diffusion.guidance import guided
from armchair.diffusion.prediction import Denoiser, Output, clipped, denoiser
from armchair.diffusion.schedule import Schedule

Drawn = Conditions | ClipConditions  # what one of the two decoders draws from


def pick(conditions: Drawn, rows: slice) -> dict[str, Tensor]:
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
    return cast(Conditions, _below(rows))


@torch.no_grad()
def clip_conditions_of(
    net: ClipDecoder, words: tuple[Tensor, Tensor, Tensor], image_emb: Tensor, has_image: bool
) -> ClipConditions:
    """words: text_emb (1, Z), text_seq (1, L, V) and keep (1, L) of one caption; image_emb (B, Z) -> for B
    pictures, each computed by itself
    """
    device = net.no_image.device
    given = [part.to(device) for part in words]
    shown = torch.tensor([has_image], device=device)
    rows = [
        net.conditions(given[0], given[1], given[2], image_emb[i : i + 1].to(device), shown)
        for i in range(len(image_emb))
    ]
    return cast(ClipConditions, _below(rows))


def _below(rows: Sequence[Drawn]) -> dict[str, Tensor]:
    return {name: torch.cat([cast(Tensor, row[name]) for row in rows]) for name in rows[0]}


def denoiser_of(
    net: Decoder | ClipDecoder,
    schedule: Schedule,
    cond: Drawn,
    uncond: Drawn | None,
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
