"""Crops: the two augmentations of DALL·E 1 (arXiv:2102.12092, listings 1 and 2), and a plain one.

Pictures are (H, W, 3) uint8 in and (size, size, 3) uint8 out. Shrinking averages over areas, as the paper's
does, so nothing is aliased. The paper grows no picture; one that is smaller than `size` must grow, and does
so bicubically.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from armchair.core.errors import BadInput

Resampling = Image.Resampling


def augment_dvae(image: np.ndarray, size: int, generator: torch.Generator) -> np.ndarray:
    """Listing 1, for the image tokenizer: random square shrunk to 9/8 .. 12/8 of size, random crop, flip."""
    low, high = _sides(image, round(9 / 8 * size), round(12 / 8 * size))
    u = _uniforms(generator)
    tall, wide = _slack(image)
    square = _square(image, _pick(u[0], 0, tall), _pick(u[1], 0, wide))
    crop = _crop(_resize(square, max(size, _pick(u[2], low, high))), size, u[3], u[4])
    return np.ascontiguousarray(crop[:, ::-1]) if u[5] < 0.5 else crop


def augment_transformer(image: np.ndarray, size: int, generator: torch.Generator) -> np.ndarray:
    """Listing 2, for the transformer: a square near the middle, shrunk to 1 .. 9/8 of size, random crop.

    Near the middle is an offset in the middle quarter of the slack. No flip: pictures may hold writing.
    """
    low, high = _sides(image, size, round(9 / 8 * size))
    u = _uniforms(generator)
    tall, wide = _slack(image)
    # the listing's upper end is exclusive
    top = _pick(u[0], 3 * tall // 8, max(3 * tall // 8, 5 * tall // 8 - 1))
    left = _pick(u[1], 3 * wide // 8, max(3 * wide // 8, 5 * wide // 8 - 1))
    square = _square(image, top, left)
    return _crop(_resize(square, max(size, _pick(u[2], low, high))), size, u[3], u[4])


def centre(image: np.ndarray, size: int) -> np.ndarray:
    """For evaluation: the short side scaled to `size` (Lanczos), the middle square of it."""
    return framed(image, size, size)


def framed(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """The middle of a picture, as much as has the ratio of width to height, at that size (Lanczos):
    (height, width, 3) uint8
    """
    _checked(image)
    tall, wide = image.shape[:2]
    rows, columns = min(tall, max(1, wide * height // width)), min(wide, max(1, tall * width // height))
    top, left = (tall - rows) // 2, (wide - columns) // 2
    part = image[top : top + rows, left : left + columns]
    if part.shape[:2] == (height, width):
        return part.copy()
    whole = Image.fromarray(np.ascontiguousarray(part))
    return np.array(whole.resize((width, height), Resampling.LANCZOS))


def _sides(image: np.ndarray, low: int, high: int) -> tuple[int, int]:
    """The range of sides to shrink to: never more than the picture has."""
    _checked(image)
    return min(_short(image), low), min(_short(image), high)


def _checked(image: np.ndarray) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise BadInput(f"a picture is (H, W, 3) uint8, not {image.shape} {image.dtype}")


def _short(image: np.ndarray) -> int:
    return min(image.shape[:2])


def _slack(image: np.ndarray) -> tuple[int, int]:
    """Rows and columns beyond the largest square."""
    return image.shape[0] - _short(image), image.shape[1] - _short(image)


def _uniforms(generator: torch.Generator) -> list[float]:
    """Six numbers of [0, 1): always as many, whatever the picture."""
    return torch.rand(6, dtype=torch.float64, generator=generator).tolist()


def _pick(u: float, low: int, high: int) -> int:
    """Evenly from low .. high, both included."""
    return low + int(u * (high - low + 1))


def _square(image: np.ndarray, top: int, left: int) -> np.ndarray:
    side = _short(image)
    return image[top : top + side, left : left + side]


def _resize(square: np.ndarray, side: int) -> np.ndarray:
    return _scaled(square, side, Resampling.BOX if side < len(square) else Resampling.BICUBIC)


def _scaled(square: np.ndarray, side: int, how: Image.Resampling) -> np.ndarray:
    if len(square) == side:
        return square.copy()
    return np.array(Image.fromarray(np.ascontiguousarray(square)).resize((side, side), how))


def _crop(image: np.ndarray, size: int, u: float, v: float) -> np.ndarray:
    slack = len(image) - size
    top, left = _pick(u, 0, slack), _pick(v, 0, slack)
    return np.ascontiguousarray(image[top : top + size, left : left + size])
