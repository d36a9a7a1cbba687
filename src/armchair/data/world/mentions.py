"""Where a caption of Emoji World names the things of its scene."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from armchair.core.task import Spot
from armchair.data.world.captions import caption_vocabulary

if TYPE_CHECKING:
    from armchair.data.world.scene import Scene


def spots(scene: Scene, text: str, language: str) -> tuple[Spot, ...]:
    """The boxes of the things that `text` names, in the order of their names, those of one name from left to
    right. What it does not name has none.
    """
    lower, taken = text.lower(), [False] * len(text)
    found: list[Spot] = []
    words = [(word, i) for i, thing in enumerate(scene.things) for word in _words(thing.concept, language)]
    named: set[int] = set()
    for word, i in sorted(words, key=lambda pair: -len(pair[0])):  # "teddy bear" before "bear"
        if i in named:
            continue
        for match in _pattern(word, language).finditer(lower):
            start, end = match.span()
            if any(taken[start:end]):
                continue
            taken[start:end] = [True] * (end - start)
            named.add(i)
            found += (Spot(end, box.x, box.y, box.w, box.h) for box in scene.things[i].boxes)
            break
    return tuple(sorted(found, key=lambda spot: (spot.end, spot.x, spot.y)))


@cache
def _words(concept: str, language: str) -> tuple[str, ...]:
    entry = caption_vocabulary()[concept]
    if language == "ko":
        return tuple(dict.fromkeys(entry.ko))
    return tuple(dict.fromkeys(form.lower() for noun in entry.en for form in (noun.many, noun.one)))


@cache
def _pattern(word: str, language: str) -> re.Pattern[str]:
    """The word by itself; Korean particles may follow it."""
    bounds = (r"(?<![가-힣])", "") if language == "ko" else (r"(?<![a-z])", r"(?![a-z])")
    return re.compile(bounds[0] + re.escape(word) + bounds[1])
