"""What a text says, as a graph: the things that it names with colours and counts, their relations, the
background, the style and the word on a sign. The way back from `captions.py`, for its own captions and for
people's words.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from armchair.text.words import has_hangul

if TYPE_CHECKING:
    from armchair.data.world.scene import Scene

NATURAL = "natural"
MIRRORED = {
    "left of": "right of",
    "below": "above",
    "behind": "in front of",
}  # of one pair, the form compared


@dataclass(frozen=True, slots=True)
class Named:
    """A thing that a text names. tint: a colour, or natural where none is said."""

    concept: str
    tint: str = NATURAL
    count: int = 1


@dataclass(frozen=True, slots=True)
class Linked:
    """things[subject] `kind` things[object], as the words say it; with a verb, who does it and to what."""

    subject: int
    kind: str
    object: int
    verb: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """All that was understood of a text; None is not said."""

    things: tuple[Named, ...] = ()
    relations: tuple[Linked, ...] = ()
    background: str | None = None
    style: str | None = None
    sign: str | None = None
    colour: str | None = None  # said of nothing that is named: "make it red"
    joined: bool = False  # two things in one noun, "an avocado armchair", which is neither of them alone

    def facts(self) -> frozenset[tuple[object, ...]]:
        """The relations by names, each pair in one form, for comparison; the colour tells two cats apart."""
        concepts = [thing.concept for thing in self.things]
        names = [
            name if concepts.count(name) == 1 else f"{thing.tint} {name}"
            for name, thing in zip(concepts, self.things, strict=True)
        ]
        return frozenset(fact(names[r.subject], r.kind, names[r.object], r.verb) for r in self.relations)


class Item(NamedTuple):
    """One find in a text, in order: a thing, a relation, a colour of the thing before ..."""

    kind: str  # thing, relation, verb, hue, bare (a colour alone), background, style, top
    value: str
    start: int
    end: int
    tint: str = NATURAL
    count: int = 1
    again: bool = False  # a thing that was named before
    tail: str = ""  # the Korean particle


@dataclass(slots=True)
class Draft:
    """A text's graph in the making."""

    text: str
    things: list[Named] = field(default_factory=list[Named])
    relations: list[Linked] = field(default_factory=list[Linked])
    background: str | None = None
    style: str | None = None
    hue: str | None = None
    joined: bool = False

    def thing(self, item: Item) -> int:
        """The index of a thing: a new one, or the one that is spoken of again."""
        same = [i for i, thing in enumerate(self.things) if thing.concept == item.value]
        other = item.tint != NATURAL and all(self.things[i].tint not in (NATURAL, item.tint) for i in same)
        if same and not other and (item.again or any(self.things[i].tint == item.tint for i in same)):
            exact = [i for i in same if item.tint in (NATURAL, self.things[i].tint)]
            counted = [i for i in exact if item.count in (1, self.things[i].count)]
            return next(iter(counted or exact or same))
        self.things.append(Named(item.value, item.tint, item.count))
        return len(self.things) - 1

    def colour(self, index: int, tint: str) -> None:
        if self.things[index].tint == NATURAL:
            self.things[index] = replace(self.things[index], tint=tint)

    def link(self, subject: int, kind: str, object_: int, verb: str | None = None) -> None:
        if subject != object_:
            self.relations.append(Linked(subject, kind, object_, verb))

    def told(self, sign: str | None) -> Told:
        relations = tuple(dict.fromkeys(self.relations))
        return Told(tuple(self.things), relations, self.background, self.style, sign, self.hue, self.joined)


def read(text: str) -> Told:
    """What a text of either language says. What it does not understand it passes over;
    `captions.unseen_words` tells which words no caption holds.
    """
    from armchair.data.world import reading_en, reading_ko  # which are built on this file

    words = " ".join(text.split()).lower().replace("“", '"').replace("”", '"')
    return reading_ko.read(words) if has_hangul(words) else reading_en.read(words)


