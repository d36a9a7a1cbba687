"""Where a caption's things are named, among its tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from armchair.core.task import Caption, Spot


def placed(
    caption: Caption, encode: Callable[[str], Sequence[int]], first: int, end: int
) -> list[tuple[int, Spot]]:
    """The caption's spots, each with the place of the last token of the word that names it; not those of
    place `end` or later, which are cut. encode: a tokenizer's, word by word; first: the place of the first
    token.
    """
    found: list[tuple[int, Spot]] = []
    for spot in caption.spots:
        rest = caption.text[spot.end :].split(" ", 1)[0]  # of the same word: a plural's s, a particle
        place = first + len(encode(caption.text[: spot.end] + rest)) - 1
        if place < end:
            found.append((place, spot))
    return found
