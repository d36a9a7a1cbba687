"""Korean texts as graphs; see `reading.py`."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from armchair.data.world import frames_ko as words
from armchair.data.world.concepts import load_concepts
from armchair.data.world.reading import NATURAL, Draft, Item, Told, alternatives, inverted, take_sign

_NUMBERS = {word: i for i, word in enumerate(words.NUMBERS) if i}
_NUMBERS |= {"하나": 1, "둘": 2, "셋": 3, "넷": 4, **{str(i): i for i in range(1, 11)}}
# particles and endings that may follow a noun; the roles that they give it
_SUBJECT = ("이", "가", "은", "는", "께서", "이가")
_OBJECT = ("을", "를")
_TAILS = (
    "에게서 에게 한테 에서는 에서 에는 에 의 과 와 이랑 랑 하고 도 만 으로 로 이다 다 이고 고 이며 며 입니다 "
    "이에요 예요 이면 면 이라고 라고 처럼 까지 부터 들이 들을 들은 들의 들도 들과 들 이나 나 야 아"
).split()
_BOUND = r"(?![가-힣a-z0-9])"
_HEAD = r"(?<![가-힣a-z0-9])"
_KINDS = {"riding": "on", "holding": "in front of", "playing": "in front of", "wearing": "on"}
# what stands between a relation's word and the thing that it tells of: "위에 [앉아 있는] 고양이"
_LEADS = re.compile(
    r"\s*(?:(?:올라가|앉아|서|놓여|올려져|자리 잡고|그려져)?\s*있는|있던|올라간|앉은|선|놓인|올려진|의|)\s*"
)


class _Tables(NamedTuple):
    nouns: dict[str, str]
    tints: dict[str, str]
    places: dict[str, str]
    grounds: dict[str, str]
    styles: dict[str, str]
    relations: dict[str, str]
    verbs: dict[str, str]
    pattern: re.Pattern[str]
    signs: re.Pattern[str]


@cache
def _tables() -> _Tables:
    nouns = {word.lower(): concept.name for concept in load_concepts() for word in concept.ko}
    counters = {concept.counter for concept in load_concepts()} | {"개", "쌍"}
    tints = inverted(words.COLOURS) | {noun: tint for tint, noun in words.COLOUR_NOUNS.items()}
    places = inverted(words.PLACES_ON) | inverted(words.PLACES_OF) | inverted(words.PLACES_AT)
    grounds = inverted(words.PLAIN) | inverted(words.PLAIN_BG) | inverted(words.PLACES_BG)
    grounds |= {word: place for place, table in words.PLACES_BG.items() for word in (table[0],)}
    tables = (words.STYLE_PICTURES, words.STYLE_MANNER, words.STYLE_OF, words.STYLE_TAGS)
    styles: dict[str, str] = {}
    for table in tables:
        styles |= inverted(table)
    relations = inverted(words.RELATIONS) | inverted(words.RELATIONS_OF)  # "컵 위에", "컵 위의 사과"
    relations |= {"위에": "on", "위의": "on"}  # of which "above" is another reading
    relations |= {phrase[:-1]: kind for phrase, kind in relations.items()}  # "컵 위 사과"
    verbs: dict[str, str] = {}
    rows = {"strike": "playing", "bow": "playing", "blow": "playing", "playing with": "playing"}
    for row, (stem, forms) in words.VERBS.items():
        verb = rows.get(row, row if row in _KINDS else "wearing")
        verbs |= {form: verb for form in (stem.strip(), *forms)}
    tails = "|".join(sorted((*_SUBJECT, *_OBJECT, *_TAILS), key=len, reverse=True))
    number = alternatives(dict.fromkeys(_NUMBERS, ""))
    counter = alternatives(dict.fromkeys(counters, ""))
    ground = alternatives(grounds)
    skip = [p for ps in words.PLACEMENT.values() for p in ps]
    skip += [p.strip() for ps in (*words.SPREADS.values(), words.LARGE, words.NATURAL) for p in ps]
    skip += [p.rstrip(".") for ps in words.CLOSING.values() for p in ps]
    parts = {
        # a placement is said of a thing with its particle, and never names another thing before it
        "skip": rf"(?<=[은는,] )(?:{alternatives(skip)})(?! (?:올라|앉|있는|놓|올려))|"
        + alternatives([p for p in skip if " " in p and not p.startswith(("왼쪽 위", "오른쪽 위"))])
        + "|(?<=야 )해|말고|해 주(?:세요|시면)?|해 줘요?|해줘요?|해주세요",
        "ground": rf"(?:{ground})(?:을|를|이|가)? (?:배경|바탕|단색 배경)|"
        rf"배경(?:은|이|에|을|:)?,? (?:그냥 )?(?:{ground})(?=(?:{tails})?{_BOUND})|"
        rf"(?:{ground})(?:을|를)? 배경",
        "place": alternatives(places),
        "style": alternatives(styles),
        "hue": rf"(?:{alternatives(tints)})(?:으로|로|을|를)(?= (?:칠|바|띠|변|해|하|되|만))|"
        rf"(?:{alternatives(list(words.COLOUR_NOUNS.values()))})(?=이다|입니다|이에요|$|\.)",
        "relation": alternatives(relations),
        "verb": alternatives(verbs),
        "thing": rf"(?:(?P<many>{number}) (?:{counter})의 )?(?P<again>또 다른 |다른 |첫 번째 )?"
        rf"(?P<tint>(?:{alternatives(tints)}) )?(?P<noun>{alternatives(nouns)})"
        rf"(?: (?P<count>{number}) ?(?:{counter}))?(?P<tail>{tails})?",
        "lone": rf"(?:{number}) ?(?:{counter})(?:{tails})?",  # of what nobody knows: no dog (개)
        "bare": rf"(?:{alternatives(tints)})(?:{tails}|면|이면)?",
    }
    ends = {"ground": "", "style": rf"(?:{tails})?"}
    pattern = re.compile(
        "|".join(
            rf"(?P<{name}>{_HEAD}(?:{body}){ends.get(name, '')}{_BOUND if name != 'ground' else ''})"
            for name, body in parts.items()
        )
    )
    forms = [re.sub(r"\\\{이라(?:고|는)\\\}", "(?:이?라고|이?라는)", re.escape(form)) for form in words.SIGNS]
    signs = "|".join(form.replace(r"\{\}", '[^"]*') for form in forms)
    return _Tables(
        nouns, tints, places, {**grounds, **places}, styles, relations, verbs, pattern,
        re.compile(rf"(?:(?:위쪽에|아래쪽에) )?(?:{signs})"),
    )  # fmt: skip


def read(text: str) -> Told:
    """text: lower case, single spaces"""
    tables = _tables()
    text, sign = take_sign(text, tables.signs)
    draft = Draft(text)
    items = [item for found in tables.pattern.finditer(text) if (item := _item(found, tables)) is not None]
    things: dict[int, int] = {}  # number of an item -> the thing that it names
    for number, item in enumerate(items):
        if item.kind == "background" and draft.background is None:
            draft.background = item.value
        elif item.kind == "style" and draft.style is None:
            draft.style = item.value
        elif item.kind == "thing":
            before = items[number - 1] if number - 1 in things else None
            if before is not None and not before.tail and item.start == before.end + 1:
                draft.joined |= item.tint == NATURAL and before.count == 1
            things[number] = draft.thing(item)
        elif item.kind == "hue" and things:
            draft.colour(things[max(things)], item.value)
        elif item.kind in ("hue", "bare"):
            draft.hue = item.value
    for number, item in enumerate(items):
        if item.kind in ("relation", "verb"):
            _relate(draft, text, items, things, number)
    return draft.told(sign)


def _relate(draft: Draft, text: str, items: list[Item], things: dict[int, int], number: int) -> None:
    """A relation stands after its object; its subject stands after it ("컵 위에 있는 사과") or before both
    ("사과가 컵 위에 있").
    """
    item = items[number]
    if number - 1 not in things or text[items[number - 1].end : item.start].strip():
        return
    before = items[number - 1]
    if before.tail not in ((*_OBJECT, "") if item.kind == "verb" else ("", "의")):
        return
    after = number + 1
    joined = after in things and _LEADS.fullmatch(text[item.end : items[after].start]) is not None
    stems = item.kind == "verb" and items[number].tail == "stem"
    if joined and not stems:
        subject = things[after]
    else:
        roles = _SUBJECT if item.kind == "verb" else (*_SUBJECT, *_OBJECT)  # "모자를 고양이 옆에 두세요"
        found = [i for i in things if i < number - 1 and items[i].tail in roles]
        if not found:
            return
        subject = things[found[-1]]
    object_ = things[number - 1]
    if item.kind == "verb":
        draft.link(subject, _KINDS[item.value], object_, item.value)
    else:
        draft.link(subject, item.value, object_)


def _item(found: re.Match[str], tables: _Tables) -> Item | None:
    kind = next(name for name in _ORDER if found[name] is not None)
    said = found[0]
    where = found.start(), found.end()
    if kind in ("skip", "lone"):
        return None
    if kind == "thing":
        told = found["count"] if found["many"] is None else found["many"]
        tint = NATURAL if found["tint"] is None else tables.tints[found["tint"].strip()]
        return Item(
            "thing",
            tables.nouns[found["noun"]],
            *where,
            tint,
            1 if told is None else _NUMBERS[told],
            found["again"] in (None, "첫 번째 "),  # a word said twice is one thing
            "" if found["tail"] is None else found["tail"],
        )
    if kind in ("ground", "place"):
        return Item("background", tables.grounds[_within(said, tables.grounds)], *where)
    if kind == "style":
        return Item("style", tables.styles[_within(said, tables.styles)], *where)
    if kind in ("hue", "bare"):
        return Item(kind, tables.tints[_within(said, tables.tints)], *where)
    if kind == "relation":
        return Item(kind, tables.relations[said], *where)
    stem = said in {stem.strip() for stem, _ in words.VERBS.values()}
    return Item(kind, tables.verbs[said], *where, tail="stem" if stem else "")


_ORDER = ("skip", "ground", "place", "style", "hue", "relation", "verb", "thing", "lone", "bare")


def _within(said: str, table: dict[str, str]) -> str:
    """The longest entry that a phrase holds."""
    return next(word for word in sorted(table, key=len, reverse=True) if word in said)
