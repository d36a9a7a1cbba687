"""Random masks, for a decoder that learns to inpaint (arXiv:2112.10741, section 4.3)."""

from __future__ import annotations

import torch
from torch import Tensor

MOST = 3  # rectangles in a mask


def random_keep(side: int, generator: torch.Generator) -> Tensor:
    """(1, side, side) bool, True = stays: up to three rectangles are erased, or all but one rectangle is.

    Every call draws as many numbers. Rectangles have an eighth to three quarters of the side.
    """
    u = torch.rand(2 + 4 * MOST, generator=generator).tolist()
    erased = torch.zeros(1, side, side, dtype=torch.bool)
    inside_stays = u[0] < 0.5  # what outpainting and small corrections look like
    count = 1 if inside_stays else 1 + int(u[1] * MOST)
    for i in range(count):
        tall, wide, down, right = u[2 + 4 * i : 6 + 4 * i]
        height, width = (max(1, round(side * (1 / 8 + 5 / 8 * v))) for v in (tall, wide))
        top, left = int(down * (side - height + 1)), int(right * (side - width + 1))
        erased[:, top : top + height, left : left + width] = True
    return erased if inside_stays else ~erased
