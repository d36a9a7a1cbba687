"""The network of an upsampler, and what surrounds it: enlarging, and noise on what enlarging lacks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armchair.nn.unet import UNet
from armchair.upsample.config import UpsamplerConfig


class Upsampler(nn.Module):
    """B pictures, h and w pixels of the small one, H and W (`config.factor` times as many) of the large one.

    Pixels are in -1..1. The sample that diffusion works on is the picture, or, where the config has a
    residual, what the enlarged picture lacks of it, in units of that residual: then no step is spent on what
    is already known, and few are enough.
    """

    def __init__(self, config: UpsamplerConfig):
        super().__init__()
        self.config = config
        self.unet = UNet(config.unet)
        self.last = UNet(config.unet) if config.last else None

    def forward(self, x: Tensor, t: Tensor, guide: Tensor, last: bool = False) -> Tensor:
        """x (B, 3, H, W) noisy sample, t (B,), guide (B, 3, H, W) from `enlarge` -> (B, 3, H, W)

        last: this is the last step, for which there may be a network of its own.
        """
        net = self.last if last and self.last is not None else self.unet
        return net(torch.cat([x, guide.to(x)], dim=1), t)

    def enlarge(self, low: Tensor) -> Tensor:
        """low (B, 3, h, w) -> (B, 3, H, W), bicubic"""
        smooth = self.config.kernel == "smooth"  # torch's other kernel comes with its antialiasing
        return F.interpolate(low, scale_factor=self.config.factor, mode="bicubic", antialias=smooth)

    def to_sample(self, picture: Tensor, guide: Tensor) -> Tensor:
        """(B, 3, H, W) each -> what diffusion works on"""
        residual = self.config.residual
        return picture if residual == 0 else (picture - guide) / residual

    def to_picture(self, sample: Tensor, guide: Tensor) -> Tensor:
        """The inverse of `to_sample`, clipped to -1..1."""
        residual = self.config.residual
        return (sample if residual == 0 else guide + residual * sample).clamp(-1, 1)
