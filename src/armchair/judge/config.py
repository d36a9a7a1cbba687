"""Sizes of the judge's network."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class JudgeConfig:
    """A small convolutional network over square pictures."""

    image_size: int = 64  # pixels per side; other sizes are scaled to it
    concepts: int = 359  # how many of concepts.json it tells apart: the first so many
    width: int = 32  # channels of the first level; each next level doubles them
    levels: int = 4  # levels, each at half the resolution of the one before
    blocks: int = 2  # residual blocks a level

    def __post_init__(self) -> None:
        if self.image_size % 2**self.levels:
            raise ValueError(f"image_size {self.image_size} is not a multiple of {2**self.levels}")
        if self.width % 8:
            raise ValueError(f"width {self.width} is not a multiple of 8, the groups of its normalisation")
