"""Where the things of a scene go: boxes inside the frame for which the stated relations are true.

A rectangle is (left, top, right, bottom), y downwards, and the shorter side of the frame is 1. Each layout
takes the shapes of the things, the free rectangle and dice, and returns the boxes of each thing, in the same
units, and the relations as (subject, kind, object, verb). Only "on" and "in front of" let boxes touch or
overlap.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeVar

from armchair.data.world.shapes import Shape

# verb -> what `kind` its relation has (armchair.data.world.scene.Relation)
VERB_KINDS = {"riding": "on", "holding": "in front of", "playing": "in front of", "wearing": "on"}
# what is worn on the head: its width, and how far down its lower edge comes, as shares of its wearer
WORN = {
    "hat": (0.7, 0.2),
    "crown": (0.5, 0.14),
    "cap": (0.6, 0.22),
    "helmet": (0.62, 0.24),
    "graduation cap": (0.7, 0.18),
    "headphones": (0.8, 0.45),
    "glasses": (0.6, 0.58),
    "sunglasses": (0.6, 0.58),
}
EYES = ("glasses", "sunglasses", "headphones")  # worn by those that look at us
# those that all sets draw from the front, so that their eyes are in the middle
FACING = frozenset(
    (
        "teddy bear/astronaut/panda/robot/bear/lion/frog/fox/artist/ghost/koala/wolf/alien/clown/baby/person/"
        "chef/farmer/firefighter/police officer/ninja/detective/santa claus/hamster/angel/doctor/"
        "construction worker/king/polar bear"
    ).split("/")
)
LONG = 1.4  # the longer side over the shorter from which three things stand in a line; a sign leaves 1.33
SIGN = 0.25  # share of the height that a sign's strip takes
_REVERSE = {"left of": "right of", "above": "below"}
_T = TypeVar("_T")


class Box(NamedTuple):
    """Fractions of the frame: centre x, y (downwards), width, height."""

    x: float
    y: float
    w: float
    h: float


class Rect(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top


class Rolls(Protocol):
    """Random choices; see armchair.data.world.scene.Dice."""

    def random(self) -> float: ...
    def pick(self, options: Sequence[_T]) -> _T: ...
    def between(self, low: float, high: float) -> float: ...
    def chance(self, share: float) -> bool: ...


Placed = tuple[list[list[Box]], list[tuple[int, str, int, str | None]]]


def frame(sign: bool, index: int, width: float = 1.0, height: float = 1.0) -> Rect:
    """What is free for the things; a sign takes a strip at the bottom (even index) or top."""
    if not sign:
        return Rect(0.0, 0.0, width, height)
    strip = height * SIGN
    return Rect(0.0, 0.0, width, height - strip) if index % 2 == 0 else Rect(0.0, strip, width, height)


def shares(box: Box, width: float, height: float) -> Box:
    """A box of a frame of these sides, in fractions of them."""
    return _box(box.x / width, box.y / height, box.w / width, box.h / height)


def sign_box(index: int) -> Box:
    """Where the board of a sign is."""
    return Box(0.5, 1 - SIGN / 2 if index % 2 == 0 else SIGN / 2, 0.9, SIGN * 0.8)


def _fit(shape: Shape, width: float, height: float) -> tuple[float, float]:
    """The largest (w, h) of these proportions inside width x height."""
    w = min(width, height * shape.aspect)
    return w, w / shape.aspect


def _box(x: float, y: float, w: float, h: float) -> Box:
    return Box(round(x, 4), round(y, 4), round(w, 4), round(h, 4))


def _inside(rect: Rect, x: float, y: float, w: float, h: float) -> Box:
    """A box of this size, moved into the rectangle."""
    x = min(max(x, rect.left + w / 2), rect.right - w / 2)
    y = min(max(y, rect.top + h / 2), rect.bottom - h / 2)
    return _box(x, y, w, h)


def _middle(rect: Rect) -> tuple[float, float]:
    return (rect.left + rect.right) / 2, (rect.top + rect.bottom) / 2


def _in_cell(shape: Shape, cell: Rect, dice: Rolls, low: float = 0.78, high: float = 0.93) -> Box:
    """One thing, nearly as large as its cell, near the middle of it."""
    share = dice.between(low, high)
    w, h = _fit(shape, cell.width * share, cell.height * share)
    x, y = _middle(cell)
    x += dice.between(-0.5, 0.5) * min(0.8 * (cell.width - w), 0.12)
    y += dice.between(-0.5, 0.5) * min(0.8 * (cell.height - h), 0.12)
    return _inside(cell, x, y, w, h)


def _cells(rect: Rect, columns: int, rows: int) -> list[Rect]:
    w, h = rect.width / columns, rect.height / rows
    return [
        Rect(rect.left + c * w, rect.top + r * h, rect.left + (c + 1) * w, rect.top + (r + 1) * h)
        for r in range(rows)
        for c in range(columns)
    ]


def single(shapes: Sequence[Shape], rect: Rect, dice: Rolls) -> Placed:
    """One thing that fills 0.72 to 0.95 of the frame."""
    return [[_in_cell(shapes[0], rect, dice, 0.72, 0.95)]], []


def several(shapes: Sequence[Shape], count: int, rect: Rect, dice: Rolls) -> Placed:
    """`count` of the same thing."""
    return [_group(shapes[0], count, rect, dice)], []


def _group(shape: Shape, count: int, rect: Rect, dice: Rolls) -> list[Box]:
    """A row, a column or a grid, whichever leaves the things large; all of one size."""
    grids = [(c, -(-count // c)) for c in range(1, count + 1)]
    sizes = [_fit(shape, rect.width / c, rect.height / r)[1] for c, r in grids]
    columns, rows = dice.pick([g for g, size in zip(grids, sizes, strict=True) if size > 0.8 * max(sizes)])
    share = dice.between(0.76, 0.9)
    w, h = _fit(shape, rect.width / columns * share, rect.height / rows * share)
    boxes = []
    for i in range(count):
        row, column = divmod(i, columns)
        in_row = min(columns, count - row * columns)  # a short last row stands in the middle
        x = rect.left + rect.width * (0.5 + (column + 0.5 - in_row / 2) / columns)
        y = rect.top + rect.height * (row + 0.5) / rows
        x += dice.between(-0.3, 0.3) * (rect.width / columns - w) * 0.6
        y += dice.between(-0.3, 0.3) * min(rect.height / rows - h, 0.1) * 0.6
        boxes.append(_inside(rect, x, y, w, h))
    return boxes


def pair(shapes: Sequence[Shape], countable: Sequence[bool], rect: Rect, dice: Rolls) -> Placed:
    """Two things and their relation; side by side, a countable one may come in twos or threes."""
    kind = dice.pick(("left of", "left of", "above", "above", "on", "on", "in front of"))
    if kind in ("on", "in front of"):
        place = _on if kind == "on" else _in_front
        subject, thing = place(shapes[0], shapes[1], rect, dice)
        return [[subject], [thing]], [(0, kind, 1, None)]
    boxes = []
    several_of = dice.pick((0, 1)) if dice.chance(0.2) else None
    for i, cell in enumerate(_halves(rect, kind, dice)):
        if several_of == i and countable[i]:
            boxes.append(_group(shapes[i], dice.pick((2, 2, 3)), _shrunk(cell, 0.94), dice))
        else:
            boxes.append([_in_cell(shapes[i], cell, dice, 0.8, 0.94)])
    return boxes, [_stated(0, kind, 1, dice)]


def _halves(rect: Rect, kind: str, dice: Rolls) -> tuple[Rect, Rect]:
    cut = dice.between(0.44, 0.56)
    if kind == "left of":
        x = rect.left + cut * rect.width
        return Rect(rect.left, rect.top, x, rect.bottom), Rect(x, rect.top, rect.right, rect.bottom)
    y = rect.top + cut * rect.height
    return Rect(rect.left, rect.top, rect.right, y), Rect(rect.left, y, rect.right, rect.bottom)


def _shrunk(rect: Rect, share: float) -> Rect:
    x, y = _middle(rect)
    w, h = rect.width * share / 2, rect.height * share / 2
    return Rect(x - w, y - h, x + w, y + h)


def _stated(subject: int, kind: str, thing: int, dice: Rolls) -> tuple[int, str, int, None]:
    """The relation, half of the time said from the other end."""
    return (subject, kind, thing, None) if dice.chance(0.5) else (thing, _REVERSE[kind], subject, None)


def _on(subject: Shape, thing: Shape, rect: Rect, dice: Rolls, sink: float = 0.08) -> tuple[Box, Box]:
    """Subject's foot on the top of the thing, `sink` of the thing's height below its surface."""
    w2, h2 = _fit(thing, rect.width * dice.between(0.7, 0.9), rect.height * dice.between(0.5, 0.6))
    w1, h1 = _fit(subject, min(rect.width * 0.7, 1.3 * w2), rect.height * dice.between(0.42, 0.5))
    into = min(thing.top + sink, 0.5) * h2
    scale = min(1.0, 0.95 * rect.height / (h1 + h2 - into))
    w1, h1, w2, h2, into = (v * scale for v in (w1, h1, w2, h2, into))
    x, y = _middle(rect)
    bottom = y + (h1 + h2 - into) / 2
    x += dice.between(-0.4, 0.4) * min(rect.width - w2, 0.2)
    under = _inside(rect, x, bottom - h2 / 2, w2, h2)
    aside = dice.between(-0.5, 0.5) * max(0.0, 0.6 * (w2 - w1))
    return _inside(rect, under.x + aside, bottom - h2 + into - h1 / 2, w1, h1), under


def _in_front(subject: Shape, thing: Shape, rect: Rect, dice: Rolls) -> tuple[Box, Box]:
    """The thing behind and higher; the subject covers part of its lower half and reaches below it."""
    w2, h2 = _fit(thing, rect.width * dice.between(0.74, 0.9), rect.height * dice.between(0.62, 0.72))
    w1, h1 = _fit(subject, rect.width * 0.5, rect.height * 0.46)
    drop = h1 - min(dice.between(0.6, 0.8) * h1, 0.5 * h2)  # how far it reaches below
    scale = min(1.0, 0.96 * rect.height / (h2 + drop))
    w1, h1, w2, h2, drop = (v * scale for v in (w1, h1, w2, h2, drop))
    x, y = _middle(rect)
    side = dice.pick((-1, 1))
    behind = _inside(rect, x - side * dice.between(0.0, 0.05) * rect.width, y - drop / 2, w2, h2)
    x = behind.x + side * dice.between(0.12, 0.3) * max(w1, w2)
    return _inside(rect, x, behind.y + h2 / 2 + drop - h1 / 2, w1, h1), behind


def can_wear(doer: str, thing: str) -> bool:
    """Whether we know where on the doer the thing goes."""
    return thing in WORN and (doer in FACING or thing not in EYES)


def deed(shapes: Sequence[Shape], verb: str, names: Sequence[str], rect: Rect, dice: Rolls) -> Placed:
    """shapes[0] rides, holds, plays or wears shapes[1]; `names` are their concepts."""
    doer, thing = shapes
    if verb == "riding":
        first, second = _on(doer, thing, rect, dice, sink=0.2)
    elif verb == "wearing":
        second, first = _worn(thing, doer, names[1], names[0] in FACING, rect, dice)
    else:
        second, first = _held(thing, doer, rect, dice)
    return [[first], [second]], [(0, VERB_KINDS[verb], 1, verb)]


def _held(thing: Shape, doer: Shape, rect: Rect, dice: Rolls) -> tuple[Box, Box]:
    """The thing over the lower part of its holder, to one side."""
    w2, h2 = _fit(doer, rect.width * dice.between(0.74, 0.86), rect.height * dice.between(0.84, 0.92))
    w1, h1 = _fit(thing, min(rect.width * 0.5, 0.8 * w2), min(rect.height * 0.48, max(0.55 * h2, 0.3)))
    x, y = _middle(rect)
    behind = _inside(rect, x, y, w2, h2)
    x = behind.x + dice.pick((-1, 1)) * dice.between(0.1, 0.35) * w2
    return _inside(rect, x, behind.y + 0.5 * h2 - 0.4 * h1, w1, h1), behind


def _worn(thing: Shape, doer: Shape, name: str, facing: bool, rect: Rect, dice: Rolls) -> tuple[Box, Box]:
    """The thing on its wearer's head: in the middle of who faces us, else on the highest part."""
    share, foot = WORN[name]
    w2, h2 = _fit(doer, rect.width * 0.86, rect.height * dice.between(0.8, 0.9))
    w1, h1 = _fit(thing, (share if facing else 0.55 * share) * w2, 0.45 * h2)
    into = (foot if facing else 0.5 * foot) * h2
    total = max(h2, h1 + h2 - into)
    scale = min(1.0, 0.95 * rect.height / total)
    w1, h1, w2, h2, into, total = (v * scale for v in (w1, h1, w2, h2, into, total))
    x, y = _middle(rect)
    under = _inside(rect, x, y + total / 2 - h2 / 2, w2, h2)
    head = under.x if facing else under.x + (doer.peak - 0.5) * w2
    return _inside(rect, head, under.y - h2 / 2 + into - h1 / 2, w1, h1), under


