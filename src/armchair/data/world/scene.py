"""A scene of Emoji World: a small graph of things and relations, sampled from one integer.

Sampling is plain Python on `random.Random.random()` alone (the one part of it that never changes between
Python versions) and on sums and products, so the same integer gives the same scene on every machine.
"""

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from hashlib import sha256
from itertools import accumulate
from typing import Any, NamedTuple, TypeVar

from armchair.core.errors import BadInput, nearest
from armchair.data.world import layout
from armchair.data.world.concepts import VERBS, Concept, load_concepts
from armchair.data.world.layout import Box
from armchair.data.world.shapes import shape_of

STYLES = ("glossy", "soft", "flat", "line", "sticker")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "black")
TINTS = ("natural", *COLOURS)
PLAIN = ("white", "grey", "cream", *COLOURS)
PAINTED = ("sky", "night", "sea", "meadow", "snow", "desert", "space", "room")
BACKGROUNDS = (*PLAIN, *PAINTED)
RELATIONS = ("left of", "right of", "above", "below", "on", "in front of")
TOUCHING = RELATIONS[4:]  # one thing may hide part of the other
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
SPLITS = ("train", "test")
RATIOS = {"1:1": (1.0, 1.0), "7:4": (1.75, 1.0), "4:7": (1.0, 1.75)}  # width and height; the shorter is 1
SIGN_WORDS = tuple(
    "open closed sale hello welcome stop go exit yes no love home cafe bar hotel zoo park farm shop taxi "
    "news jazz rock art film menu tea bread soup free new hot cold wow joy hope peace luck team win play "
    "run jump sing dance dream happy quiet slow push pull sweet fresh smile thanks magic enter party".split()
)

# What cannot be told from its surroundings: a tint on a painted background of nearly that colour.
_LOST = {
    "sky": {"blue"},
    "sea": {"blue"},
    "night": {"blue", "purple", "black"},
    "space": {"purple", "black"},
    "meadow": {"green"},
    "desert": {"orange", "yellow"},
}
# Tints that would change nothing: line drawings are black by themselves.
_SAME = {"line": {"black"}}
_T = TypeVar("_T")


@dataclass(frozen=True)
class Thing:
    """`len(boxes)` things of one concept, all with one style and tint."""

    concept: str
    style: str
    tint: str
    boxes: tuple[Box, ...]

    @property
    def count(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True)
class Relation:
    """things[subject] `kind` things[object], true in the picture.

    With a verb the subject is the one who does it. Riding is "on". What is held, played or worn is drawn over
    its holder, so there `kind` is read from the object: the object is "in front of" (held, played) or "on"
    (worn) the subject; `seen` gives the pair in the order in which `kind` is true.
    """

    subject: int
    kind: str
    object: int
    verb: str | None = None

    @property
    def seen(self) -> tuple[int, int]:
        """(a, b) such that a `kind` b holds in the picture."""
        if self.verb in ("holding", "playing", "wearing"):
            return self.object, self.subject
        return self.subject, self.object


