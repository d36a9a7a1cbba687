"""English texts as graphs; see `reading.py`."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from armchair.data.world import frames_en as words
from armchair.data.world.concepts import by_name, load_concepts
from armchair.data.world.reading import NATURAL, Draft, Item, Told, alternatives, inverted, take_sign

_NUMBERS = {**{word: i for i, word in enumerate(words.NUMBERS) if i}, **{str(i): i for i in range(1, 11)}}
_PAIRS = ("pair of", "couple of")
_AGAIN = ("the", "its", "this", "that", "these", "those", "his", "her", "their")
_VERBS = {  # more than captions have: as people say it
    "riding": ("rides", "ride", "on the back of"),
    "holding": ("holds", "hold", "carries"),
    "playing": ("plays", "play", "plays with"),
    "wearing": ("wears", "wear", "with"),
}
_GAP = re.compile(
    r"[\s,]*(?:(?:and |,|which |so that |that |who |it |should |must )*(?:is|are|be|sits|stands|lies)?)\s*"
)
_HEAD = r"(?<![\w-])"
_END = r"(?![\w-])"


class _Tables(NamedTuple):
    nouns: dict[str, str]  # word -> concept
    plural: frozenset[str]  # words that a number stands before, or that are many
    tints: dict[str, str]
    places: dict[str, str]  # phrases of backgrounds that stand alone
    grounds: dict[str, str]  # those that need the word background beside them
    styles: dict[str, str]
    relations: dict[str, str]
    verbs: dict[str, str]
    pattern: re.Pattern[str]
    signs: re.Pattern[str]


@cache
def _tables() -> _Tables:
    nouns: dict[str, str] = {}
    many: set[str] = set()
    units: set[str] = set()
    for concept in load_concepts():
        for one, more in zip(concept.en, concept.plural, strict=True):
            nouns.setdefault(one.lower(), concept.name)
            nouns.setdefault(more.lower(), concept.name)
            if more != one:
                many.add(more.lower())
            if concept.number == "mass" and more.endswith(" " + one):
                units.add(more[: -len(one)].strip())
    tints = inverted(words.COLOURS)
    places = inverted(words.PLACES_ON) | inverted(words.PLACES_BG)
    grounds = inverted(words.PLAIN) | inverted(words.PLAIN_BG) | {"gray": "grey"} | places
    short = {place: place for place in words.PLACES_BG} | {"night sky": "night", "ocean": "sea"}
    styles = inverted(words.STYLE_PICTURES) | inverted(words.STYLE_MANNER) | inverted(words.STYLE_TAGS)
    styles |= {f"{style} style": style for style in words.STYLE_TAGS} | {"line": "line"}
    relations = inverted(words.RELATIONS) | {"at the left of": "left of", "at the right of": "right of"}
    relations |= {phrase: "on" for phrase in words.ANIMATE_ON}
    relations |= {phrase.replace("the ", ""): kind for phrase, kind in relations.items()}
    relations |= {"next to": "left of", "beside": "left of", "on the top of": "on"}
    verbs = {"playing with": "playing", "dressed in": "wearing", "who wears": "wearing"}
    for verb, phrases in words.VERBS.items():
        for phrase in phrases:
            verbs.setdefault(phrase, {"dressed": "wearing", "playing with": "playing"}.get(verb, verb))
    for verb, phrases in _VERBS.items():
        verbs |= {phrase: verb for phrase in phrases if phrase != "with"}
    verbs.pop("sitting on")  # which "on" says too
    placement = {p for table in (words.PLACEMENT, words.SPREADS) for ps in table.values() for p in ps}
    placement |= {*words.LARGE, *words.SMALL, *words.NATURAL, *words.CLOSING, *words.EXTRA}
    placement |= {f"{spot}{half}" for spot in ("on the left", "on the right") for half in (" half", " side")}
    ground, tint = alternatives({**grounds, **short}), alternatives(tints)
    number = alternatives(list(_NUMBERS))
    parts = {
        "skip": rf"(?:{alternatives({p.lower().rstrip('.') for p in placement})})(?! of| side of| than)|"
        "the artist(?= drew)|image presents",
        "before": rf"(?:{ground})(?:[ -]background|(?= (?:as|in|for) the background| behind{_END}))",
        "after": r"(?:background|backdrop|behind|surroundings)(?: everything| it)?(?: there)?"
        rf"(?: is| are| should be| use| of| to|:)* (?:an? |the )?(?:{ground})(?=[.,;!?]|$| and | in | with )",
        "place": rf"(?:{alternatives(places)})(?! lion)",
        "style": rf"in an? (?:{alternatives(styles)})(?: style)?|{alternatives(styles)}",
        "hue": r"(?:(?:is|are|be|turns?) (?:coloured |colored |all |now )?|colou?red |(?:has|have) an? )"
        rf"(?:{tint})(?: colou?r)?(?=[.,;!?]|$| and | but | with )",
        "top": r"on top(?! of)",
        "relation": alternatives(relations),
        "verb": alternatives(verbs),
        "thing": rf"(?:(?P<det>(?:{'|'.join((*_AGAIN, *_PAIRS))}|an?|some|one|another|more|other|first|"
        rf"single|natural|{number})(?: |$)"
        rf"(?:(?:pairs? of|couple of|first|second|other|single|natural|more|{number}) )*)?"
        rf"(?P<unit>(?:{alternatives(units)}) )?(?P<tint>(?:{tint}) )?(?P<noun>{alternatives(nouns)}))",
        "bare": tint,
    }
    pattern = re.compile("|".join(rf"(?P<{name}>{_HEAD}(?:{body}){_END})" for name, body in parts.items()))
    forms = {form for table in (words.SIGNS_PLACED, words.SIGNS) for form in table}
    signs = "|".join(
        re.sub(r"^(a|the)\\ ", r"(?:\1 )?", re.escape(form))  # some captions have no articles
        .replace(r"\ the\ ", " (?:the )?")
        .replace(r"\ a\ ", " (?:a )?")
        .replace(r"\{place\}", "(?:top|bottom)")
        .replace(r"\{\}", '[^"]*')
        for form in sorted(forms, key=len, reverse=True)
    )
    return _Tables(
        nouns, frozenset(many), tints, places, {**grounds, **short}, styles, relations, verbs, pattern,
        re.compile(rf"(?:with |and |, )*(?:{signs})"),
    )  # fmt: skip


def read(text: str) -> Told:
    """text: lower case, single spaces"""
    tables = _tables()
    text, sign = take_sign(text, tables.signs)
    draft = Draft(text)
    items = [item for found in tables.pattern.finditer(text) if (item := _item(found, tables)) is not None]
    last: int | None = None  # the thing named last, and where it ended
    end = 0
    waiting: tuple[str, str, int] | None = None  # a relation or verb whose second thing comes next
    earlier: list[int] = []
    for item in items:
        if item.kind == "background":
            draft.background = item.value if draft.background is None else draft.background
        elif item.kind == "style":
            draft.style = item.value if draft.style is None else draft.style
        elif item.kind == "hue" and last is not None:
            draft.colour(last, item.value)
        elif item.kind in ("hue", "bare"):
            draft.hue = item.value
        elif item.kind in ("relation", "verb"):
            near = last is not None and _GAP.fullmatch(text[end : item.start]) is not None
            waiting = (item.kind, item.value, item.end) if near else None
        elif item.kind == "top" and len(earlier) > 1:  # "a cup with an apple on top"
            draft.link(earlier[-1], "on", earlier[-2])
        elif item.kind == "thing":
            index = draft.thing(item)
            bare = text[item.start : item.end] in tables.nouns  # no article, no colour
            draft.joined |= last is not None and item.start == end + 1 and bare
            if waiting is not None and last is not None and not text[waiting[2] : item.start].strip():
                kind, value, _ = waiting
                if kind == "verb":
                    draft.link(last, _KINDS[value], index, value)
                else:
                    draft.link(last, value, index)
            last, end, waiting = index, item.end, None
            earlier.append(index)
    return draft.told(sign)


_KINDS = {"riding": "on", "holding": "in front of", "playing": "in front of", "wearing": "on"}


def _item(found: re.Match[str], tables: _Tables) -> Item | None:
    kind = str(found.lastgroup) if found.lastgroup not in ("det", "unit", "tint", "noun") else "thing"
    kind = next(name for name in _ORDER if found[name] is not None)
    said = found[0]
    if kind == "skip":
        return None
    if kind == "thing":
        return _thing(found, tables)
    if kind in ("before", "after", "place"):
        said = re.sub("[ -]background$", "", said)
        value = tables.grounds[_ending(said, tables.grounds)]
        return Item("background", value, found.start(), found.end())
    if kind == "style":
        return Item("style", tables.styles[_within(said, tables.styles)], found.start(), found.end())
    if kind in ("hue", "bare"):
        value = tables.tints[_within(said, tables.tints)]
        return Item(kind, value, found.start(), found.end())
    table = {"relation": tables.relations, "verb": tables.verbs, "top": {said: "on"}}[kind]
    return Item(kind, table[said], found.start(), found.end())


_ORDER = ("skip", "before", "after", "place", "style", "hue", "top", "relation", "verb", "thing", "bare")


def _thing(found: re.Match[str], tables: _Tables) -> Item:
    noun, det = found["noun"], "" if found["det"] is None else found["det"].strip()
    concept = tables.nouns[noun]
    parts = det.split()
    count = next((_NUMBERS[part] for part in parts if part in _NUMBERS), 1)
    if any(pair in det for pair in _PAIRS) and by_name()[concept].number == "count":
        count = 2
    tint = NATURAL if found["tint"] is None else tables.tints[found["tint"].strip()]
    again = not parts or parts[0] in _AGAIN  # captions without articles say a word again as it is
    return Item("thing", concept, found.start(), found.end(), tint, count, again)


def _ending(said: str, table: dict[str, str]) -> str:
    """The longest entry that a phrase ends in."""
    return next(word for word in sorted(table, key=len, reverse=True) if said.endswith(word))


def _within(said: str, table: dict[str, str]) -> str:
    """The longest entry that a phrase holds."""
    return next(
        word
        for word in sorted(table, key=len, reverse=True)
        if re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", said)
    )
