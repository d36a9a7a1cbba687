"""The latent U-Net of DALL·E 3 (appendix A), and the text encoder that is trained with it."""

from __future__ import annotations

from typing import NamedTuple, TypedDict

import torch
from torch import Tensor, nn

from armchair.dalle3.config import LatentConfig
from armchair.dalle3.text_encoder import text_encoder
from armchair.diffusion.flow import TIMES
from armchair.nn.cross import Words, repeated
from armchair.nn.draft import Draft
from armchair.nn.embeddings import mean_state
from armchair.nn.layout import Layout
from armchair.nn.sketch import Sketch, filled
from armchair.nn.unet import UNet


class Conditions(TypedDict, total=False):
    """What a latent is drawn from, computed once for all steps. B pictures."""

    words: tuple[Words, ...]  # what each attention reads of the text's states
    keep: Tensor  # (B, L) bool, False is no token
    extra: Tensor  # (B, E) joins the timestep, where the config has it pooled
    beside: Tensor  # (B, D, h / patch, w / patch) joins the first level, where the config has a layout
    known: Tensor  # (B, C + 1, h, w) cells that stay, 0 elsewhere, and 1 where they stay, where it inpaints


class Read(NamedTuple):
    """Captions as the denoiser reads them."""

    states: Tensor  # (B, L, W), the text encoder's
    keep: Tensor  # (B, L) bool, False is no token
    context: Tensor | None = None  # (B, L, W), what the sketch makes of them, where there is one
    sketch: Tensor | None = None  # (B, C, S, S)
    spots: Tensor | None = None  # (B, M, 5), what stands where, where there is a layout

    def row(self, index: int) -> Read:
        """One caption alone."""
        at = slice(index, index + 1)
        more = (None if part is None else part[at] for part in self[2:])
        return Read(self.states[at], self.keep[at], *more)


class LatentScale(nn.Module):
    """Latents of about unit size: (latent - mean) / std, channel by channel. Stable Diffusion's are mean 0
    and std 1 / 0.18215 for all channels.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))

    def forward(self, latent: Tensor) -> Tensor:
        """latent (B, C, h, w), the autoencoder's -> (B, C, h, w), what diffusion works on"""
        return (latent - self.mean[:, None, None]) / self.std[:, None, None]

    def back(self, x: Tensor) -> Tensor:
        """The inverse."""
        return x * self.std[:, None, None] + self.mean[:, None, None]

    def fit(self, latents: Tensor) -> None:
        """latents (N, C, h, w): take mean and standard deviation of each channel over all else."""
        self.mean.copy_(latents.mean(dim=(0, 2, 3)))
        self.std.copy_(latents.std(dim=(0, 2, 3)).clamp_min(1e-4))


class Denoiser(nn.Module):
    """A U-Net over latents that reads the text's states. B batch, C channels and h, w cells of a latent, L
    tokens, W their width, E the width of the timestep's embedding.
    """

    def __init__(self, config: LatentConfig):
        super().__init__()
        self.config = config
        self.scale = LatentScale(config.channels)
        self.unet = UNet(config.unet)
        plan = config.sketch
        self.sketch = None if plan is None else Sketch(plan, config.words.vocab, config.channels)
        self.layout = None
        if config.layout is not None:
            self.layout = Layout(config.layout, config.words.width, config.levels[0].width, config.patch)
        self.draft = None
        if config.draft is not None and config.layout is not None:
            self.draft = Draft(config.draft, config.layout, config.words.width, config.channels)
        self.pooled = nn.Linear(config.words.width, config.unet.emb_width) if config.pooled else None

    def read(self, text_seq: Tensor, tokens: Tensor, keep: Tensor) -> Read:
        """text_seq (B, L, W), tokens and keep (B, L) -> captions as they are read, without a layout"""
        if self.sketch is None:
            return Read(text_seq, keep)
        context = self.sketch.read(text_seq, tokens, keep)
        spots = None if self.config.layout is None else self.config.layout.nothing(len(tokens)).to(tokens)
        return Read(text_seq, keep, context, self.sketch.of(context, keep), spots)

    def conditions(self, read: Read, known: Tensor | None, drafted: Tensor | None = None) -> Conditions:
        """known: as in Conditions, or None where it does not inpaint; drafted: None is what `drafted` says"""
        made: Conditions = {"words": self.unet.read(read.states), "keep": read.keep}
        if self.pooled is not None:
            made["extra"] = self.pooled(mean_state(read.states, read.keep))
        if self.config.inpaints:
            assert known is not None
            drafted = self.drafted(read, *known.shape[2:]) if drafted is None else drafted
            made["known"] = known if drafted is None else filled(known, drafted)
        if self.layout is not None:
            assert known is not None and read.context is not None and read.spots is not None
            made["beside"] = self.layout(read.states, read.context, read.spots, *known.shape[2:])
        return made

    def drafted(self, read: Read, height: int, width: int) -> Tensor | None:
        """What is to be expected of a latent of h x w cells: the draft (B, C, h, w); where there is none, the
        sketch (B, C, S, S)
        """
        if self.draft is None:
            return read.sketch
        assert read.context is not None and read.spots is not None and read.sketch is not None
        return self.draft(read.states, read.context, read.keep, read.spots, read.sketch, height, width)

    def nothing_known(self, rows: int, height: int, width: int) -> Tensor:
        """`known` of latents of h x w cells that are drawn as a whole."""
        device = self.scale.mean.device
        return torch.zeros(rows, self.config.channels + 1, height, width, device=device)

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        *,
        words: tuple[Words, ...],
        keep: Tensor,
        extra: Tensor | None = None,
        known: Tensor | None = None,
        beside: Tensor | None = None,
    ) -> Tensor:
        """x (B, C, h, w) noisy latent, t (B,) -> (B, C, h, w). x and t of fewer rows are `repeated`, as late
        as the rest allows.
        """
        if self.config.is_flow:
            t = t * TIMES
        if any(part is not None for part in (extra, known, beside)):
            x, t = repeated(x, len(keep)), repeated(t, len(keep))
        x = x if known is None else torch.cat([x, known.to(x)], dim=1)
        keep_read = keep if self.config.words.masked else None
        return self.unet(x, t, extra=extra, words=words, keep=keep_read, beside=beside)


class LatentNet(nn.Module):
    """What a latent recipe trains: the denoiser, and the text encoder where that does not stand frozen."""

    def __init__(self, config: LatentConfig, with_words: bool = True):
        super().__init__()
        self.config = config
        self.words = text_encoder(config.words) if with_words else None
        self.denoiser = Denoiser(config)
