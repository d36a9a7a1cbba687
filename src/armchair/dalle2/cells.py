"""The ends of a decoder whose U-Net works on cells of pixels: not in the paper.

    noisy picture ─ convolution ─► cells, noisy ─ U-Net ─► cells, clean ─ decoder ─► picture
           └──────────────── its own pixels, the more the less noise there is ────────┘

A U-Net over pixels spends its products where the picture is large and nothing is decided. A convolution of
three by three cells tells nearly all that an encoder does (98 to 99.5 % of the variance of DALL·E 3's latents
of Emoji World), and since it is linear, noise stays noise: cells of a picture at one level of noise are those
of the clean picture at another, which the U-Net is told.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armchair.core.images import from_pixels
from armchair.dalle2.config import CellsConfig
from armchair.diffusion.schedule import Schedule
from armchair.nn.autoencoder import Decoder as Pixels
from armchair.nn.resnet import conv


class Seen(NamedTuple):
    """What is seen of a noisy picture, x = alpha x0 + sigma eps. B pictures, C channels and h, w cells."""

    cells: Tensor  # (B, C, h, w), (1 - time) of clean ones and time of noise
    time: Tensor  # (B, 1, 1, 1) in 0..1
    own: Tensor  # (B, 3, H, W) share of the clean picture that the noisy one gives by itself
    share: Tensor  # (B, 1, 1, 1) how much of it that is, in 0..1


class Cells(nn.Module):
    """B pictures, C channels and h, w cells, H, W pixels."""

    def __init__(self, config: CellsConfig, levels: Schedule):
        super().__init__()
        self.config = config
        self.levels = levels
        patch, pixels = config.patch, config.pixels
        self.into = conv(3 * patch**2, config.channels, 3)
        self.back = conv(config.channels, config.channels, 1)
        self.pixels = Pixels(config.autoencoder)
        entering = pixels.widths[:2][-1]  # channels of what enters the finest level
        self.own = conv(3 * pixels.patch**2, entering, 3, zero=True)

    @torch.no_grad()
    def fit(self, pictures: Tensor) -> None:
        """pictures (N, 3, H, W) uint8: take the principal components of a cell's pixels, each of unit size"""
        folded = F.pixel_unshuffle(from_pixels(pictures.float() / 255), self.config.patch)
        rows = folded.transpose(0, 1).flatten(1).double()  # (3 P P, N h w)
        values, vectors = torch.linalg.eigh(rows.cov())  # rising
        largest = vectors[:, -self.config.channels :].flip(1) / values[-self.config.channels :].flip(0).sqrt()
        assert self.into.bias is not None
        self.into.weight.zero_()
        self.into.weight[:, :, 1, 1] = largest.T.to(self.into.weight)
        self.into.bias.copy_(-(rows.mean(dim=1) @ largest))

    def see(self, x: Tensor, t: Tensor) -> Seen:
        """x (B, 3, H, W) noisy pixels in -1..1, t (B,) their level"""
        x = x.float()
        alpha, sigma = self.levels.alpha_sigma(t, x)  # each (B, 1, 1, 1)
        noise = self.config.noise * sigma
        cells = self._linear(x, alpha) / (alpha + noise)
        # of two estimates of a pixel, x / alpha and one made of cells, the less sure counts less
        gain = alpha * self.config.error**2 / ((alpha * self.config.error).square() + sigma.square())
        return Seen(cells, noise / (alpha + noise), gain * x, alpha * gain)

    @torch.no_grad()
    def velocity(self, x0: Tensor, eps: Tensor) -> Tensor:
        """x0, eps (B, 3, H, W) -> (B, C, h, w) what the U-Net is to say of their mixture: noise less clean
        cells, whatever the level
        """
        return self._linear(eps, 0.0) / self.config.noise - self._linear(x0, 1.0)

    def known(self, known: Tensor) -> Tensor:
        """known (B, 4, H, W) pixels that stay, 0 elsewhere, and 1 where they stay -> (B, C + 1, h, w)"""
        stays = F.avg_pool2d(known[:, 3:], self.config.patch)
        cells = self._linear(known[:, :3].float(), 1.0)
        return torch.cat([stays * cells.to(stays), stays], dim=1)

    def forward(self, output: Tensor, seen: Seen) -> Tensor:
        """output (B, C, h, w) of the U-Net, noise less clean cells, or (B, C + 3, h, w) with the variance ->
        (B, 3, H, W) clean pixels, or (B, 6, H, W)
        """
        output = output.float()
        velocity, variance = output[:, : self.config.channels], output[:, self.config.channels :]
        kind = self.back.weight.dtype
        beside = self.own(F.pixel_unshuffle(seen.own, self.config.pixels.patch).to(kind))
        made = self.pixels(self.back((seen.cells - seen.time * velocity).to(kind)), beside).float()
        x0 = (1 - seen.share) * made + seen.own
        if variance.shape[1] == 0:
            return x0
        return torch.cat([x0, F.interpolate(variance, scale_factor=self.config.patch)], dim=1)

    def _linear(self, x: Tensor, alpha: Tensor | float) -> Tensor:
        """x (B, 3, H, W) -> (B, C, h, w); alpha: of the picture; noise has no mean"""
        folded = F.pixel_unshuffle(x, self.config.patch).to(self.into.weight.dtype)
        assert self.into.bias is not None
        bare = F.conv2d(folded, self.into.weight, padding=1).float()
        return bare + alpha * self.into.bias.float()[:, None, None]
