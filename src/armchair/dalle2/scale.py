"""CLIP embeddings as numbers of about unit size."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

Scaling = Literal["constant", "fitted"]

# the standard deviation of ImageNet's pixels in -1..1: what the paper's factor of 17.2 gives a number of a
# unit vector of 1,024 (appendix C)
PIXEL_STD = 0.5375


class Standardise(nn.Module):
    """(z - mean) / std of L2-normalised embeddings. B batch, E numbers.

    "constant": mean 0 and one std, the paper's factor 17.2 = 1 / std at 1,024 numbers. "fitted": those of
    training embeddings, number by number.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, embed: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(embed))
        self.register_buffer("std", torch.full((embed,), 1 / (PIXEL_STD * math.sqrt(embed))))

    def forward(self, z: Tensor) -> Tensor:
        """z (B, E) unit vectors -> (B, E)"""
        return (z - self.mean) / self.std

    def back(self, x: Tensor) -> Tensor:
        """x (B, E) -> (B, E), not of unit length in general"""
        return x * self.std + self.mean

    def fit(self, z: Tensor) -> None:
        """z (N, E): take their mean and standard deviation."""
        assert len(z) > 1, len(z)
        self.mean.copy_(z.mean(dim=0))
        self.std.copy_(z.std(dim=0).clamp_min(1e-4))