@dataclass(frozen=True)
class Scene:
    """What a picture shows. `sign` is the word on its board, None without a board."""

    index: int
    things: tuple[Thing, ...]
    relations: tuple[Relation, ...]
    background: str
    sign: str | None
    ratio: str = "1:1"  # width to height of the picture, one of RATIOS

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers; a square says nothing of its ratio."""
        data = asdict(self)
        if self.ratio == "1:1":
            del data["ratio"]
        for thing, row in zip(self.things, data["things"], strict=True):
            row["boxes"] = [box._asdict() for box in thing.boxes]
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Scene":
        """The scene that `to_json` wrote."""
        things = tuple(
            Thing(t["concept"], t["style"], t["tint"], tuple(Box(**box) for box in t["boxes"]))
            for t in data["things"]
        )
        relations = tuple(Relation(**relation) for relation in data["relations"])
        ratio = data.get("ratio", "1:1")
        return cls(data["index"], things, relations, data["background"], data["sign"], ratio)

    def sides(self, size: int) -> tuple[int, int]:
        """Width and height in pixels of a picture whose shorter side has `size`."""
        width, height = RATIOS[self.ratio]
        return int(size * width), int(size * height)

    @property
    def apart(self) -> bool:
        """Whether no thing hides part of another."""
        return all(relation.kind not in TOUCHING for relation in self.relations)

    @property
    def draw_order(self) -> tuple[int, ...]:
        """Indices of `things`, the furthest first: whatever is on or in front of something comes after it."""
        order: list[int] = []
        below = {a: b for a, b in (r.seen for r in self.relations if r.kind in TOUCHING)}

        def add(i: int) -> None:
            if i not in order:
                if i in below:
                    add(below[i])
                order.append(i)

        for i in range(len(self.things)):
            add(i)
        return tuple(order)


def stands_out(colour: str, background: str) -> bool:
    """Whether a thing of this colour can be told from the background."""
    return colour != background and colour not in _LOST.get(background, set())


def held_out(a: str, b: str) -> bool:
    """Whether a pair of names (two concepts, or a concept and a colour) is kept from training: a tenth is."""
    return int.from_bytes(sha256("\n".join(sorted((a, b))).encode()).digest()[:8], "big") % 10 == 0


@dataclass(frozen=True, kw_only=True)
class WorldConfig:
    """Which scenes there are. Shares lie in 0..1; weights are at least 0 and need not sum to one."""

    size: int = 64  # pixels of the shorter side, 16..1024
    concepts: int | None = None  # the first N of concepts.json; None = all
    seed: int = 0
    split: str = "train"  # "train" never shows a held-out pair, "test" may
    single: float = 0.55  # share of scenes with one thing that fills the frame
    counting: float = 0.25  # weights of the other scenes: two to four of the same,
    pairs: float = 0.55  # two things and their relation,
    crowds: float = 0.20  # three or four things
    verbs: float = 0.20  # share of the pairs that ride, hold, play or wear
    styles: dict[str, float] = field(  # weights
        default_factory=lambda: {"glossy": 0.4, "soft": 0.15, "flat": 0.15, "line": 0.15, "sticker": 0.15}
    )
    natural: float = 0.6  # share of things in their own colours
    plain: float = 0.7  # share of plain backgrounds
    signs: float = 1 / 12  # share of scenes with a word on a board
    wide: float = 0.0  # share of scenes of 7:4
    tall: float = 0.0  # and of 4:7; the others are square, the same ones whatever the shares
    unsaid: float = 0.0  # of short captions, where things stand apart, the share that does not say how
    length: int = 2**31  # scenes in the source

    def __post_init__(self):
        if not 16 <= self.size <= 1024:
            raise BadInput(f"size {self.size} is outside 16..1024 pixels")
        if self.concepts is not None and not 1 <= self.concepts <= len(load_concepts()):
            raise BadInput(f"concepts {self.concepts} is outside 1..{len(load_concepts())}")
        if self.split not in SPLITS:
            raise BadInput(f"split {self.split!r} is neither train nor test.{nearest(self.split, SPLITS)}")
        for name in ("single", "verbs", "natural", "plain", "signs", "wide", "tall", "unsaid"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadInput(f"{name} {getattr(self, name)} is outside 0..1")
        if self.wide + self.tall > 1:
            raise BadInput(f"wide {self.wide} and tall {self.tall} are more than all scenes together")
        others = (self.counting, self.pairs, self.crowds)
        if min(others) < 0 or (self.single < 1 and sum(others) <= 0):
            raise BadInput("counting, pairs and crowds must be 0 or more, and their sum more than 0")
        for style, weight in self.styles.items():
            if style not in STYLES:
                raise BadInput(f"style {style!r} is none of {', '.join(STYLES)}.{nearest(style, STYLES)}")
            if weight < 0:
                raise BadInput(f"the weight {weight} of style {style!r} is below 0")
        if sum(self.styles.values()) <= 0:
            raise BadInput("no style has a weight above 0")
        if self.length < 1:
            raise BadInput(f"length {self.length} is below 1")

    def open(self):
        """The source of these scenes (armchair.data.world.source.World)."""
        from armchair.data.world.source import World

        return World(self)

    @cached_property
    def tables(self) -> "Tables":
        """What sampling looks up again and again."""
        concepts = load_concepts()[: self.concepts]
        others = (self.counting, self.pairs, self.crowds)
        rest = (1 - self.single) / sum(others) if self.single < 1 else 0.0
        return Tables(
            names=tuple(c.name for c in concepts),
            doers=tuple(c.name for c in concepts if c.animate),
            done={VERBS[v]: names for v in VERBS if (names := _with_verb(concepts, v))},
            countable=frozenset(c.name for c in concepts if c.number == "count"),
            people=frozenset(c.name for c in concepts if c.kind == "person"),
            styles=tuple(self.styles),
            style_weights=tuple(accumulate(self.styles.values())),
            kind_weights=tuple(accumulate((self.single, *(rest * w for w in others)))),
        )


def shipped_mix() -> WorldConfig:
    """What the shipped DALL·E 2 and 3 learn to draw: fewer things, plainer than the whole world."""
    return WorldConfig(
        size=64,
        concepts=96,
        single=0.55,
        counting=0.2,
        pairs=0.65,
        crowds=0.15,
        natural=0.65,
        plain=0.75,
        signs=0.02,
        unsaid=0.4,
        styles={"glossy": 0.5, "soft": 0.15, "flat": 0.15, "line": 0.05, "sticker": 0.15},
    )


class Tables(NamedTuple):
    names: tuple[str, ...]
    doers: tuple[str, ...]
    done: dict[str, tuple[str, ...]]  # verb as in Relation.verb -> concepts it can be done to
    countable: frozenset[str]  # come in twos and threes
    people: frozenset[str]  # never tinted: a "black farmer" says something else
    styles: tuple[str, ...]
    style_weights: tuple[float, ...]  # running sums, as the next
    kind_weights: tuple[float, ...]


def _with_verb(concepts: Sequence[Concept], verb: str) -> tuple[str, ...]:
    """What it can be done to, of what the layout can place: only some of what is worn is worn on the head."""
    return tuple(c.name for c in concepts if verb in c.verbs and (verb != "wear" or c.name in layout.WORN))


class Dice:
    """Random choices of one scene."""

    def __init__(self, *key: object):
        digest = sha256("/".join(map(str, key)).encode()).digest()
        self.random = random.Random(int.from_bytes(digest[:8], "big")).random

    def pick(self, options: Sequence[_T]) -> _T:
        return options[int(self.random() * len(options))]

    def weighted(self, options: Sequence[_T], running: Sequence[float]) -> _T:
        x = self.random() * running[-1]
        return next(option for option, top in zip(options, running, strict=True) if x < top)

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.random()

    def chance(self, share: float) -> bool:
        return self.random() < share


def sample_scene(index: int, config: WorldConfig) -> Scene:
    """The scene of this index: the same on every machine, whatever was drawn before."""
    return _Sampler(index, config).scene()


class _Sampler:
    """Draws one scene: first what is in it, then where it goes (layout.py)."""

    def __init__(self, index: int, config: WorldConfig):
        self.index, self.config, self.tables = index, config, config.tables
        self.dice = Dice("world", config.seed, config.split, index)
        self.train = config.split == "train"

    def scene(self) -> Scene:
        dice, config = self.dice, self.config
        kind = dice.weighted(("single", "counting", "pair", "crowd"), self.tables.kind_weights)
        self.style = dice.weighted(self.tables.styles, self.tables.style_weights)
        sign = dice.pick(SIGN_WORDS) if dice.chance(config.signs) else None
        ratio = self._ratio()
        self.frame = layout.frame(sign is not None, self.index, *RATIOS[ratio])
        plain = dice.chance(config.plain)
        names, plan = self._plan(kind)
        self.background = self._background(plain, names)
        tints: list[str] = []
        for name in names:
            tints.append(self._tint(name, tints))
        shapes = [shape_of(name, self.style) for name in names]
        boxes, relations = plan(shapes)
        things = tuple(
            Thing(name, self.style, tint, tuple(layout.shares(box, *RATIOS[ratio]) for box in own))
            for name, tint, own in zip(names, tints, boxes, strict=True)
        )
        found = tuple(Relation(*r) for r in relations)
        return Scene(self.index, things, found, self.background, sign, ratio)

    def _ratio(self) -> str:
        """From dice of its own, so that a scene that stays square stays as it is."""
        at = Dice("ratio", self.config.seed, self.config.split, self.index).random()
        if at < self.config.wide:
            return "7:4"
        return "4:7" if at >= 1 - self.config.tall else "1:1"

    def _plan(self, kind: str):
        """The concepts and a function from their shapes to (boxes of each, relations)."""
        dice = self.dice
        if kind == "pair":
            if dice.chance(self.config.verbs) and (chosen := self._deed()) is not None:
                verb, who = chosen
                return who, lambda shapes: layout.deed(shapes, verb, who, self.frame, dice)
            names = self._names(2)
            if len(names) == 2:
                countable = [name in self.tables.countable for name in names]
                return names, lambda shapes: layout.pair(shapes, countable, self.frame, dice)
        if kind == "crowd":
            names = self._names(3 if dice.chance(0.6) else 4)
            if len(names) >= 3:
                return names, lambda shapes: layout.crowd(shapes, self.frame, dice)
        names = self._names(1)
        if kind == "counting" and names[0] in self.tables.countable:
            return names, lambda shapes: layout.several(shapes, 2 + int(dice.random() * 3), self.frame, dice)
        return names, lambda shapes: layout.single(shapes, self.frame, dice)

    def _names(self, count: int) -> list[str]:
        """Up to `count` different concepts that may be seen together."""
        names: list[str] = []
        for _ in range(20 * count):
            name = self.dice.pick(self.tables.names)
            if name not in names and not (self.train and any(held_out(name, other) for other in names)):
                names.append(name)
                if len(names) == count:
                    break
        return names

    def _deed(self) -> tuple[str, list[str]] | None:
        """A verb, who does it and to what."""
        if not self.tables.done or not self.tables.doers:
            return None
        verb = self.dice.pick(tuple(self.tables.done))
        for _ in range(20):
            doer, other = self.dice.pick(self.tables.doers), self.dice.pick(self.tables.done[verb])
            fits = verb != "wearing" or layout.can_wear(doer, other)
            if doer != other and fits and not (self.train and held_out(doer, other)):
                return verb, [doer, other]
        return None

    def _background(self, plain: bool, names: list[str]) -> str:
        options = PLAIN if plain else PAINTED
        own = {shape_of(name, self.style).colour for name in names} if self.style != "line" else set()
        for _ in range(20):
            # White, grey and cream are as common as the eight colours together.
            background = self.dice.pick(options[:3] if plain and self.dice.chance(0.5) else options)
            lost = {background} | _LOST.get(background, set())
            if not lost & own:
                return background
        return "white"

    def _tint(self, name: str, others: list[str]) -> str:
        """A colour that stands out from the background and that nothing else in the scene has."""
        dice = self.dice
        if dice.chance(self.config.natural) or name in self.tables.people:
            return "natural"
        lost = {self.background, *others} | _LOST.get(self.background, set()) | _SAME.get(self.style, set())
        for _ in range(20):
            tint = dice.pick(COLOURS)
            if tint not in lost and not (self.train and held_out(name, tint)):
                return tint
        return "natural"
