"""What is to be drawn, checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from armchair.core.step import Preview

if TYPE_CHECKING:
    from armchair.artist.rerank import Ranking


@dataclass(frozen=True, kw_only=True)
class Job:
    """One picture a seed, all with the same recipe but for the seed; or one a frame, all with the same
    seed.
    """

    operation: str
    prompt: str
    seeds: range
    size: str
    options: dict[str, Any]
    run: Callable[[list[int]], Iterator[Preview]]  # items -> previews of that batch
    source: str | None = None  # the picture that it starts from, as base64 PNG
    second: str | None = None  # the picture that it goes to, likewise
    frames: tuple[int, ...] | None = None  # numbers that tell pictures of one seed apart
    revised_prompt: str | None = None
    ranking: Ranking | None = None  # keeps the best of what is drawn

    @property
    def items(self) -> Sequence[int]:
        """What `run` takes, a number a picture: frames where there are some, else seeds."""
        return self.seeds if self.frames is None else self.frames

    @property
    def count(self) -> int:
        """How many pictures come out."""
        return len(self.items) if self.ranking is None else self.ranking.keep
