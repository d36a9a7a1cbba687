"""What is said about a scene of Emoji World: alt text, short and long captions, in English and Korean."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from armchair.core.errors import BadInput, nearest
from armchair.data.world import captions_en, captions_ko, frames_en, frames_ko, wording
from armchair.data.world.alt_text import alt
from armchair.data.world.concepts import Concept, find_concept, load_concepts
from armchair.data.world.frames_en import FRAMES_EN
from armchair.data.world.frames_ko import FRAMES_KO
from armchair.data.world.korean import strip_particles

if TYPE_CHECKING:
    from armchair.data.world.scene import Scene

KINDS = ("alt", "short", "long")
LANGUAGES = ("en", "ko")
FRAMES = {"en": FRAMES_EN, "ko": FRAMES_KO}

# language -> value -> words, the usual one first
colour_words: dict[str, dict[str, tuple[str, ...]]] = {"en": frames_en.COLOURS, "ko": frames_ko.COLOURS}
style_words: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {style: tuple(dict.fromkeys(table)) for style, table in frames_en.STYLE_PICTURES.items()},
    "ko": {style: tuple(dict.fromkeys(table)) for style, table in frames_ko.STYLE_PICTURES.items()},
}


@dataclass(frozen=True, slots=True)
class Entry:
    """What captions need of a concept."""

    name: str
    kind: str
    animate: bool
    counter: str
    en: tuple[captions_en.Noun, ...]
    ko: tuple[str, ...]


Vocabulary = dict[str, Entry]


def entry(concept: Concept) -> Entry:
    """The caption words of one concept."""
    en = captions_en.nouns(concept.en, concept.plural, concept.article, concept.number)
    return Entry(concept.name, concept.kind, concept.animate, concept.counter, en, tuple(concept.ko))


@cache
def caption_vocabulary() -> Vocabulary:
    """The caption words of every concept, by its name."""
    return {concept.name: entry(concept) for concept in load_concepts()}


@cache
def _frames(language: str, part: tuple[int | None, int | None, int | None]) -> tuple[wording.Frame, ...]:
    return tuple(wording.parse_frame(frame) for frame in FRAMES[language][slice(*part)])


@cache
def _usual_vocabulary() -> Vocabulary:
    """The first, usual word of every concept alone."""
    return {name: replace(e, en=e.en[:1], ko=e.ko[:1]) for name, e in caption_vocabulary().items()}


def caption(
    scene: Scene,
    kind: str,
    language: str,
    rng: random.Random,
    frames: slice | None = None,
    usual: bool = False,
) -> str:
    """One caption of the scene; the same state of `rng` gives the same words.

    kind "alt": web-like, partly wrong or missing (rates in `alt_text.AltRates`).
    kind "short": true. Always says every thing, tints other than natural, counts above one, relations and the
    word on a sign; style and background in about half of the captions each.
    kind "long": true, 15 to 80 words (12 to 80 eojeol in Korean); also says placement, background and style.
    `frames` takes a part of FRAMES_EN or FRAMES_KO, so that a test can hold frames out; `usual` takes the
    first word of each concept alone.

    Raises BadInput for an unknown kind or language.
    """
    _check_language(language)
    module = captions_en if language == "en" else captions_ko
    vocabulary = _usual_vocabulary() if usual else caption_vocabulary()
    if kind == "short":
        return module.short(scene, vocabulary, rng)
    if kind == "alt":
        return alt(scene, language, vocabulary, rng)
    if kind != "long":
        raise BadInput(f"no captions of kind {kind!r}; there are {', '.join(KINDS)}.{nearest(kind, KINDS)}")
    part = (None, None, None) if frames is None else (frames.start, frames.stop, frames.step)
    return module.long(scene, vocabulary, rng, _frames(language, part))


def _check_language(language: str) -> None:
    if language not in LANGUAGES:
        raise BadInput(f"no captions in language {language!r}; there are {', '.join(LANGUAGES)}")


def subject(scene: Scene, language: str, rng: random.Random) -> str:
    """The main subject alone, with its colour and count: "a red apple", "고양이 두 마리".

    Raises BadInput for an unknown language.
    """
    _check_language(language)
    main = replace(scene, things=scene.things[:1], relations=(), sign=None)
    module = captions_en if language == "en" else captions_ko
    return module.Telling(main, caption_vocabulary(), rng).named[0].full


def concept_words(name: str, language: str) -> tuple[str, ...]:
    """Every word of a concept, the usual one first; English plurals are not among them.

    Raises BadInput for an unknown concept or language.
    """
    concept = find_concept(name)
    if language not in LANGUAGES:
        raise BadInput(f"no words in language {language!r}; there are {', '.join(LANGUAGES)}")
    return tuple(concept.en if language == "en" else concept.ko)


# words that captions_en.py and captions_ko.py put between those of the tables
_JOINING = {
    "en": "a an the and of with plus is are has have it they some pair pairs couple other more first another",
    "ko": "그리고 또 다른 첫 번째 도 모습",
}
_WORD = re.compile(r"[a-z]+(?:['’-][a-z]+)*|[가-힣]+")


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [s for part in value.values() for s in _strings(part)]
    if isinstance(value, Sequence):
        return [s for part in value for s in _strings(part)]
    return []


def _table_words(module: ModuleType) -> set[str]:
    text = " ".join(s for name, value in vars(module).items() if name.isupper() for s in _strings(value))
    text = re.sub(r"\{(?:cl|where|hue)\}", " 있", text)  # the stem that Korean clauses end in
    return set(_WORD.findall(re.sub(r"\{[^}]*\}", " ", text).lower()))


@cache
def known_words(language: str) -> frozenset[str]:
    """Every word that captions of this language can hold, lower case; Korean nouns without particles.

    Signs and numbers are not among them. Raises BadInput for an unknown language.
    """
    if language not in LANGUAGES:
        raise BadInput(f"no words in language {language!r}; there are {', '.join(LANGUAGES)}")
    words = _table_words(frames_en if language == "en" else frames_ko)
    for concept in load_concepts():
        for text in (*concept.en, *concept.plural) if language == "en" else concept.ko:
            words.update(_WORD.findall(text.lower()))
        if language == "ko":
            words.add(concept.counter)
    words.update(_JOINING[language].split())
    return frozenset(words)


def unseen_words(prompt: str) -> list[str]:
    """The words of a prompt that no caption holds, in their order; not words in quotes (signs) and numbers.

    Korean words are looked up with and without particles, and as two words written together.
    """
    text = re.sub(r"\"[^\"]*\"[가-힣]*|“[^”]*”[가-힣]*", " ", prompt.lower())
    unseen = [w for w in _WORD.findall(text) if not (_known_ko(w) if "가" <= w[0] <= "힣" else _known_en(w))]
    return list(dict.fromkeys(unseen))


def _known_en(word: str) -> bool:
    known = known_words("en")
    forms = (word, word.removesuffix("s"), word.removesuffix("'s"))
    return any(form in known for form in forms) or all(part in known for part in word.split("-"))


def _known_ko(word: str) -> bool:
    known = known_words("ko")
    forms = (word, *strip_particles(word))
    return any(
        form in known or any(form[:i] in known and form[i:] in known for i in range(1, len(form)))
        for form in forms
    )
