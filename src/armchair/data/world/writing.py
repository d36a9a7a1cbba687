"""Pairs that the prompt writer learns from: a short prompt and the description it stands for; a description,
a request to change it, and the whole new description (DALL·E 3, appendix C). Any pair by its number.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from armchair.core.errors import BadInput, nearest
from armchair.core.rng import mix
from armchair.core.task import Sample
from armchair.data.world import captions_en, captions_ko, frames_en, frames_ko
from armchair.data.world.captions import FRAMES, caption, caption_vocabulary
from armchair.data.world.concepts import load_concepts
from armchair.data.world.korean import final_consonant, josa
from armchair.data.world.reading import NATURAL, Linked, Named, Told
from armchair.data.world.requests_en import PLACES_EN, REQUESTS_EN, UNSEEN
from armchair.data.world.requests_ko import PLACES_KO, REQUESTS_KO
from armchair.data.world.scene import (
    BACKGROUNDS,
    COLOURS,
    SIGN_WORDS,
    SPLITS,
    STYLES,
    Dice,
    WorldConfig,
    held_out,
    sample_scene,
)
from armchair.data.world.telling import tell, told_of
from armchair.data.world.wording import choose_word, parse_frame, pick

SEEN = 40  # description frames of a language that are trained on; the others are the test's
REQUESTS = {"en": REQUESTS_EN, "ko": REQUESTS_KO}
PLACES = {"en": PLACES_EN, "ko": PLACES_KO}
NOTHING = np.zeros((1, 1, 3), np.uint8)


class Pair(NamedTuple):
    """One lesson. request: "" where the source is a prompt to be written out."""

    source: str
    request: str
    target: str
    source_language: str
    language: str  # of the target
    told: Told  # what must be in the target
    seen: bool  # whether its frames are among the trained ones


@dataclass(frozen=True, kw_only=True)
class WritingConfig:
    """Which pairs there are. Shares lie in 0..1."""

    concepts: int | None = None  # the first N of concepts.json; None = all
    seed: int = 0
    split: str = "train"  # half of the frames of "test" are never in "train"
    requests: float = 0.5  # share of the pairs that change a description
    translated: float = 0.3  # share of the prompts that are written out in the other language
    length: int = 2**31  # pairs

    def __post_init__(self):
        if self.split not in SPLITS:
            raise BadInput(f"split {self.split!r} is neither train nor test.{nearest(self.split, SPLITS)}")
        for name in ("requests", "translated"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadInput(f"{name} {getattr(self, name)} is outside 0..1")
        if self.length < 1:
            raise BadInput(f"length {self.length} is below 1")

    def open(self) -> Writing:
        return Writing(self)

    @property
    def world(self) -> WorldConfig:
        """The scenes that are spoken of."""
        return WorldConfig(concepts=self.concepts, seed=self.seed, split=self.split, single=0.4)


class Writing:
    """Pairs 0 .. length - 1 as samples: the truth of each is its Pair, the picture is nothing."""

    def __init__(self, config: WritingConfig):
        self.config = config
        self._world = config.world

    def __len__(self) -> int:
        return self.config.length

    def __getitem__(self, index: int) -> Sample:
        return Sample(key=str(index), image=NOTHING, truth=self.pair(index))

    def describe(self) -> dict[str, Any]:
        return {"source": "Emoji World in words", **asdict(self.config)}

    def pair(self, index: int) -> Pair:
        """Raises IndexError outside the source."""
        if not 0 <= index < len(self):
            raise IndexError(f"pair {index} is outside 0..{len(self) - 1}")
        config, scene = self.config, sample_scene(index, self._world)
        rng = random.Random(mix(config.seed, config.split, "writing", index))
        seen = config.split == "train" or rng.random() < 0.5
        language = pick(rng, ("en", "ko"))
        if rng.random() < config.requests:
            changed = self._changed(told_of(scene), language, seen, rng)
            if changed is not None:
                return changed
        other = {"en": "ko", "ko": "en"}[language]
        source_language = other if rng.random() < config.translated else language
        target = caption(scene, "long", language, rng, frames_of(language, seen))
        source = caption(scene, "short", source_language, rng)
        return Pair(source, "", target, source_language, language, told_of(scene), seen)

    def _changed(self, told: Told, language: str, seen: bool, rng: random.Random) -> Pair | None:
        operations = list(REQUESTS[language])
        operation = pick(rng, operations)
        names = [concept.name for concept in load_concepts()[: self.config.concepts]]
        made = Change(told, language, seen, names, rng).make(operation)
        if made is None:
            return None
        request, after = made
        voice = mix(self.config.seed, "voice", told_key(told))  # both descriptions are told alike
        frame = int(rng.random() * frame_count(language, seen))
        frames = slice(frame, frame + 1) if seen else slice(SEEN + frame, SEEN + frame + 1)
        source, target = (tell(said, language, voice, frames) for said in (told, after))
        return Pair(source, request, target, language, language, after, seen)


def frames_of(language: str, seen: bool) -> slice:
    return slice(None, SEEN) if seen else slice(SEEN, None)


def frame_count(language: str, seen: bool) -> int:
    return SEEN if seen else len(FRAMES[language]) - SEEN


def told_key(told: Told) -> str:
    return repr((told.things, told.background, told.style))


class Change:
    """One request in the making: the graph before it, and the words of one language."""

    def __init__(self, told: Told, language: str, seen: bool, names: Sequence[str], rng: random.Random):
        self.told, self.language, self.seen, self.names, self.rng = told, language, seen, names, rng
        self.dice = Dice("request", rng.random())
        self.vocabulary = caption_vocabulary()

    def make(self, operation: str) -> tuple[str, Told] | None:
        """(request, graph after it); None where the operation does not fit the picture."""
        told, dice = self.told, self.dice
        i = int(dice.random() * len(told.things))
        fill, after = getattr(self, "_" + operation.replace(" ", "_"))(i)
        if after is None or after == told:
            return None
        rows = REQUESTS[self.language][operation]
        rows = rows[:-UNSEEN] if self.seen else rows[-UNSEEN:]
        return self._filled(pick(self.rng, rows), fill), after

    # ---- operations: what fills the slots, and the graph afterwards

    def _recolour(self, i: int) -> tuple[dict[str, str], Told | None]:
        thing, tint = self.told.things[i], self.dice.pick(COLOURS)
        free = tint not in {t.tint for t in self.told.things} and tint != self.told.background
        if not free or (self.seen and held_out(thing.concept, tint)):
            return {}, None
        return {**self._colours(tint), "the": self._the(thing)}, self._with(i, replace(thing, tint=tint))

    def _recolour_it(self, i: int) -> tuple[dict[str, str], Told | None]:
        if len(self.told.things) > 1:
            return {}, None
        return self._recolour(0)

    def _add(self, i: int) -> tuple[dict[str, str], Told | None]:
        told, dice, main = self.told, self.dice, self.told.things[0]
        if len(told.things) > 3:
            return {}, None
        name = dice.pick(self.names)
        if any(t.concept == name or (self.seen and held_out(t.concept, name)) for t in told.things):
            return {}, None
        tint = dice.pick(COLOURS) if dice.chance(0.3) else NATURAL
        taken = {t.tint for t in told.things} | {told.background}
        if tint in taken or (self.seen and held_out(name, tint)):
            tint = NATURAL
        thing = Named(name, tint, 1)
        side = dice.pick(tuple(PLACES[self.language]))
        place = pick(self.rng, PLACES[self.language][side]).replace("{other}", self._the(main))
        links = (*told.relations, Linked(len(told.things), side, 0)) if side else told.relations
        after = replace(told, things=(*told.things, thing), relations=links)
        return {"a": self._a(thing), "place": place}, after

    def _remove(self, i: int) -> tuple[dict[str, str], Told | None]:
        told = self.told
        if len(told.things) < 2:
            return {}, None
        kept = [k for k in range(len(told.things)) if k != i]
        places = {old: new for new, old in enumerate(kept)}
        links = tuple(
            replace(r, subject=places[r.subject], object=places[r.object])
            for r in told.relations
            if i not in (r.subject, r.object)
        )
        after = replace(told, things=tuple(told.things[k] for k in kept), relations=links)
        the = self._the(told.things[i])
        return {"the": the, "bare": the.removeprefix("the ")}, after

    def _restyle(self, i: int) -> tuple[dict[str, str], Told | None]:
        style = self.dice.pick(STYLES)
        words = frames_en if self.language == "en" else frames_ko
        picture = pick(self.rng, words.STYLE_PICTURES[style])
        return {
            "style": style,
            "manner": pick(self.rng, words.STYLE_MANNER[style]),
            "picture": captions_en.with_article(picture) if self.language == "en" else picture,
        }, replace(self.told, style=style)

    def _background(self, i: int) -> tuple[dict[str, str], Told | None]:
        background = self.dice.pick(BACKGROUNDS)
        if background in {t.tint for t in self.told.things}:
            return {}, None
        words = frames_en if self.language == "en" else frames_ko
        table = words.PLACES_BG if background in words.PLACES_BG else words.PLAIN_BG
        on = captions_en.background_on(background, self.rng) if self.language == "en" else ""
        bg = pick(self.rng, table[background])
        return {"on": on, "bg": bg}, replace(self.told, background=background)

    def _count(self, i: int) -> tuple[dict[str, str], Told | None]:
        thing = self.told.things[i]
        count = 2 + int(self.dice.random() * 3)
        if len(self.told.things) > 2 or self._number(thing.concept) != "count" or self._in_deed(i):
            return {}, None
        entry = self.vocabulary[thing.concept]
        if self.language == "en":
            noun = choose_word(self.rng, entry.en)
            fill = {"number": frames_en.NUMBERS[count], "many": noun.many}
        else:
            word = choose_word(self.rng, entry.ko)
            counter = "개" if word.endswith(entry.counter) else entry.counter
            fill = {"many": f"{word} {frames_ko.NUMBERS[count]} {counter}"}
        return fill, self._with(i, replace(thing, count=count))

    def _replace(self, i: int) -> tuple[dict[str, str], Told | None]:
        told, name = self.told, self.dice.pick(self.names)
        if any(t.concept == name or (self.seen and held_out(t.concept, name)) for t in told.things):
            return {}, None
        old = told.things[i]
        if old.count > 1 or self._in_deed(i):
            return {}, None
        new = Named(name, NATURAL, 1)
        return {"the": self._the(old), "a": self._a(new)}, self._with(i, new)

    def _move(self, i: int) -> tuple[dict[str, str], Told | None]:
        told = self.told
        if len(told.things) != 2 or any(r.verb is not None for r in told.relations):
            return {}, None
        kind = self.dice.pick(("left of", "right of", "above", "below"))
        words = frames_en if self.language == "en" else frames_ko
        rel = pick(self.rng, words.RELATIONS[kind])
        if rel == "위에":
            rel = "위쪽에"
        fill = {"the": self._the(told.things[i]), "other": self._the(told.things[1 - i]), "rel": rel}
        return fill, replace(told, relations=(Linked(i, kind, 1 - i),))

    def _sign(self, i: int) -> tuple[dict[str, str], Told | None]:
        word = self.dice.pick(SIGN_WORDS)
        quoted = josa(f'"{word}"', "이라고")[len(word) + 2 :]
        return {"w": word, "q": quoted}, replace(self.told, sign=word)

    def _unsign(self, i: int) -> tuple[dict[str, str], Told | None]:
        return {}, replace(self.told, sign=None)

    # ---- words

    def _with(self, i: int, thing: Named) -> Told:
        things = list(self.told.things)
        things[i] = thing
        return replace(self.told, things=tuple(things))

    def _in_deed(self, i: int) -> bool:
        return any(r.verb is not None and i in (r.subject, r.object) for r in self.told.relations)

    def _number(self, concept: str) -> str:
        return next(c.number for c in load_concepts() if c.name == concept)

    def _colours(self, tint: str) -> dict[str, str]:
        if self.language == "ko":
            return {"cn": frames_ko.COLOUR_NOUNS[tint]}
        colour = captions_en.colour_word(tint, self.rng)
        return {"c": colour, "ac": captions_en.with_article(colour)}

    def _the(self, thing: Named) -> str:
        """A thing of the picture as it is spoken of."""
        entry = self.vocabulary[thing.concept]
        if self.language == "ko":
            return choose_word(self.rng, entry.ko)
        noun = choose_word(self.rng, entry.en)
        return "the " + captions_en.plural(noun, "", thing.count)

    def _a(self, thing: Named) -> str:
        """A thing that is new."""
        entry = self.vocabulary[thing.concept]
        if self.language == "en":
            colour = captions_en.colour_word(thing.tint, self.rng)
            return captions_en.noun_phrase(choose_word(self.rng, entry.en), colour, thing.count, self.rng)
        colour = captions_ko.colour_word(thing.tint, self.rng)
        return captions_ko.noun_phrase(
            choose_word(self.rng, entry.ko), colour, thing.count, entry.counter, self.rng
        )

    def _filled(self, form: str, fill: dict[str, str]) -> str:
        """A row's slots filled, each with the particle that fits."""
        out: list[str] = []
        for literal, slot in parse_frame(form):
            name, _, particle = slot.partition("|")
            out.append(literal)
            if name:
                text = fill[name]
                plain = particle in ("", "도", "이면")
                ending = {"": "", "도": "도"}.get(particle, "이면" if final_consonant(text) else "면")
                out.append(text + ending if plain else josa(text, particle))
        return " ".join("".join(out).split()).replace(" ,", ",").replace(" ?", "?")
