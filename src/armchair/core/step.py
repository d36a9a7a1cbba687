"""What a sampler yields while it draws."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


class Step(NamedTuple):
    """One step of a sampler. B samples."""

    index: int  # pyright: ignore[reportIncompatibleMethodOverride]  0 .. total - 1, and no tuple.index
    total: int
    x: Tensor  # (B, ...) the sample after this step
    x0: Tensor  # (B, ...) the clean sample the network now expects


class Preview:
    """What a pipeline shows while it draws; the last one (index total - 1) is the picture itself. Its images
    are made when somebody looks at them.
    """

    __slots__ = ("_images", "count", "index", "total")

    def __init__(
        self, index: int, total: int, images: Tensor | Callable[[], Tensor], count: int | None = None
    ):
        """images: (B, 3, H, W) float 0..1, or what makes them.  count: B, needed where they are not there
        yet
        """
        self.index = index
        self.total = total
        self.count = len(cast("Tensor", images)) if count is None else count
        self._images = images

    @property
    def images(self) -> Tensor:
        """(B, 3, H, W) float 0..1; the same ones every time"""
        if callable(self._images):
            self._images = self._images()
        return self._images

    def changed(self, how: Callable[[Tensor], Tensor]) -> Preview:
        """The same with the images passed through a function, which leaves as many."""
        return Preview(self.index, self.total, lambda: how(self.images), self.count)

    def at(self, index: int, total: int) -> Preview:
        """The same as another step."""
        return Preview(index, total, lambda: self.images, self.count)
