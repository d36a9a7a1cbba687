"""What a sampler yields while it draws."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class Step(NamedTuple):
    """One step of a sampler. B samples."""

    index: int  # pyright: ignore[reportIncompatibleMethodOverride]  0 .. total - 1, and no tuple.index
    total: int
    x: Tensor  # (B, ...) the sample after this step
    x0: Tensor  # (B, ...) the clean sample the network now expects


class Preview(NamedTuple):
    """What a pipeline shows while it draws; the last one (index total - 1) is the picture itself."""

    index: int  # pyright: ignore[reportIncompatibleMethodOverride]  0 .. total - 1, and no tuple.index
    total: int
    images: Tensor  # (B, 3, H, W) float 0..1
