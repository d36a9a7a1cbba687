"""The latent U-Net of DALL·E 3 (appendix A), and the text encoder that is trained with it."""

from __future__ import annotations

from typing import TypedDict

import torch
from torch import Tensor, nn

from armchair.dalle3.config import LatentConfig
from armchair.dalle3.text_encoder import text_encoder
from armchair.diffusion.flow import TIMES
from armchair.nn.cross import Words
from armchair.nn.embeddings import mean_state
from armchair.nn.sketch import Sketch, filled
from armchair.nn.unet import UNet


class Conditions(TypedDict, total=False):
    """What a latent is drawn from, computed once for all steps. B pictures."""

    words: tuple[Words, ...]  # what each attention reads of the text's states
    keep: Tensor  # (B, L) bool, False is no token
    extra: Tensor  # (B, E) joins the timestep, where the config has it pooled
    known: Tensor  # (B, C + 1, h, w) cells that stay, 0 elsewhere, and 1 where they stay, where it inpaints


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
        self.pooled = nn.Linear(config.words.width, config.unet.emb_width) if config.pooled else None

    def sketched(self, text_seq: Tensor, tokens: Tensor, keep: Tensor) -> Tensor | None:
        """text_seq (B, L, W), tokens and keep (B, L) -> (B, C, S, S), None where the config has no sketch"""
        return None if self.sketch is None else self.sketch(text_seq, tokens, keep)

    def conditions(
        self, text_seq: Tensor, keep: Tensor, known: Tensor | None, sketch: Tensor | None = None
    ) -> Conditions:
        """text_seq (B, L, W), keep (B, L) bool, known as in Conditions, or None where it does not inpaint,
        sketch from `sketched`
        """
        made: Conditions = {"words": self.unet.read(text_seq), "keep": keep}
        if self.pooled is not None:
            made["extra"] = self.pooled(mean_state(text_seq, keep))
        if self.config.inpaints:
            assert known is not None
            made["known"] = known if sketch is None else filled(known, sketch)
        return made

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
    ) -> Tensor:
        """x (B, C, h, w) noisy latent, t (B,) -> (B, C, h, w)"""
        if self.config.is_flow:
            t = t * TIMES
        x = x if known is None else torch.cat([x, known.to(x)], dim=1)
        return self.unet(x, t, extra=extra, words=words, keep=keep if self.config.words.masked else None)


class LatentNet(nn.Module):
    """What a latent recipe trains: the denoiser, and the text encoder where that does not stand frozen."""

    def __init__(self, config: LatentConfig, with_words: bool = True):
        super().__init__()
        self.config = config
        self.words = text_encoder(config.words) if with_words else None
        self.denoiser = Denoiser(config)
