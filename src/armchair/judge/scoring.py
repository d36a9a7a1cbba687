"""How well the judge reads renders, whose truth is known: GenEval's tasks (arXiv:2310.11513) and more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from armchair.data.world.scene import Scene, Thing
from armchair.judge.reading import Found, Reading, has_colour, overlap, relations

SIDES = ("left of", "right of", "above", "below")
HIT = 0.4  # overlap from which a thing is found where it is


def questions(scene: Scene, reading: Reading) -> Iterable[tuple[str, bool]]:
    """(task, whether the reading has it right) for every task that the scene is one of.

    single_object, two_objects, crowd: all concepts found · counting: as many of each as there are, of scenes
    with one concept · colour: of single objects · position: the stated side, of two single objects ·
    colour_attribution: both colours, of two tinted objects side by side, ..._over: of two that overlap ·
    place: a thing found where it is · false_find: something found that is not there · style, background ·
    sign: the word, sign_seen: whether there is a board.
    """
    things = scene.things
    found_all = all(reading.of(t.concept) for t in things)
    alone = len(things) == 1 and things[0].count == 1
    if alone:
        yield "single_object", bool(reading.found) and reading.found[0].concept == things[0].concept
        yield "colour", _coloured(reading, things[0])
    elif len(things) == 1:
        yield "counting", len(reading.of(things[0].concept)) == things[0].count == len(reading.found)
    elif len(things) == 2:
        yield "two_objects", found_all
    else:
        yield "crowd", found_all
    if len(things) == 2 and all(t.count == 1 for t in things):
        for relation in scene.relations:
            if relation.kind in SIDES:
                yield "position", _beside(reading, scene, relation.subject, relation.kind, relation.object)
        if all(t.tint != "natural" for t in things):
            over = "" if all(relation.kind in SIDES for relation in scene.relations) else "_over"
            yield f"colour_attribution{over}", all(_coloured(reading, t) for t in things)
    for thing in things:
        for box in thing.boxes:
            yield "place", any(overlap(f.box, box) > HIT for f in reading.of(thing.concept))
    yield "false_find", any(not _there(f, things) for f in reading.found)
    yield "style", reading.style == things[0].style
    yield "background", reading.background == scene.background
    yield "sign_seen", (reading.sign is None) == (scene.sign is None)
    if scene.sign is not None:
        yield "sign", reading.sign == scene.sign


class Tally:
    """Counts answers by task."""

    def __init__(self) -> None:
        self.right: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()

    def add(self, scene: Scene, reading: Reading) -> None:
        for task, right in questions(scene, reading):
            self.right[task] += right
            self.asked[task] += 1

    def shares(self) -> dict[str, float]:
        """Of each task that was asked: the share that was right."""
        return {task: self.right[task] / self.asked[task] for task in sorted(self.asked)}


def _coloured(reading: Reading, thing: Thing) -> bool:
    found = reading.of(thing.concept)
    return bool(found) and has_colour(found[0], thing.style, thing.tint)


def _beside(reading: Reading, scene: Scene, subject: int, kind: str, other: int) -> bool:
    a, b = (reading.of(scene.things[i].concept) for i in (subject, other))
    return bool(a and b) and kind in relations(a[0].box, b[0].box)


def _there(found: Found, things: tuple[Thing, ...]) -> bool:
    """Whether a thing of that concept is about there."""
    return any(
        found.concept == t.concept and overlap(found.box, box) > HIT / 2 for t in things for box in t.boxes
    )
