"""Drawing many and keeping the best, as DALL·E 1 did with 512 (arXiv:2102.12092, section 2.6)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from armchair.core.errors import BadInput
from armchair.core.picture import Picture
from armchair.core.step import Preview

if TYPE_CHECKING:
    from armchair.clip.pipeline import ClipModel

MAX_RERANK = 512  # pictures drawn for one prompt


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Who ranks the pictures of a prompt, and how many are kept."""

    keep: int
    clip: ClipModel
    digest: str  # of the clip's bundle

    def best(self, events: Iterator[Preview | Picture], batches: int) -> Iterator[Preview | Picture]:
        """The pictures that fit their prompt best, the best first; before them previews that count the steps
        of all `batches` and show no picture (images (0, 3, H, W)), since none is chosen yet.

        Each picture keeps the recipe that drew it, so that `redo` draws it alone; `rerank` in it tells its
        rank.
        """
        drawn: list[Picture] = []
        batch = 0
        for event in events:
            if isinstance(event, Picture):
                drawn.append(event)
                continue
            steps = event.total
            yield Preview(batch * steps + event.index, batches * steps, lambda e=event: e.images[:0], 0)
            batch += event.index + 1 == steps
        scores = self.clip.score([p.image for p in drawn], [drawn[0].prompt])[:, 0].tolist()
        order = sorted(range(len(drawn)), key=lambda i: (-scores[i], i))
        for rank, i in enumerate(order[: self.keep], start=1):
            told = {"of": len(drawn), "rank": rank, "score": round(scores[i], 4), "clip": self.digest}
            yield replace(drawn[i], recipe={**drawn[i].recipe, "rerank": told})


def check_rerank(rerank: object, n: int) -> int:
    """How many pictures are drawn where n are kept: at least n."""
    if isinstance(rerank, bool) or not isinstance(rerank, int) or not 1 <= rerank <= MAX_RERANK:
        raise BadInput(f"rerank is {rerank!r}; 1 to {MAX_RERANK} pictures can be drawn to choose from")
    return max(rerank, n)
