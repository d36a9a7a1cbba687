"""From words to latents: the denoiser with its text, its guidance and its samplers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armchair.core.rng import SeedBatch
from armchair.core.step import Step
from armchair.dalle3.denoiser import Conditions, Denoiser, Read
from armchair.dalle3.text_encoder import caption_tokens, trimmed
from armchair.diffusion.drawing import apart, sample, sample_flow
from armchair.diffusion.flow import Flow
from armchair.diffusion.guidance import guided
from armchair.diffusion.prediction import Denoiser as Denoise
from armchair.diffusion.prediction import Output, denoiser
from armchair.nn.layout import unstretched


@torch.no_grad()
def read(encoder: nn.Module, net: Denoiser, ids: Sequence[int]) -> Read:
    """A tokenizer's ids of one caption, read by itself: its states are the same beside any other."""
    config = net.config.words
    tokens, keep = trimmed(caption_tokens(ids, config)[None].to(net.scale.mean.device), config)
    return net.read(encoder(tokens, keep), tokens, keep)


def laid_out(
    net: Denoiser, words: Sequence[Read], seeds: Sequence[int], height: int, width: int
) -> list[Read]:
    """Captions with layouts of their own for h x w cells, a seed each; as they are where it draws none."""
    if net.layout is None:
        return list(words)
    made: list[Read] = []
    for one, seed in zip(words, seeds, strict=True):
        assert one.context is not None
        spots = unstretched(net.layout.draw(one.context, [seed]), height, width)
        made.append(one._replace(spots=spots))
    return made


def below(words: Sequence[Read]) -> Read:
    """The states of several captions as one batch, filled up to the longest."""
    longest = max(one.keep.shape[1] for one in words)

    def filled(part: Tensor) -> Tensor:
        rest = longest - part.shape[1]
        return F.pad(part, (0, rest) if part.ndim == 2 else (0, 0, 0, rest))

    states, keep, context, sketch, spots = zip(*words, strict=True)
    return Read(
        torch.cat([filled(part) for part in states]),
        torch.cat([filled(part) for part in keep]),
        None if context[0] is None else torch.cat([filled(part) for part in context]),
        None if sketch[0] is None else torch.cat(sketch),
        None if spots[0] is None else torch.cat(spots),
    )


def denoise_of(
    net: Denoiser,
    words: Sequence[Read],
    nothing: Read,
    guidance: float,
    known: Tensor,
    interval: tuple[float, float] | None = None,
) -> Denoise:
    """The network as samplers want it, for one caption a picture.

    nothing: the empty caption, for guidance.  known: (1, C + 1, h, w)  interval: the shares of the noise
    between which pictures are guided; None: always.
    """
    levels = net.config.levels_of_noise
    if interval is not None and not isinstance(levels, Flow):  # whose own times are shares
        interval = interval[0] * len(levels), interval[1] * len(levels)

    def conditions(rows: Sequence[Read]) -> Conditions:
        return net.conditions(below(rows), known.expand(len(rows), -1, -1, -1))

    @torch.no_grad()
    def make(rows: slice) -> Output:
        shown = words[rows]
        if guidance == 1:
            return guided(net, conditions(shown))
        both = below([*shown, nothing])  # of one length, so that they go through the network together
        cond = [both.row(i) for i in range(len(shown) + 1)]
        uncond = [cond.pop()] * len(shown)
        return guided(net, conditions(cond), conditions(uncond), guidance, interval=interval, repeats=True)

    device = net.scale.mean.device
    return denoiser(apart(make, len(words), device), levels, net.config.prediction)


def steps_of(
    net: Denoiser,
    denoise: Denoise,
    x: Tensor,
    steps: int,
    shift: float,
    seeds: SeedBatch,
    sampler: str,
    kept: tuple[Tensor, Tensor] | None = None,
) -> Iterator[Step]:
    """x (B, C, h, w) noise -> steps down to the latent. shift: of the levels that are visited, in place of a
    flow's own; kept: as in `sample`. Raises BadInput for a sampler, a number of steps or a shift that the
    network's noise levels do not have.
    """
    levels = net.config.levels_of_noise
    if isinstance(levels, Flow):
        return sample_flow(denoise, x, replace(levels, shift=shift), steps, sampler, kept)
    config = net.config
    schedule = levels.respace(steps if config.spacing == "even" else f"{config.spacing}{steps}", shift)
    if config.residue:
        schedule = schedule.ending_at(float(levels.alpha_bar[0]))
    return sample(denoise, x, schedule, seeds, sampler, kept=kept)
