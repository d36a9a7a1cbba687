"""Masks for networks that learn to inpaint (arXiv:2112.10741, section 4.3)."""

from __future__ import annotations

import torch
from torch import Tensor

MOST = 3  # rectangles in a mask


def random_keep(height: int, width: int, generator: torch.Generator) -> Tensor:
    """(1, height, width) bool, True = stays: up to three rectangles are erased, or all but one rectangle is.

    Every call draws as many numbers. Rectangles have an eighth to three quarters of the sides.
    """
    u = [float(value) for value in torch.rand(2 + 4 * MOST, generator=generator)]
    erased = torch.zeros(1, height, width, dtype=torch.bool)
    inside_stays = u[0] < 0.5  # what outpainting and small corrections look like
    count = 1 if inside_stays else 1 + int(u[1] * MOST)
    for i in range(count):
        a, b, down, right = u[2 + 4 * i : 6 + 4 * i]
        tall, wide = max(1, round(height * (1 / 8 + 5 / 8 * a))), max(1, round(width * (1 / 8 + 5 / 8 * b)))
        top, left = int(down * (height - tall + 1)), int(right * (width - wide + 1))
        erased[:, top : top + tall, left : left + wide] = True
    return erased if inside_stays else ~erased


def known_part(x0: Tensor, keep: Tensor) -> Tensor:
    """What a network is told of a clean sample: x0 (B, C, H, W), keep (B, 1, H, W) bool, True = stays ->
    (B, C + 1, H, W), 0 where nothing is known, and the mask
    """
    shown = keep.to(x0.dtype)
    return torch.cat([x0 * shown, shown], dim=1)