def crowd(shapes: Sequence[Shape], rect: Rect, dice: Rolls) -> Placed:
    """Three or four things, each in its own cell, with the relations of neighbours; in a row or a column
    where the frame is long.
    """
    long = max(rect.width / rect.height, rect.height / rect.width) > LONG
    if long and (len(shapes) == 3 or dice.chance(0.5)):
        across = rect.width > rect.height
        cells = _cells(rect, len(shapes), 1) if across else _cells(rect, 1, len(shapes))
        kind = "left of" if across else "above"
        found = [(i, kind, i + 1) for i in range(len(shapes) - 1)]
    elif len(shapes) == 4:
        cells = _cells(rect, 2, 2)
        found = [(0, "left of", 1), (2, "left of", 3), (0, "above", 2), (1, "above", 3)]
    elif dice.chance(0.25):
        cells = _cells(rect, 3, 1)
        found = [(0, "left of", 1), (1, "left of", 2)]
    else:
        upper, lower = _cells(rect, 1, 2)
        two_above = dice.chance(0.5)
        cells = [*_cells(upper if two_above else lower, 2, 1), lower if two_above else upper]
        stacked = [(0, "above", 2), (1, "above", 2)] if two_above else [(2, "above", 0), (2, "above", 1)]
        found = [(0, "left of", 1), *stacked]
    boxes = [[_in_cell(shape, cell, dice, 0.8, 0.94)] for shape, cell in zip(shapes, cells, strict=True)]
    return boxes, [_stated(*r, dice) for r in found]
