"""Scenes of Emoji World in English: noun phrases, relations, placement; `captions.py` chooses the kind."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from armchair.data.world import frames_en as words
from armchair.data.world import wording
from armchair.data.world.wording import pick

if TYPE_CHECKING:
    from armchair.data.world.captions import Vocabulary
    from armchair.data.world.scene import Relation, Scene

WORD_LIMITS = 15, 80  # words of a long caption


@dataclass(frozen=True, slots=True)
class Noun:
    """One word of a concept. `many` is what a number stands before: "loaves of bread"."""

    one: str
    many: str
    article: str  # "a", "an" or "" (mass nouns and nouns that are always plural)
    paired: bool  # scissors, glasses: "a pair of ..."
    plural_verb: bool  # the single form takes "are": scissors, grapes
    unit: str  # "loaves of " in front of a colour and a mass noun, else ""
    tinted: bool  # the word itself names a colour: "brown bear"


@dataclass(slots=True)
class Named:
    """A thing with the words chosen for it in one caption."""

    noun: Noun
    colour: str  # "" = natural
    count: int
    full: str = ""  # "a red apple"
    short: str = ""  # "the apple"
    known: bool = False  # already mentioned

    def mention(self) -> str:
        """Indefinite and complete the first time, definite afterwards."""
        if self.known:
            return self.short
        self.known = True
        return self.full

    @property
    def verb(self) -> str:
        return "are" if self.count > 1 or self.noun.plural_verb else "is"


def nouns(en: Sequence[str], plural: Sequence[str], article: Sequence[str], number: str) -> tuple[Noun, ...]:
    """The nouns of a concept, from the parallel lists of concepts.json; `number` is count, mass or plural."""
    out = []
    for one, many, a in zip(en, plural, article, strict=True):
        tinted = not words.TINTED.isdisjoint(one.split())
        if number == "plural":
            out.append(Noun(one, many, "", True, True, "", tinted))
        elif number == "mass":
            unit = many[: -len(one)] if many.endswith(" " + one) else ""
            out.append(Noun(one, many, "", False, one.endswith("s"), unit, tinted))
        else:
            out.append(Noun(one, many, a, False, False, "", tinted))
    return tuple(out)


def with_article(phrase: str) -> str:
    """a / an by the first letter, which is right for our adjectives; nouns bring their own article."""
    return ("an " if phrase[0] in "aeiouAEIOU" else "a ") + phrase


def noun_phrase(noun: Noun, colour: str, count: int, rng: random.Random) -> str:
    """Indefinite: "a red apple", "two cats", "a pair of black scissors", "some bread"."""
    c = f"{colour} " if colour else ""
    if count == 1:
        if noun.paired:
            return f"a pair of {c}{noun.one}" if rng.random() < 0.5 else c + noun.one
        if not noun.article:
            return ("some " if rng.random() < 0.2 else "") + c + noun.one
        return with_article(c + noun.one) if c else f"{noun.article} {noun.one}"
    number = words.NUMBERS[count]
    if noun.paired:
        return f"{number} pairs of {c}{noun.many}"
    if noun.unit:
        return f"{number} {noun.unit}{c}{noun.one}"
    if count == 2 and (chance := rng.random()) < 0.14:
        number = "a pair of" if chance < 0.08 else "a couple of"
    return f"{number} {c}{noun.many}"


def plural(noun: Noun, colour: str, count: int) -> str:
    """Without a number or an article: "red apples"."""
    if count > 1 and noun.unit:
        return noun.unit + (f"{colour} " if colour else "") + noun.one
    return (f"{colour} " if colour else "") + (noun.many if count > 1 else noun.one)


def colour_word(tint: str, rng: random.Random) -> str:
    """The usual colour word, another one once in twelve; "" for natural."""
    if tint == "natural":
        return ""
    table = words.COLOURS[tint]
    return table[0] if rng.random() < 0.92 else pick(rng, table)


def background_on(background: str, rng: random.Random) -> str:
    """After a noun: "on a white background", "in the snow"."""
    if background in words.PLACES_ON:
        return pick(rng, words.PLACES_ON[background])
    plain = with_article(pick(rng, words.PLAIN[background]) + " background")
    return pick(rng, words.PLAIN_ON).replace("a {}", plain)


_ARTICLES = re.compile(r"\b(?:an?|the) (?!pair|couple)")


def join(parts: Sequence[str]) -> str:
    """ "a, b and c"."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def short(scene: Scene, vocabulary: Vocabulary, rng: random.Random) -> str:
    """Short and true; see `captions.caption` for what is always said."""
    text = Telling(scene, vocabulary, rng).short()
    return text if rng.random() > 0.04 else _ARTICLES.sub("", text)  # "red apple left of cup"


