"""Sizes of the judge's network, and how sure it must be."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class JudgeConfig:
    """A convolutional detector over square pictures: levels down to a stride, merged again at stride 4."""

    image_size: int = 64  # pixels per side; other sizes are scaled to it
    concepts: int = 96  # how many of concepts.json it tells apart: the first so many
    widths: tuple[int, ...] = (32, 64, 128, 192)  # channels of each level; the first has stride 2
    blocks: tuple[int, ...] = (1, 2, 2, 1)  # residual blocks of each level
    merged: int = 96  # channels of the map that the heads read
    head: int = 128  # channels between that map and what is read of a thing
    letters: int = 32  # channels of the columns that a sign's word is read from
    found: float = 0.2  # a thing counts as found from this score on
    legible: float = 0.5  # a board's word counts as read from this probability on

    def __post_init__(self) -> None:
        if len(self.widths) != len(self.blocks) or len(self.widths) < 2:
            raise ValueError(f"widths {self.widths} and blocks {self.blocks} must both name 2 or more levels")
        if self.image_size % 2 ** len(self.widths):
            raise ValueError(f"image_size {self.image_size} is not a multiple of {2 ** len(self.widths)}")
        for width in (*self.widths, self.merged, self.head):
            if width % 8:
                raise ValueError(f"width {width} is not a multiple of 8, the groups of its normalisation")
        for name in ("found", "legible"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)} is outside 0..1")

    @property
    def grid(self) -> int:
        """Cells per side of the map: 16 for a picture of 64 pixels."""
        return self.image_size // 4

    @property
    def strip(self) -> int:
        """Rows of cells, from the upper or lower edge, in which a board is looked for."""
        return round(0.375 * self.grid)
