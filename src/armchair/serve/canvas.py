"""Sizes: what a caller asked for, what a model draws, and how the one becomes the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from PIL import Image


class Size(NamedTuple):
    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @classmethod
    def of(cls, text: str) -> Size:
        """ "64x64", which a model or a table of ours says."""
        width, _, height = text.partition("x")
        return cls(int(width), int(height))


def size_to_draw(sizes: Sequence[str], wanted: Size | None) -> str:
    """Which of a model's sizes to draw for a wanted one: the same shape before another, then the smallest
    that is no smaller than wanted, else the largest. None: the model's first.
    """
    if wanted is None:
        return sizes[0]

    def rank(text: str) -> tuple[float, bool, float]:
        size = Size.of(text)
        shape = abs(size.width * wanted.height - size.height * wanted.width) / (size.height * wanted.height)
        covers = size.width >= wanted.width and size.height >= wanted.height
        return round(shape, 3), not covers, size.width if covers else -size.width

    return min(sizes, key=rank)


def fit(image: Image.Image, size: Size) -> Image.Image:
    """The whole picture at another size; where the shape differs, the border's median colour fills up.

    An RGB picture in, one out. A drawing's border is its background, so nothing is cropped away.
    """
    import numpy as np
    from PIL import Image

    if image.size == size:
        return image
    scale = min(size.width / image.width, size.height / image.height)
    inner = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    scaled = image.resize(inner, Image.Resampling.LANCZOS)
    if scaled.size == size:
        return scaled
    pixels = np.asarray(image)  # (H, W, 3)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    red, green, blue = (int(value) for value in np.median(border, axis=0))
    sheet = Image.new("RGB", size, (red, green, blue))
    sheet.paste(scaled, ((size.width - inner[0]) // 2, (size.height - inner[1]) // 2))
    return sheet
