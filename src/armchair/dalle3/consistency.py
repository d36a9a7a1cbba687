"""A decoder from latents to pixels that diffuses in two steps (DALL·E 3, appendix B; arXiv:2303.01469)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armchair.core.rng import SeedBatch
from armchair.dalle3.config import ConsistencyConfig
from armchair.dalle3.denoiser import LatentScale
from armchair.nn.unet import UNet


class ConsistencyDecoder(nn.Module):
    """The clean picture from any noise level: F is a U-Net of convolutions, and

        x0 = c_skip(t) x + c_out(t) F(c_in(t) x, t, latent)

    is x itself without noise. Trained as a denoiser it is the teacher, distilled from one the decoder.

    B pictures, H, W pixels in -1..1, C channels and h, w cells of a latent.
    """

    def __init__(self, config: ConsistencyConfig):
        super().__init__()
        self.config = config
        self.scale = LatentScale(config.channels)
        self.unet = UNet(config.unet)

    def forward(self, x: Tensor, t: Tensor, latent: Tensor) -> Tensor:
        """x (B, 3, H, W) noisy, t (B,) levels, latent (B, C, h, w) the autoencoder's -> (B, 3, H, W) clean"""
        c_skip, c_out, c_in = self.coefficients(t, x)
        guide = F.interpolate(self.scale(latent), scale_factor=float(self.config.stride), mode="nearest")
        found = self.unet(torch.cat([c_in * x, guide.to(x)], dim=1), t)[:, :3]
        return c_skip * x + c_out * found.to(x.dtype)

    def coefficients(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """c_skip, c_out and c_in of levels t (B,), each (B, 1, 1, 1): those of arXiv:2206.00364 with
        sigma^2 = 1 / alpha_bar - 1, for samples that keep their variance.
        """
        alpha, sigma_here = self.config.levels_of_noise.alpha_sigma(t, like)
        sigma, std = sigma_here / alpha, self.config.data_std
        total = sigma.square() + std**2
        return std**2 / total / alpha, sigma * std / total.sqrt(), 1 / (alpha * total.sqrt())

    @torch.no_grad()
    def draw(self, latent: Tensor, seeds: SeedBatch) -> Tensor:
        """latent (B, C, h, w), the autoencoder's -> (B, 3, H, W) in -1..1: from noise to a clean picture,
        which is noised again and cleaned again, once for each of the config's levels
        """
        config, schedule = self.config, self.config.levels_of_noise
        size = tuple(side * config.stride for side in latent.shape[2:])
        x0 = latent.new_zeros(len(latent), 3, *size)
        for step, level in enumerate(config.visited):
            t = torch.full((len(latent),), level, device=latent.device)
            alpha, sigma = schedule.alpha_sigma(t, x0)
            x = sigma * seeds.normal(3, *size).to(x0) + (alpha * x0 if step else 0)
            x0 = self(x, t, latent)
        return x0.clamp(-1, 1)
