"""From conditions to pixels: the decoders with their guidance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from armchair.dalle2.clip_decoder import ClipConditions, ClipDecoder
from armchair.dalle2.decoder import Conditions, Decoder
from armchair.diffusion.drawing import apart
from armchair.diffusion.guidance import guided
from armchair.diffusion.prediction import Denoiser, Output, clipped, denoiser
from armchair.diffusion.schedule import Schedule

Drawn = Conditions | ClipConditions  # what one of the two decoders draws from
# of one caption: tokens (1, L) as the decoder has them; or states (1, L, W) of CLIP's text tower and keep
# (1, L), and where there are such what a sketch makes of them (1, L, W) and spots (1, M, 5)
Words = tuple[Tensor, ...]


@torch.no_grad()
def conditions_of(
    net: Decoder,
    words: Sequence[Words],
    image_emb: Tensor,
    has_image: float,
    known: Tensor | None = None,
) -> list[Conditions]:
    """words of a caption a picture, image_emb (B, Z), known (1, 4, H, W) of all -> what each of B pictures is
    drawn from, one row each, computed by itself
    """
    device = net.no_image.device
    shown = torch.tensor([float(has_image)], device=device)
    given = None if known is None else known.to(device)
    rows: list[Conditions] = []
    for (caption, *read), z in zip(words, image_emb, strict=True):
        here = [part.to(device) for part in read]
        rows.append(net.conditions(caption.to(device), z[None].to(device), shown, given, *here))
    return rows


@torch.no_grad()
def laid_out(net: Decoder, words: Sequence[Words], seeds: Sequence[int]) -> list[Words]:
    """Captions with layouts of their own, a seed each; as they are where the decoder draws none."""
    if net.layout is None:
        return list(words)
    made: list[Words] = []
    for (text_seq, keep, context), seed in zip(words, seeds, strict=True):
        made.append((text_seq, keep, context, net.layout.draw(context, [seed])))
    return made


@torch.no_grad()
def states_of(net: Decoder, tokens: Tensor, text_seq: Tensor, keep: Tensor) -> Words:
    """CLIP's tokens (1, L), states (1, L, W) and keep (1, L) -> what the decoder reads of a caption"""
    if net.sketch is None:
        return text_seq, keep
    return text_seq, keep, net.sketch.read(text_seq.to(net.no_image), tokens, keep)


@torch.no_grad()
def clip_conditions_of(
    net: ClipDecoder, words: Sequence[Sequence[Tensor]], image_emb: Tensor, has_image: float
) -> list[ClipConditions]:
    """words: text_emb (1, Z), text_seq (1, L, V) and keep (1, L) of a caption a picture; image_emb (B, Z) ->
    as `conditions_of`
    """
    device = net.no_image.device
    shown = torch.tensor([float(has_image)], device=device)
    rows: list[ClipConditions] = []
    for caption, z in zip(words, image_emb, strict=True):
        text_emb, text_seq, keep = (part.to(device) for part in caption)
        rows.append(net.conditions(text_emb, text_seq, keep, z[None].to(device), shown))
    return rows


def below(rows: Sequence[Drawn]) -> dict[str, Tensor]:
    """Conditions of one row each as one batch; where tokens have a mask they are filled up to the longest."""
    parts = [cast(dict[str, Tensor], row) for row in rows]
    if len(parts) == 1:  # a CPU draws each picture by itself, at every step
        return parts[0]
    if "keep" in parts[0]:
        longest = max(row["keep"].shape[1] for row in parts)
        parts = [_filled(row, longest - row["keep"].shape[1]) for row in parts]
    return {name: torch.cat([row[name] for row in parts]) for name in parts[0]}


def _filled(row: dict[str, Tensor], count: int) -> dict[str, Tensor]:
    """With so many tokens more that are none."""
    return {**row, "context": F.pad(row["context"], (0, 0, 0, count)), "keep": F.pad(row["keep"], (0, count))}


def denoiser_of(
    net: Decoder | ClipDecoder,
    schedule: Schedule,
    cond: Sequence[Drawn],
    uncond: Sequence[Drawn] | None,
    guidance: float,
    *,
    clip: bool = True,
) -> Denoiser:
    """The decoder as samplers want it.

    schedule: the one that the sampler walks.  cond, uncond: a picture each.  clip: x0 to -1..1, after
    guidance.
    """

    def make(rows: slice) -> Output:
        return guided(net, below(cond[rows]), None if uncond is None else below(uncond[rows]), guidance)

    output = apart(make, len(cond), net.no_image.device)
    denoise = denoiser(output, schedule, net.config.prediction)
    return clipped(denoise, schedule) if clip else denoise