def long(scene: Scene, vocabulary: Vocabulary, rng: random.Random, frames: Sequence[wording.Frame]) -> str:
    """Descriptive; 15 to 80 words."""
    frame = pick(rng, frames)
    text, count = "", 0
    for limit in (3, 2, 1, 1, 1, 1):  # things whose place is said
        text = Telling(scene, vocabulary, rng).fill(frame, limit)
        count = text.count(" ") + 1
        if count <= WORD_LIMITS[1]:
            break
    for more in (words.CLOSING, words.EXTRA):
        if count < WORD_LIMITS[0]:
            text += " " + pick(rng, more)
            count = text.count(" ") + 1
    return text


class Telling:
    """One caption in the making: the scene, and the words chosen for its things."""

    def __init__(self, scene: Scene, vocabulary: Vocabulary, rng: random.Random):
        self.scene, self.rng = scene, rng
        self.entries = [vocabulary[thing.concept] for thing in scene.things]
        self.style = scene.things[0].style  # all things of a scene have one
        self.named = self._names()
        self.simple = len(self.named) == 1 and scene.sign is None

    def pick(self, options: Sequence[str]) -> str:
        return pick(self.rng, options)

    # ---- things and relations

    def _names(self) -> list[Named]:
        """Words for every thing; two things never share a noun unless they are one concept."""
        taken: dict[str, str] = {}
        named: list[Named] = []
        for thing, entry in zip(self.scene.things, self.entries, strict=True):
            noun = wording.choose_word(self.rng, entry.en)
            if noun.tinted and thing.tint != "natural":  # not "a green brown bear"
                noun = next((n for n in entry.en if not n.tinted), noun)
            if taken.setdefault(noun.one, entry.name) != entry.name:
                noun = next((n for n in entry.en if n.one not in taken), entry.en[0])
                taken[noun.one] = entry.name
            named.append(Named(noun, colour_word(thing.tint, self.rng), len(thing.boxes)))
        for i, n in enumerate(named):
            n.full = noun_phrase(n.noun, n.colour, n.count, self.rng)
            n.short = "the " + plural(n.noun, "", n.count)
            twins = [m for j, m in enumerate(named) if j != i and m.noun.one == n.noun.one]
            if twins:
                _tell_apart(n, twins, any(m is twin for m in named[:i] for twin in twins))
        return named

    def relation(self, relation: Relation) -> str:
        """ "a cat left of a dog", sometimes seen from the other side."""
        s, o = self.named[relation.subject], self.named[relation.object]
        chance = self.rng.random()
        if relation.verb is not None and (chance < 0.9 or relation.verb != "riding"):
            verb = relation.verb
            done_to = self.entries[relation.object]
            if verb == "playing" and done_to.kind != "instrument":
                verb = "playing with"
            elif verb == "wearing" and done_to.name in words.DRESS:
                verb = "dressed"
            return f"{s.mention()} {self.pick(words.VERBS[verb])} {o.mention()}"
        kind = relation.kind
        if relation.verb is None and chance < 0.15 and not o.known:
            if kind == "on":
                return words.ON_INVERSE.format(o.mention(), s.mention())
            s, o, kind = o, s, words.INVERSE[kind]
        animate = kind == "on" and self.entries[relation.subject].animate
        table = words.ANIMATE_ON if animate else words.RELATIONS[kind]
        return f"{s.mention()} {self.pick(table)} {o.mention()}"

    def everything(self, placed: bool = False) -> str:
        """One noun phrase with every thing, relation and the sign; `placed` may say where the sign is."""
        first, later = [], []  # the later ones speak of things that are known by then
        for relation in self.scene.relations:
            phrase = self.relation(relation)
            (later if phrase.startswith("the ") else first).append(phrase)
        rest = [n.mention() for n in self.named if not n.known]
        if first:
            text = ", and ".join(first)
            if later:
                text += ", with " + join(later)
            if rest:
                text += ", plus " + join(rest)
        else:
            text = join(rest)
        if self.scene.sign is None:
            return text
        if placed and self.rng.random() < 0.5:
            sign = self.pick(words.SIGNS_PLACED)
        else:
            sign = self.pick(words.SIGNS)
        sign = sign.format(self.scene.sign, place=wording.sign_place(self.scene))
        return text + (" and " if len(self.named) == 1 and self.rng.random() < 0.5 else ", with ") + sign

    # ---- the whole picture

    def on(self) -> str:
        return background_on(self.scene.background, self.rng)

    def background(self) -> str:
        """After "the background is": "plain white", "a night sky"."""
        background = self.scene.background
        return self.pick((words.PLACES_BG if background in words.PLACES_BG else words.PLAIN_BG)[background])

    def picture(self) -> str:
        return with_article(self.pick(words.STYLE_PICTURES[self.style]))

    def manner(self) -> str:
        return self.pick(words.STYLE_MANNER[self.style])

    def place(self, i: int) -> str:
        """Where things[i] is, after "is"."""
        thing, rng = self.scene.things[i], self.rng
        spot = wording.position(thing)
        place = self.pick(words.PLACEMENT[spot.column, spot.row])
        middle = (spot.column, spot.row) == ("centre", "middle")
        if spot.spread:
            how = self.pick(words.SPREADS[spot.spread])
            return how if middle else f"{how} {place}"
        if len(self.named) == 1 and middle and wording.fills(thing) and rng.random() < 0.5:
            return self.pick(words.LARGE)
        if wording.small(thing) and rng.random() < 0.3:
            return f"{self.pick(words.SMALL)} and {place}"
        return place

    def where(self, limit: int) -> str:
        """A clause that places up to `limit` things: "the cat is on the left and the dog on the right"."""
        if self.simple and self.rng.random() < 0.5:
            return f"{'it is' if self.named[0].verb == 'is' else 'they are'} {self.place(0)}"
        parts = []
        last = ""
        for i in wording.placed(self.scene, limit, self.rng):
            n = self.named[i]
            parts.append(f"{n.short}{'' if n.verb == last else ' ' + n.verb} {self.place(i)}")
            last = n.verb
        return join(parts)

    def hue(self) -> str:
        """A clause about colour: of a coloured thing, or that everything is as usual."""
        coloured = [n for n in self.named if n.colour]
        if not coloured:
            return self.pick(words.NATURAL)
        n = pick(self.rng, coloured)
        has = "have" if n.verb == "are" else "has"
        form = self.pick(words.HUE)
        return form.format(the=n.short, c=n.colour, a_c=with_article(n.colour), **{"is": n.verb, "has": has})

    # ---- captions

    def short(self) -> str:
        chance, rng = self.rng.random(), self.rng
        style = chance < (0.44 if self.simple else 0.5)
        background = (0.2 < chance < 0.64) if self.simple else rng.random() < 0.5
        if self.simple and not style and not background:
            return self._plain_single()
        text = self.everything()
        comma = "" if self.simple or rng.random() < 0.3 else ","
        after = f"{comma} {self.on()}" if background else ""
        if style:
            how = rng.random()
            if how < 0.6:
                return f"{self.picture()} of {text}{after}"
            if how < 0.85:
                return f"{text} {self.manner()}{',' if after and not comma else ''}{after}"
            return f"{text}{after}, {self.pick(words.STYLE_TAGS[self.style])}"
        if rng.random() < 0.2:
            text = f"{with_article(self.pick(words.PICTURES))} of {text}"
        return text + after

    def _plain_single(self) -> str:
        n = self.named[0]
        if n.count > 1:  # the count is always said
            picture = f"{with_article(self.pick(words.PICTURES))} of "
            return n.full if self.rng.random() < 0.75 else picture + n.full
        form = self.pick(words.PLAIN_SINGLE)
        if form.startswith("one ") and not n.noun.article:
            form = "{a}"
        return form.format(a=n.full, bare=plural(n.noun, n.colour, 1), tag=self.pick(words.PICTURE_TAGS))

    def fill(self, frame: wording.Frame, limit: int) -> str:
        out: list[str] = []
        for literal, slot in frame:
            apart = (
                slot == "on" and literal == " " and not self.simple
            )  # "a cat on a box, on a red background"
            out.append(", " if apart else literal)
            if slot:
                text = self._slot(slot.lower(), limit)
                out.append(text if slot.islower() else _capital(text))
        return "".join(out)

    def _slot(self, name: str, limit: int) -> str:
        if name == "things":
            return self.everything(placed=True)
        if name == "where":
            return self.where(limit)
        return _SLOTS[name](self)


def _tell_apart(n: Named, twins: Sequence[Named], later: bool) -> None:
    """Words for one of several things of a concept; `later`: another one was named before."""
    base = plural(n.noun, "", n.count)
    if n.colour and all(m.colour != n.colour for m in twins):
        n.short = "the " + plural(n.noun, n.colour, n.count)
    elif all(m.count != n.count for m in twins):
        n.short = f"the {words.NUMBERS[n.count]} {base}" if n.count > 1 else f"the single {base}"
    elif not n.colour and all(m.colour for m in twins):
        n.short = "the natural " + base
    elif not later:
        n.short = "the first " + base
    else:
        n.short = "the other " + base
        if n.count > 1:
            n.full = f"{words.NUMBERS[n.count]} other {plural(n.noun, n.colour, n.count)}"
        else:
            n.full = ("another " if n.noun.article else "more ") + plural(n.noun, n.colour, 1)


_SLOTS: dict[str, Callable[[Telling], str]] = {
    "picture": Telling.picture,
    "manner": Telling.manner,
    "on": Telling.on,
    "bg": Telling.background,
    "hue": Telling.hue,
}
