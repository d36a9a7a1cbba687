"""Alt text as the web has it: short, partly wrong or missing, with dates, file names and boilerplate."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from armchair.data.world import captions_en, captions_ko, frames_en, frames_ko
from armchair.data.world.captions_en import noun_phrase, plural, with_article
from armchair.data.world.korean import josa
from armchair.data.world.scene import COLOURS, Scene, Thing, held_out
from armchair.data.world.wording import choose_word, pick

if TYPE_CHECKING:
    from armchair.data.world.captions import Vocabulary


@dataclass(frozen=True, kw_only=True)
class AltRates:
    """How alt text goes wrong; shares of captions, or of things where it says so."""

    nothing: float = 0.02  # says nothing about the picture ("untitled", a date)
    file_name: float = 0.04  # only a file name
    only_word: float = 0.18  # only the word of one thing
    drop_thing: float = 0.25  # of the rest: names one thing only
    drop_tint: float = 0.45  # of coloured things
    wrong_tint: float = 0.05  # of coloured things
    drop_count: float = 0.5  # of things with more than one box: "cats"
    wrong_count: float = 0.04  # of things with more than one box
    drop_relation: float = 0.5  # of scenes with a relation: "a cat and a dog"
    style: float = 0.2
    background: float = 0.12
    sign: float = 0.5  # of scenes with a sign
    boilerplate: float = 0.35


ALT_RATES = AltRates()


def spoil(thing: Thing, rates: AltRates, rng: random.Random) -> tuple[str, int | None]:
    """(tint, count) as alt text gives them; a count of None is left out."""
    tint, count = thing.tint, len(thing.boxes)
    if tint != "natural":
        chance = rng.random()
        if chance < rates.drop_tint:
            tint = "natural"
        elif chance < rates.drop_tint + rates.wrong_tint:
            wrong = pick(rng, COLOURS)
            if not held_out(thing.concept, wrong):  # words must not tell what pictures keep back
                tint = wrong
    if count == 1:
        return tint, None if rng.random() < 0.5 else 1
    chance = rng.random()
    if chance < rates.drop_count:
        return tint, None
    if chance < rates.drop_count + rates.wrong_count:
        count = count + 1 if count < 4 else count - 1
    return tint, count


def boilerplate(form: str, slug: str, files: Sequence[str], months: Sequence[str], rng: random.Random) -> str:
    """Fill the numbers, dates and file names of a piece of boilerplate."""
    if "{" not in form:
        return form
    if form.startswith("{file}"):
        form = pick(rng, files) + form[len("{file}") :]
    month = int(rng.random() * 12)
    return form.format(
        n1=1 + int(rng.random() * 9),
        n2=1 + int(rng.random() * 99),
        n3=100 + int(rng.random() * 900),
        n4=1000 + int(rng.random() * 9000),
        n5=f"{int(rng.random() * 100000):05d}",
        day=1 + int(rng.random() * 28),
        month=months[month],
        m=month + 1,
        year=2004 + int(rng.random() * 21),
        slug=slug,
    )


def web_case(text: str, rng: random.Random) -> str:
    """Mostly as it is; sometimes with a capital, in title case or all capitals."""
    chance = rng.random()
    if chance < 0.7:
        return text
    if chance < 0.85:
        return text[:1].upper() + text[1:]
    return text.title() if chance < 0.97 else text.upper()


def _named(scene: Scene, rng: random.Random, rates: AltRates) -> Sequence[Thing]:
    """The things that are named: all, or one of them."""
    return [pick(rng, scene.things)] if rng.random() < rates.drop_thing else scene.things


def alt(
    scene: Scene, language: str, vocabulary: Vocabulary, rng: random.Random, rates: AltRates = ALT_RATES
) -> str:
    """One alt text in "en" or "ko"."""
    words = frames_en if language == "en" else frames_ko
    chance = rng.random()
    if chance < rates.nothing + rates.file_name:
        thing = pick(rng, scene.things)
        entry = vocabulary[thing.concept]
        slug = choose_word(rng, [n.one for n in entry.en] if language == "en" else entry.ko)
        form = pick(rng, words.ALT_ONLY if chance < rates.nothing else words.FILES)
        return boilerplate(form, _slug(slug), words.FILES, words.MONTHS, rng)
    write = english if language == "en" else korean
    if chance < rates.nothing + rates.file_name + rates.only_word:
        return write([pick(rng, scene.things)], scene, vocabulary, rng, rates, bare=True)
    text = write(_named(scene, rng, rates), scene, vocabulary, rng, rates)
    if rng.random() < rates.boilerplate:
        slug = _slug(text)
        if rng.random() < 0.6:
            form = pick(rng, words.BOILERPLATE_AFTER)
            text = f"{text} {boilerplate(form, slug, words.FILES, words.MONTHS, rng)}"
        else:
            form = pick(rng, words.BOILERPLATE_BEFORE)
            text = f"{boilerplate(form, slug, words.FILES, words.MONTHS, rng)} {text}"
    return web_case(text, rng) if language == "en" else text


def _slug(text: str) -> str:
    """For a file name: the last three words."""
    return "-".join(text.lower().replace('"', "").replace(",", "").split()[-3:])


def english(
    things: Sequence[Thing],
    scene: Scene,
    vocabulary: Vocabulary,
    rng: random.Random,
    rates: AltRates,
    bare: bool = False,
) -> str:
    """The part of an English alt text that speaks of the picture; `bare`: the word alone."""
    parts = []
    for thing in things:
        noun = choose_word(rng, vocabulary[thing.concept].en)
        tint, count = spoil(thing, rates, rng)
        colour = captions_en.colour_word(tint, rng)
        if bare:
            return plural(noun, "", len(thing.boxes))
        if count is not None:
            parts.append(noun_phrase(noun, colour, count, rng))
        elif len(thing.boxes) == 1 and noun.article and rng.random() < 0.3:
            parts.append(with_article(f"{colour} {noun.one}") if colour else f"{noun.article} {noun.one}")
        else:
            parts.append(plural(noun, colour, len(thing.boxes)))
    if len(things) > 1 and scene.relations and rng.random() > rates.drop_relation:
        relation = scene.relations[0]
        kind = relation.verb if relation.verb in ("riding", "holding", "wearing") else relation.kind
        if relation.verb == "playing":
            kind = "with"
        text = f"{parts[relation.subject]} {kind} {parts[relation.object]}"
    else:
        text = pick(rng, (" and ", " and ", ", ", " & ", " with ")).join(parts)
    if rng.random() < rates.style:
        text = f"{text} {pick(rng, frames_en.STYLE_TAGS[scene.things[0].style])}"
    if rng.random() < rates.background:
        text = f"{text} {captions_en.background_on(scene.background, rng)}"
    if scene.sign is not None and rng.random() < rates.sign:
        text = f"{text} {'sign ' if rng.random() < 0.5 else ''}{scene.sign}"
    return text


def korean(
    things: Sequence[Thing],
    scene: Scene,
    vocabulary: Vocabulary,
    rng: random.Random,
    rates: AltRates,
    bare: bool = False,
) -> str:
    """The part of a Korean alt text that speaks of the picture; `bare`: the word alone."""
    parts = []
    for thing in things:
        entry = vocabulary[thing.concept]
        word = choose_word(rng, entry.ko)
        if bare:
            return word
        tint, count = spoil(thing, rates, rng)
        colour = captions_ko.colour_word(tint, rng)
        if count is None:
            parts.append(f"{colour} {word}" if colour else word)
        else:
            one = 0.3 * (entry.kind not in frames_ko.NEVER_ONE)
            parts.append(captions_ko.noun_phrase(word, colour, count, entry.counter, rng, one))
    if len(things) > 1 and scene.relations and rng.random() > rates.drop_relation:
        relation = scene.relations[0]
        s, o = parts[relation.subject], parts[relation.object]
        if relation.verb is not None:
            row = captions_ko.verb_row(relation.verb, vocabulary[scene.things[relation.object].concept])
            text = f"{josa(o, '을')} {frames_ko.VERBS[row][1][0]} {s}"
        else:
            text = f"{o} {frames_ko.RELATIONS[relation.kind][0]} {s}"
    else:
        text = captions_ko.join(parts, rng) if rng.random() < 0.6 else " ".join(parts)
    if rng.random() < rates.style:
        text = f"{text} {pick(rng, frames_ko.STYLE_TAGS[scene.things[0].style])}"
    if rng.random() < rates.background:
        text = f"{text} {captions_ko.background_tag(scene.background, rng)}"
    if scene.sign is not None and rng.random() < rates.sign:
        text = f"{text} {scene.sign}{' 표지판' if rng.random() < 0.5 else ''}"
    return text
