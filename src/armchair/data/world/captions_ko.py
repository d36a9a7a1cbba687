"""Scenes of Emoji World in Korean: noun phrases, relations, placement; `captions.py` chooses the kind."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from armchair.data.world import frames_ko as words
from armchair.data.world import wording
from armchair.data.world.korean import josa
from armchair.data.world.wording import pick

if TYPE_CHECKING:
    from armchair.data.world.captions import Entry, Vocabulary
    from armchair.data.world.scene import Relation, Scene

WORD_LIMITS = 12, 80  # eojeol of a long caption
_COPULA = {"이에요": ("이에요", "예요")}


@dataclass(slots=True)
class Named:
    """A thing with the words chosen for it in one caption."""

    word: str
    colour: str  # "" = natural
    count: int
    counter: str
    countable: bool  # whether anybody says "한 개" of it
    full: str = ""  # "빨간 사과 세 개"
    short: str = ""  # "사과"
    known: bool = False  # already mentioned

    @property
    def bare(self) -> str:
        """Without a count."""
        return f"{self.colour} {self.word}" if self.colour else self.word

    def mention(self) -> str:
        """Complete the first time, the bare word afterwards."""
        if self.known:
            return self.short
        self.known = True
        return self.full


def attach(word: str, particle: str) -> str:
    """`josa`, and the polite copula 이에요 / 예요."""
    if particle in _COPULA:
        return word + _COPULA[particle][josa(word, "이").endswith("가")]
    return josa(word, particle)


def noun_phrase(
    word: str, colour: str, count: int, counter: str, rng: random.Random, one: float = 0.1
) -> str:
    """ "빨간 사과", "고양이 두 마리"; `one`: the share that says the count of a single thing."""
    c = f"{colour} " if colour else ""
    if word.endswith(counter):  # not "피자 조각 두 조각"
        counter = "개"
    if count == 1:
        return f"{c}{word} 한 {counter}" if rng.random() < one else c + word
    number = words.NUMBERS[count]
    return f"{c}{word} {number} {counter}" if rng.random() < 0.88 else f"{number} {counter}의 {c}{word}"


def verb_row(verb: str, done_to: Entry) -> str:
    """The row of words.VERBS: a hat is worn with another verb than a coat."""
    if verb == "wearing":
        return words.WORN.get(done_to.name, "wearing")
    if verb == "playing":
        return words.PLAYED.get(done_to.name, "playing" if done_to.kind == "instrument" else "playing with")
    return verb


def colour_word(tint: str, rng: random.Random) -> str:
    if tint == "natural":
        return ""
    table = words.COLOURS[tint]
    chance = rng.random()
    return table[0] if chance < 0.6 else table[1] if chance < 0.85 else pick(rng, table[2:])


def background_tag(background: str, rng: random.Random) -> str:
    """After a comma: "흰색 배경", "눈밭 배경"."""
    if background in words.PLACES_BG:
        return words.PLACES_BG[background][0] + " 배경"
    return pick(rng, words.PLAIN[background]) + " 배경"


def join(parts: Sequence[str], rng: random.Random) -> str:
    """ "고양이와 개", "고양이, 개, 새", "고양이, 개 그리고 새"."""
    if len(parts) == 1:
        return parts[0]
    if len(parts) == 2:
        return f"{josa(parts[0], '과' if rng.random() < 0.8 else '이랑')} {parts[1]}"
    chance = rng.random()
    if chance < 0.4:
        return ", ".join(parts)
    if chance < 0.7:
        return ", ".join(parts[:-1]) + " 그리고 " + parts[-1]
    return ", ".join([*parts[:-2], josa(parts[-2], "과")]) + " " + parts[-1]


def short(scene: Scene, vocabulary: Vocabulary, rng: random.Random) -> str:
    """Short and true; see `captions.caption` for what is always said."""
    return Telling(scene, vocabulary, rng).short()


def long(scene: Scene, vocabulary: Vocabulary, rng: random.Random, frames: Sequence[wording.Frame]) -> str:
    """Descriptive; 12 to 80 eojeol."""
    frame = pick(rng, frames)
    text, count = "", 0
    for limit in (3, 2, 1, 1, 1, 1):  # things whose place is said
        text = Telling(scene, vocabulary, rng).fill(frame, limit)
        count = text.count(" ") + 1
        if count <= WORD_LIMITS[1]:
            break
    register = "니다" if text.endswith("니다.") else "요" if text.endswith("요.") else "다"
    for closing in wording.some(words.CLOSING[register], 3, rng):
        if count >= WORD_LIMITS[0]:
            break
        text += " " + closing
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
            word = wording.choose_word(self.rng, entry.ko)
            if word in words.TINTED and thing.tint != "natural":  # not "노란 청바지"
                word = next((w for w in entry.ko if w not in words.TINTED), word)
            if taken.setdefault(word, entry.name) != entry.name:
                word = next((w for w in entry.ko if w not in taken), entry.ko[0])
                taken[word] = entry.name
            countable = entry.kind not in words.NEVER_ONE
            n = Named(word, colour_word(thing.tint, self.rng), len(thing.boxes), entry.counter, countable)
            one = (0.2 if len(self.entries) == 1 else 0.1) * countable
            n.full = noun_phrase(n.word, n.colour, n.count, n.counter, self.rng, one)
            n.short = n.word
            named.append(n)
        for i, n in enumerate(named):
            twins = [m for j, m in enumerate(named) if j != i and m.word == n.word]
            if not twins:
                continue
            if n.colour and all(m.colour != n.colour for m in twins):
                n.short = f"{n.colour} {n.word}"
            elif all(m.count != n.count for m in twins):
                n.short = f"{n.word} {words.NUMBERS[n.count]} {n.counter}"
            elif any(m.word == n.word for m in named[:i]):
                n.short, n.full = f"다른 {n.word}", f"또 다른 {n.full}"
            else:
                n.short = f"첫 번째 {n.word}"
        return named

    def _verb(self, relation: Relation) -> tuple[str, tuple[str, ...]]:
        """The row of words.VERBS that fits what is ridden, held, played or worn."""
        return words.VERBS[verb_row(str(relation.verb), self.entries[relation.object])]

    def _seen(self, relation: Relation) -> tuple[Named, str, Named]:
        """(subject, relation, object), sometimes from the other side."""
        s, o = self.named[relation.subject], self.named[relation.object]
        if relation.kind in words.INVERSE and not o.known and self.rng.random() < 0.15:
            return o, words.INVERSE[relation.kind], s
        return s, relation.kind, o

    def _on(self, subject: int) -> tuple[str, str]:
        return pick(self.rng, words.ON_ANIMATE if self.entries[subject].animate else words.ON_THING)

    def relation_clause(self, relation: Relation) -> str:
        """ "고양이가 개 왼쪽에 있": a clause on the stem 있."""
        s, kind, o = self.named[relation.subject], relation.kind, self.named[relation.object]
        if relation.verb is None:
            s, kind, o = self._seen(relation)
        subject = josa(s.short, "은") if s.known else josa(s.mention(), "이")
        if relation.verb is not None:
            return f"{subject} {josa(o.mention(), '을')} {self._verb(relation)[0]}있"
        extra = self._on(relation.subject)[0] if kind == "on" else ""
        return f"{subject} {o.mention()} {self.pick(words.RELATIONS[kind])} {extra}있"

    def relation_noun(self, relation: Relation) -> str:
        """ "개 왼쪽에 있는 고양이", "개 왼쪽의 고양이": a noun phrase."""
        if relation.verb is not None:
            s, o = self.named[relation.subject], self.named[relation.object]
            return f"{josa(o.mention(), '을')} {self.pick(self._verb(relation)[1])} {s.mention()}"
        s, kind, o = self._seen(relation)
        if self.rng.random() < 0.25:
            return f"{o.mention()} {self.pick(words.RELATIONS_OF[kind])} {s.mention()}"
        form = "있는"
        if kind == "on":
            stem, noun_form = self._on(relation.subject)
            form = noun_form if noun_form and self.rng.random() < 0.5 else f"{stem}있는"
        return f"{o.mention()} {self.pick(words.RELATIONS[kind])} {form} {s.mention()}"

    def sign(self, placed: bool) -> str:
        """'"STOP"이라고 적힌 표지판'; `placed` may say where the board is."""
        sign = f'"{self.scene.sign}"'
        form = self.pick(words.SIGNS)
        for particle in ("이라고", "이라는"):
            form = form.replace(f"{{{particle}}}", josa(sign, particle)[len(sign) :])
        form = form.format(self.scene.sign)
        if placed and self.rng.random() < 0.4:
            form = f"{words.SIGN_PLACES[wording.sign_place(self.scene)]} {form}"
        return form

    def noun(self, placed: bool = False) -> str:
        """One noun phrase with every thing, relation and the sign."""
        parts = [self.relation_noun(relation) for relation in self.scene.relations]
        parts += [n.mention() for n in self.named if not n.known]
        if self.scene.sign is not None:
            parts.append(self.sign(placed))
        if len(parts) > 2 and self.scene.relations:
            return ", ".join(parts[:-1]) + ", 그리고 " + parts[-1]
        return join(parts, self.rng)

    def clause(self, placed: bool = False) -> str:
        """The same as a clause on the stem 있: "고양이가 개 왼쪽에 있고 새도 있"."""
        parts = [self.relation_clause(relation) for relation in self.scene.relations]
        rest = [n.mention() for n in self.named if not n.known]
        if rest:
            names = join(rest, self.rng)
            parts.append(f"{names}도 있" if parts else f"{josa(names, '이')} 있")
        if self.scene.sign is not None:
            parts.append(f"{self.sign(placed)}도 있")
        return self.pick(("고 ", "고, ")).join(parts)

    # ---- the whole picture

    def _background(self, places: dict[str, tuple[str, ...]], plain: tuple[str, ...]) -> str:
        background = self.scene.background
        if background in places:
            return self.pick(places[background])
        return self.pick(plain).format(self.pick(words.PLAIN[background]))

    def on(self) -> str:
        """As an adverb: "흰색 배경에", "눈밭을 배경으로"."""
        return self._background(words.PLACES_ON, words.PLAIN_ON)

    def at(self) -> str:
        """As `on`, for a noun without a verb after it: "흰색 배경에 사과"."""
        return self._background(words.PLACES_AT, words.PLAIN_ON)

    def of(self) -> str:
        """In front of a noun: "흰색 배경의", "눈밭에 있는"."""
        return self._background(words.PLACES_OF, words.PLAIN_OF)

    def tag(self) -> str:
        return background_tag(self.scene.background, self.rng)

    def background(self) -> str:
        """A noun: "흰색", "밤하늘"."""
        background = self.scene.background
        return self.pick((words.PLACES_BG if background in words.PLACES_BG else words.PLAIN_BG)[background])

    def picture(self) -> str:
        return self.pick(words.STYLE_PICTURES[self.style])

    def manner(self) -> str:
        return self.pick(words.STYLE_MANNER[self.style])

    def style_tag(self) -> str:
        return self.pick(words.STYLE_TAGS[self.style])

    def place(self, i: int) -> str:
        """Where things[i] is: what stands before 있."""
        thing, rng = self.scene.things[i], self.rng
        spot = wording.position(thing)
        place = self.pick(words.PLACEMENT[spot.column, spot.row])
        middle = (spot.column, spot.row) == ("centre", "middle")
        if spot.spread:
            how = self.pick(words.SPREADS[spot.spread])
            return how if middle else f"{place} {how}"
        if len(self.named) == 1 and middle and wording.fills(thing) and rng.random() < 0.5:
            return self.pick(words.LARGE)
        if wording.small(thing) and rng.random() < 0.3:
            return f"{place} {self.pick(words.SMALL)}"
        return f"{place} {self.pick(words.STANDS)}"

    def where(self, limit: int) -> str:
        """A clause on 있 that places up to `limit` things."""
        order = wording.placed(self.scene, limit, self.rng)
        parts = [f"{josa(self.named[i].short, '은')} {self.place(i)}있" for i in order]
        return "고, ".join(parts) if len(parts) > 2 else "고 ".join(parts)

    def hue(self) -> str:
        """A clause on 있 about colour: of a coloured thing, or that everything is as usual."""
        coloured = [i for i, n in enumerate(self.named) if n.colour]
        if not coloured:
            return self.pick(words.NATURAL) + "있"
        i = pick(self.rng, coloured)
        word, colour = self.named[i].short, words.COLOUR_NOUNS[self.scene.things[i].tint]
        form = self.pick(words.HUE).replace("{은}", josa(word, "은")).replace("{의}", word + "의")
        for particle in ("으로", "을"):
            form = form.replace("{c}" + particle, josa(colour, particle))
        return form + "있"

    # ---- captions

    def short(self) -> str:
        chance, rng = self.rng.random(), self.rng
        style = chance < (0.44 if self.simple else 0.5)
        background = (0.2 < chance < 0.64) if self.simple else rng.random() < 0.5
        if self.simple:
            return self._short_single(style, background)
        complex_ = len(self.scene.relations) + (self.scene.sign is not None) + (len(self.named) > 2) > 1
        if rng.random() < (0.3 if complex_ else 0.6):
            return self._short_noun(style, background)
        text = self.clause()
        if background:
            text = f"{self.on()} {text}"
        if style:
            return f"{text}는 {self.picture()}"
        chance = rng.random()
        if chance < 0.65:
            return f"{text}는 {self.pick(words.PICTURES)}"
        return text + ("다" if chance < 0.85 else "는 모습")

    def _short_noun(self, style: bool, background: bool) -> str:
        """ "컵 위에 있는 사과, 흰색 배경"."""
        rng = self.rng
        text = self.noun()
        # not "흰 배경에 컵 위에 있는 사과", with two places in a row
        front = background and not self.scene.relations and rng.random() < 0.6
        if style and rng.random() < 0.5:
            text = f"{josa(text, '을')} 그린 {self.picture()}"
        elif style:
            text = f"{text}, {self.style_tag()}"
        elif rng.random() < 0.2:
            text += " 그림"
        if front:
            return f"{self.at()} {text}"
        return f"{text}, {self.tag()}" if background else text

    def _short_single(self, style: bool, background: bool) -> str:
        n, chance = self.named[0], self.rng.random()
        text = n.full
        if style and background:
            if chance < 0.5:
                return f"{self.on()} {josa(text, '이')} 있는 {self.picture()}"
            if chance < 0.8:
                return f"{self.pick(words.STYLE_OF[self.style])} {text}, {self.tag()}"
            return f"{self.of()} {text}, {self.style_tag()}"
        if style:
            if chance < 0.4:
                return f"{self.pick(words.STYLE_OF[self.style])} {text}"
            if chance < 0.7 and n.count == 1:
                return f"{n.bare} {self.style_tag()}"
            return f"{text}, {self.style_tag()}"
        if background:
            if chance < 0.4:
                return f"{self.of()} {text}"
            if chance < 0.6:
                return f"{self.at()} {text}"
            if chance < 0.75:
                return f"{self.on()} {josa(text, '이')} 있는 그림"
            return f"{text}, {self.tag()}"
        return self._plain_single(n)

    def _plain_single(self, n: Named) -> str:
        if n.count > 1:  # the count is always said
            chance = self.rng.random()
            if chance < 0.7:
                return n.full
            return f"{n.full} 그림" if chance < 0.85 else f"{josa(n.full, '이')} 있는 그림"
        one = noun_phrase(n.word, n.colour, 1, n.counter, self.rng, 1.0) if n.countable else n.bare
        form, _, rest = self.pick(words.PLAIN_SINGLE).partition("|")
        text = form.format(n=n.bare, c=one)
        return josa(text, rest[0]) + rest[1:] if rest else text

    def fill(self, frame: wording.Frame, limit: int) -> str:
        out: list[str] = []
        for literal, slot in frame:
            out.append(literal)
            if slot:
                name, _, particle = slot.partition("|")
                text = self._slot(name, limit)
                out.append(attach(text, particle) if particle else text)
        return "".join(out)

    def _slot(self, name: str, limit: int) -> str:
        if name == "np":
            return self.noun(placed=True)
        if name == "cl":
            return self.clause(placed=True)
        if name == "where":
            return self.where(limit)
        return _SLOTS[name](self)


_SLOTS: dict[str, Callable[[Telling], str]] = {
    "picture": Telling.picture,
    "manner": Telling.manner,
    "on": Telling.on,
    "bg": Telling.background,
    "hue": Telling.hue,
}