def take_sign(words: str, forms: re.Pattern[str]) -> tuple[str, str | None]:
    """The text without its sign, and the word on it."""
    found = forms.search(words)
    if found is None:
        quoted = re.search(r'"([^"]*)"', words) if re.search(r"\bsign\b|표지판|팻말|간판", words) else None
        return re.sub(r'"[^"]*"', " ", words), None if quoted is None else quoted[1].strip()
    said = re.search(r'"([^"]*)"', found[0])
    rest = words[: found.start()] + " , " + words[found.end() :]
    return rest, None if said is None else said[1].strip()


def fact(subject: str, kind: str, object_: str, verb: str | None) -> tuple[object, ...]:
    """A relation in the form in which two are compared: "left of" as "right of" of the other."""
    if verb is not None:
        return verb, subject, object_
    if kind in MIRRORED:
        return MIRRORED[kind], object_, subject
    return kind, subject, object_


def agreement(scene: Scene, text: str, language: str) -> dict[str, float]:
    """How far a caption agrees with a scene: shares from 0 to 1, without those that the scene leaves open.

    main: whether the first thing is named · objects: of the scene's, those named · precision: of those
    named, the ones in the scene · colours, counts: of those named rightly, the ones whose colour or number is
    right · relations: of the scene's, those said · background, style, sign: whether they are said and right.
    """
    told = read(text)
    truth = {thing.concept: thing for thing in scene.things}
    named = [thing for thing in told.things if thing.concept in truth]
    shares = {
        "main": float(scene.things[0].concept in {thing.concept for thing in named}),
        "objects": len({thing.concept for thing in named}) / len(truth),
        "precision": len(named) / len(told.things) if told.things else 0.0,
        "background": float(told.background == scene.background),
        "style": float(told.style == scene.things[0].style),
    }
    if named:
        shares["colours"] = sum(thing.tint == truth[thing.concept].tint for thing in named) / len(named)
        shares["counts"] = sum(thing.count == truth[thing.concept].count for thing in named) / len(named)
    if scene.relations:
        wanted = {
            fact(scene.things[r.subject].concept, r.kind, scene.things[r.object].concept, r.verb)
            for r in scene.relations
        }
        said = told.facts()
        right = sum(bool(said & _forms(one, language)) for one in wanted)
        shares["relations"] = right / len(wanted)
    if scene.sign is not None:
        shares["sign"] = float(told.sign == scene.sign)
    return shares


def agrees(text: str, told: Told, loose: bool = False) -> bool:
    """Whether a text says all of `told` and names no other thing: things with colours and counts, relations,
    and the background, the style and the sign that are not None. loose: told in Korean, whose 위에 is both on
    and above.
    """
    said = read(text)
    if {*said.things} != {*told.things} or len(said.things) != len(told.things):
        return False
    facts, language = said.facts(), "ko" if loose or has_hangul(text) else "en"
    if not all(facts & _forms(one, language) for one in told.facts()):
        return False
    for name in ("background", "style", "sign"):
        wanted = getattr(told, name)
        if wanted is not None and getattr(said, name) != wanted:
            return False
    return True


_OVER = {"on": "above", "above": "on"}


def _forms(one: tuple[object, ...], language: str) -> set[tuple[object, ...]]:
    """The ways to say a relation: who rides sits on it, and Korean 위에 is both on and above."""
    forms = {one}
    if one[0] == "riding":
        forms.add(("on", *one[1:]))
    if language == "ko":
        forms |= {(other, *rest) for kind, *rest in forms if (other := _OVER.get(str(kind))) is not None}
    return forms


def alternatives(phrases: dict[str, str] | set[str] | list[str]) -> str:
    """A pattern of phrases, the longest first."""
    return "|".join(re.escape(phrase) for phrase in sorted(phrases, key=lambda p: (-len(p), p)))


def inverted(table: dict[str, tuple[str, ...]], lower: Callable[[str], str] = str.lower) -> dict[str, str]:
    """Words -> the value that they stand for; the first value that has them."""
    found: dict[str, str] = {}
    for value, words in table.items():
        for word in words:
            found.setdefault(lower(word).strip(), value)
    return found
