"""What captions of both languages share: positions and sizes in a scene, frames, word choice."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from armchair.data.world.layout import sign_box

if TYPE_CHECKING:
    from armchair.data.world.scene import Scene, Thing

T = TypeVar("T")
Frame = tuple[tuple[str, str], ...]  # (literal text, slot that follows it or "")

COLUMNS, ROWS = ("left", "centre", "right"), ("top", "middle", "bottom")
COMMON = 0.6  # share of captions that use the first, most common word of a concept


def pick(rng: random.Random, options: Sequence[T]) -> T:
    """A uniform choice; `random()` alone is stable between Python versions, and faster than `choice`."""
    return options[int(rng.random() * len(options))]


def choose_word(rng: random.Random, table: Sequence[T]) -> T:
    """The first entry in 60 % of the cases, else one of the others."""
    if len(table) == 1 or rng.random() < COMMON:
        return table[0]
    return table[1 + int(rng.random() * (len(table) - 1))]


def parse_frame(frame: str) -> Frame:
    """Split "A {picture} of {things}." into literals and slots."""
    parts = re.split(r"\{([A-Za-z_|가-힣]+)\}", frame)
    return tuple((parts[i], parts[i + 1] if i + 1 < len(parts) else "") for i in range(0, len(parts), 2))


class Spot(NamedTuple):
    """Where a thing is: left, centre or right; top, middle or bottom."""

    column: str
    row: str
    spread: str  # how several boxes lie: row, column, spread (over the frame), near (one part of it)


def position(thing: Thing) -> Spot:
    """The part of the frame that a thing is in; several boxes count as the middle unless all are off it."""
    boxes = thing.boxes
    xs, ys = [b.x for b in boxes], [b.y for b in boxes]
    if len(boxes) == 1:
        return Spot(COLUMNS[_third(xs[0])], ROWS[_third(ys[0])], "")
    column, row = COLUMNS[_side(xs)], ROWS[_side(ys)]
    if max(ys) - min(ys) < 0.12:
        return Spot(column, row, "row")
    if max(xs) - min(xs) < 0.12:
        return Spot(column, row, "column")
    return Spot(column, row, "spread" if (column, row) == ("centre", "middle") else "near")


def _side(values: Sequence[float]) -> int:
    """0 or 2 when all lie on one side of the middle."""
    return 0 if max(values) < 0.48 else 2 if min(values) > 0.52 else 1


def _third(value: float) -> int:
    return 0 if value < 0.36 else 2 if value > 0.64 else 1


def sign_place(scene: Scene) -> str:
    """ "top" or "bottom": where the board with the word is."""
    return "top" if sign_box(scene.index).y < 0.5 else "bottom"


def fills(thing: Thing) -> bool:
    """Whether one box takes most of the frame."""
    return min(thing.boxes[0].w, thing.boxes[0].h) > 0.6


def small(thing: Thing) -> bool:
    return max(max(b.w, b.h) for b in thing.boxes) < 0.28


def placed(scene: Scene, most: int, rng: random.Random) -> list[int]:
    """The things whose place a caption says, at most `most`; not what is held where its holder is."""
    spots = [position(thing) for thing in scene.things]
    held = {r.object for r in scene.relations if r.verb is not None and spots[r.object] == spots[r.subject]}
    return some([i for i in range(len(spots)) if i not in held], most, rng)


def some(items: Sequence[T], most: int, rng: random.Random) -> list[T]:
    """All items, or `most` of them by chance, in their order."""
    chosen = list(items)
    while len(chosen) > most:
        del chosen[int(rng.random() * len(chosen))]
    return chosen
