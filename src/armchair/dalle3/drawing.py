"""From words to latents: the denoiser with its text, its guidance and its samplers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armchair.core.rng import SeedBatch
from armchair.core.step import Step
from armchair.dalle3.denoiser import Conditions, Denoiser
from armchair.dalle3.text_encoder import caption_tokens, trimmed
from armchair.diffusion.drawing import apart, sample, sample_flow
from armchair.diffusion.flow import Flow
from armchair.diffusion.guidance import guided
from armchair.diffusion.prediction import Denoiser as Denoise
from armchair.diffusion.prediction import Output, denoiser


class Read(NamedTuple):
    """Captions as the denoiser reads them."""

    states: Tensor  # (B, L, W)
    keep: Tensor  # (B, L) bool, False is no token
    sketch: Tensor | None  # (B, C, S, S), where the denoiser draws one

    def row(self, index: int) -> Read:
        """One caption alone."""
        at = slice(index, index + 1)
        return Read(self.states[at], self.keep[at], None if self.sketch is None else self.sketch[at])


@torch.no_grad()
def read(encoder: nn.Module, net: Denoiser, ids: Sequence[int]) -> Read:
    """A tokenizer's ids of one caption, read by itself: its states are the same beside any other."""
    config = net.config.words
    tokens, keep = trimmed(caption_tokens(ids, config)[None].to(net.scale.mean.device), config)
    states = encoder(tokens, keep)
    return Read(states, keep, net.sketched(states, tokens, keep))


def below(words: Sequence[Read]) -> Read:
    """The states of several captions as one batch, filled up to the longest."""
    longest = max(one.keep.shape[1] for one in words)
    states = torch.cat([F.pad(one.states, (0, 0, 0, longest - one.states.shape[1])) for one in words])
    keep = torch.cat([F.pad(one.keep, (0, longest - one.keep.shape[1])) for one in words])
    sketches = [one.sketch for one in words if one.sketch is not None]
    return Read(states, keep, torch.cat(sketches) if sketches else None)


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
        states, keep, sketch = below(rows)
        return net.conditions(states, keep, known.expand(len(rows), -1, -1, -1), sketch)

    @torch.no_grad()
    def make(rows: slice) -> Output:
        shown = words[rows]
        if guidance == 1:
            return guided(net, conditions(shown))
        both = below([*shown, nothing])  # of one length, so that they go through the network together
        cond = [both.row(i) for i in range(len(shown) + 1)]
        uncond = [cond.pop()] * len(shown)
        return guided(net, conditions(cond), conditions(uncond), guidance, interval=interval)

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
