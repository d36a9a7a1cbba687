"""Pictures of several shapes in one batch: each is laid out flat, in as many numbers as the largest has."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from armchair.data.augment import framed

Shape = tuple[int, int]  # rows and columns


def nearest(image: np.ndarray, shapes: Sequence[Shape]) -> int:
    """Which of the shapes has the ratio that is nearest to a picture's (H, W, 3)"""
    own = math.log(image.shape[0] / image.shape[1])
    return min(range(len(shapes)), key=lambda i: abs(math.log(shapes[i][0] / shapes[i][1]) - own))


def picture(image: np.ndarray, shape: Shape) -> Tensor:
    """The middle of a picture at that shape, (3, rows, columns) uint8"""
    rows, columns = shape
    return torch.from_numpy(framed(image, columns, rows)).permute(2, 0, 1)


def laid_flat(value: Tensor, shapes: Sequence[Shape]) -> Tensor:
    """(C, rows, columns) -> (C, N), filled up with zeros to the N places of the largest shape"""
    out = value.new_zeros(len(value), max(rows * columns for rows, columns in shapes))
    out[:, : value[0].numel()] = value.flatten(1)
    return out


def raised(flat: Tensor, shape: Shape) -> Tensor:
    """(B, C, N) -> (B, C, rows, columns), the inverse for rows of one shape"""
    return flat[..., : shape[0] * shape[1]].unflatten(-1, shape)


def by_shape(which: Tensor, shapes: Sequence[Shape]) -> Iterator[tuple[int, Tensor]]:
    """which (B,) -> the number of each shape that occurs, and the rows that have it"""
    for index in range(len(shapes)):
        rows = (which == index).nonzero().flatten()
        if len(rows):
            yield index, rows
