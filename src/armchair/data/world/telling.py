"""From what a text says to a scene that shows it, and from there to a whole description. The way back from
`reading.py`: what is not said (a style, a background, places) is made up, the same for the same seed.
"""

from __future__ import annotations

import random
from typing import Any

from armchair.core.rng import mix
from armchair.data.world import captions_en, captions_ko, frames_en, frames_ko
from armchair.data.world.captions import caption, caption_vocabulary
from armchair.data.world.layout import Box
from armchair.data.world.reading import NATURAL, Linked, Named, Told
from armchair.data.world.scene import (
    PAINTED,
    PLAIN,
    STYLES,
    Dice,
    Relation,
    Scene,
    Thing,
    WorldConfig,
    stands_out,
)
from armchair.data.world.shapes import shape_of
from armchair.data.world.wording import pick

STEPS = {  # how far right and down the first of a relation is of the second, in cells
    "left of": (-1.0, 0.0),
    "right of": (1.0, 0.0),
    "above": (0.0, -1.0),
    "below": (0.0, 1.0),
    "on": (0.0, -1.0),
    "in front of": (0.4, 0.6),
    "behind": (-0.4, -0.6),
}
HELD = (0.3, 0.5)  # what is held, played or worn, of its holder


def told_of(scene: Scene) -> Told:
    """All that a scene shows, as if it were said."""
    things = tuple(Named(thing.concept, thing.tint, thing.count) for thing in scene.things)
    relations = tuple(Linked(r.subject, r.kind, r.object, r.verb) for r in scene.relations)
    return Told(things, relations, scene.background, scene.things[0].style, scene.sign)


def tell(told: Told, language: str, seed: int, frames: slice | None = None, usual: bool = False) -> str:
    """A description, 15 to 80 words, of all that was said and of what `compose` adds. told: with a thing;
    frames, usual: as in `caption`.
    """
    rng = random.Random(mix(seed, "tell", language))
    return caption(compose(told, seed), "long", language, rng, frames, usual)


def state(told: Told, language: str) -> str:
    """What was said and nothing else, in one short phrase of common words: "a red cat left of a dog, in the
    snow, in a glossy style". The same graph gives the same phrase. told: with a thing.
    """
    scene, usual = compose(told, 0), Usual()
    korean = language == "ko"
    if korean:
        telling: Any = captions_ko.Telling(scene, caption_vocabulary(), usual)
        parts = [telling.noun()]
    else:
        telling = captions_en.Telling(scene, caption_vocabulary(), usual)
        parts = [telling.everything()]
    if told.background is not None:
        parts.append(telling.tag() if korean else telling.on())
    if told.style is not None:
        parts.append(telling.style_tag() if korean else telling.manner())
    return ", ".join(parts)


class Usual(random.Random):
    """Not random: in the middle each time, which takes usual words and no rare form of a sentence."""

    def random(self) -> float:
        return 0.5


def surround(told: Told, language: str, seed: int) -> str:
    """Sentences on the background and the style, of which a text says nothing yet; "" where it says both."""
    rng, dice = random.Random(mix(seed, "surround", language)), Dice("surround", seed)
    style = dice.pick(STYLES)
    background = _background(told, style, dice)
    words = frames_en if language == "en" else frames_ko
    table = words.PLACES_BG if background in words.PLACES_BG else words.PLAIN_BG
    ground, manner = pick(rng, table[background]), pick(rng, words.STYLE_MANNER[style])
    found: list[str] = []
    if told.background is None:
        korean = captions_ko.attach(f"배경은 {ground}", "이다") + "."
        found.append(f"The background is {ground}." if language == "en" else korean)
    if told.style is None:
        found.append(f"It is drawn {manner}." if language == "en" else f"{manner} 그린 그림이다.")
    return " ".join(found)


def compose(told: Told, seed: int) -> Scene:
    """A scene in which all that was said holds. told: with at least one thing."""
    dice = Dice("compose", seed)
    weights = WorldConfig().styles
    black = any(thing.tint == "black" for thing in told.things)  # line drawings are black by themselves
    names = [style for style in weights if not (black and style == "line")]
    running = [sum(weights[name] for name in names[: i + 1]) for i in range(len(names))]
    drawn = dice.weighted(names, running)
    style = drawn if told.style is None else told.style
    background = _background(told, style, dice)
    places = _places(told)
    things = tuple(
        Thing(thing.concept, style, thing.tint, _boxes(place, thing.count))
        for thing, place in zip(told.things, places, strict=True)
    )
    relations = tuple(_stated(link) for link in told.relations)
    return Scene(seed % 2**31, things, relations, background, told.sign)


def _stated(link: Linked) -> Relation:
    """The form in which scenes state it: "behind" is seen from the other thing."""
    if link.kind == "behind":
        return Relation(link.object, "in front of", link.subject)
    return Relation(link.subject, link.kind, link.object, link.verb)


def _background(told: Told, style: str, dice: Dice) -> str:
    """The one that was said, else one that everything stands out from."""
    own = [
        thing.tint if thing.tint != NATURAL else shape_of(thing.concept, style).colour
        for thing in told.things
        if thing.tint != NATURAL or style != "line"
    ]
    found = "white"
    for _ in range(20):
        plain = dice.chance(WorldConfig.plain)
        option = dice.pick(PLAIN[:3] if plain and dice.chance(0.5) else PLAIN if plain else PAINTED)
        if all(stands_out(colour, option) for colour in own):
            found = option
            break
    return found if told.background is None else told.background


def _places(told: Told) -> list[Box]:
    """The cell of each thing: relations say which is left of or above which, the others stand in a row."""
    spots: dict[int, tuple[float, float]] = {}
    for i in range(len(told.things)):
        if i not in spots:
            right = max((x for x, _ in spots.values()), default=-1.0)
            spots[i] = right + 1, 0.0
            _spread(told, spots, i)
    xs, ys = [x for x, _ in spots.values()], [y for _, y in spots.values()]
    w, h = 1 / (max(xs) - min(xs) + 1), 1 / (max(ys) - min(ys) + 1)
    return [
        Box((spots[i][0] - min(xs) + 0.5) * w, (spots[i][1] - min(ys) + 0.5) * h, 0.9 * w, 0.9 * h)
        for i in range(len(told.things))
    ]


def _spread(told: Told, spots: dict[int, tuple[float, float]], start: int) -> None:
    """Place everything that is related to `start`, in the order in which it was said."""
    queue = [start]
    while queue:
        here = queue.pop(0)
        for link in told.relations:
            a, b = link.subject, link.object
            dx, dy = STEPS[link.kind] if link.verb in (None, "riding") else (-HELD[0], -HELD[1])
            for one, other, sign in ((a, b, 1), (b, a, -1)):
                if other == here and one not in spots:
                    spots[one] = spots[here][0] + sign * dx, spots[here][1] + sign * dy
                    queue.append(one)


def _boxes(place: Box, count: int) -> tuple[Box, ...]:
    """So many boxes side by side in a cell."""
    w = place.w / count
    left = place.x - place.w / 2
    return tuple(Box(round(left + (i + 0.5) * w, 4), round(place.y, 4), w, place.h) for i in range(count))
