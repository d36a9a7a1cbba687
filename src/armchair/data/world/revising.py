"""What a request changes: a graph and an instruction in, the changed graph out, by rules.

The writer's network says it in words; this says what must be in them. Where it understands nothing, nobody
can check, and the person's own words stand.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from armchair.data.world.captions import unseen_words
from armchair.data.world.reading import NATURAL, Linked, Named, Told, read
from armchair.data.world.requests_en import REQUESTS_EN
from armchair.data.world.requests_ko import REQUESTS_KO
from armchair.text.words import has_hangul

MOST = 4  # of one thing: captions count no further

_REMOVE = re.compile(
    r"\b(?:remove|delete|without|erase|leave out|get rid of|drop|no more|no|away|lose)\b"
    r"|빼|지워|지우|없애|없이|삭제|제거"
)
_REPLACE = re.compile(
    r"\b(?:replace|swap|exchange|instead of|in place of|into|become)\b|대신|말고|자리에|교체|(?:으로|로) 바꿔"
)
_ADD = re.compile(
    r"\b(?:add|also|too|as well|another|more|put|place|include|with|plus|give)\b"
    r"|추가|넣|더해|더하|더 그|도 그|도 있|도 하나|도 넣|놓"
)
_MORE = re.compile(  # of what is there already: "put a cat on the left" beside a cat, but not "put the cat"
    r"^(?:now |please |also )*(?:(?:add|include|put|place|draw|with|and) )?(?:another|one more)\b"
    r"|^(?:now |please |also )*(?:add|include|put|place) (?:an?|some|one|two|three|more|[1-3])\b"
    r"|추가|넣|더해|더하|더 그|(?:하나|마리|개|대|명) 더"
)
_NEW = re.compile(
    r"^(?:now )?(?:please )?(?:draw|paint|show|imagine|create|generate|make)(?: me)? "
    r"(?:an?|some|two|three|four|the|one) "
    r"|^(?:an?|two|three|four) (?!.*\b(?:too|also|instead|as well|please)\b)|^(?:something else|a new)"
)
_NEW_KO = re.compile(r"(?:새로|새 그림|이번에는|이번엔|다른 그림)")
_SIGN = re.compile(r"\bsign\b|표지판|팻말|간판")
_PLACES: Sequence[tuple[re.Pattern[str], str]] = (
    (re.compile(r"\bleft\b|왼쪽|왼편"), "left of"),
    (re.compile(r"\bright\b|오른쪽|오른편"), "right of"),
    (re.compile(r"\b(?:above|over|top|up)\b|위쪽|위에"), "above"),
    (re.compile(r"\b(?:below|under|beneath|bottom|underneath)\b|아래|밑"), "below"),
)
_COUNT = re.compile(
    r"\b(two|three|four|[2-4]) of (?:them|it|those)\b"
    r"|(?:^|\s)(두|세|네|둘|셋|넷) ?(?:개|마리|명|대)?(?:로|으로)"
)
_COUNTS = {"two": 2, "three": 3, "four": 4, "2": 2, "3": 3, "4": 4, "두": 2, "세": 3, "네": 4}
_COUNTS |= {"둘": 2, "셋": 3, "넷": 4}


def strange(text: str) -> list[str]:
    """The words of a text or request that neither captions nor known requests have."""
    return [word for word in unseen_words(text) if word not in _request_words()]


@cache
def _request_words() -> frozenset[str]:
    rows = [row for table in (REQUESTS_EN, REQUESTS_KO) for row in table.values()]
    said = " ".join(re.sub(r"\{[^}]*\}", " ", form) for forms in rows for form in forms).lower()
    known = " ".join(pattern.pattern for pattern in (_REMOVE, _REPLACE, _ADD))
    return frozenset(
        re.findall(r"[a-z]+|[가-힣]+", f"{said} {known} change colour color kind side them more")
    )


def is_new(instruction: str, told: Told) -> bool:
    """Whether a request asks for another picture rather than for a change of this one."""
    said, text = read(instruction), instruction.lower().strip()
    if not said.things or any(thing.concept in _names(told) for thing in said.things):
        return False
    if has_hangul(text):
        edits = any(p.search(text) for p in (_ADD, _REMOVE, _REPLACE)) or re.search(
            r"쪽에|편에|밑에|위에", text
        )
        return _NEW_KO.search(text) is not None or edits is None or edits is False
    return _NEW.search(text) is not None and re.search(r"\b(?:too|also|as well|instead)\b", text) is None


def revise(told: Told, instruction: str) -> Told | None:
    """The graph after a request; None where it is not understood, or changes nothing."""
    said, text = read(instruction), " ".join(instruction.lower().split())
    found = _things(told, said, text)
    if said.style is not None:
        found = replace(found, style=said.style)
    if said.background is not None:
        found = replace(found, background=said.background)
    if said.sign is not None:
        found = replace(found, sign=said.sign)
    elif _SIGN.search(text) and _REMOVE.search(text):
        found = replace(found, sign=None)
    return None if found == told or not found.things else found


def _things(told: Told, said: Told, text: str) -> Told:
    old = [thing for thing in said.things if thing.concept in _names(told)]
    new = [thing for thing in said.things if thing.concept not in _names(told)]
    if new and _REPLACE.search(text) and (old or len(told.things) == 1):
        return _replaced(told, old[0].concept if old else told.things[0].concept, new[0])
    if old and not new and _REMOVE.search(text):
        gone = {_place(told, thing) for thing in old}
        return _without(told, gone) if len(gone) < len(told.things) else told
    if new:
        return _added(told, new, said, text)
    if _MORE.search(text):
        return _more(told, said, text)
    if old and said.relations and len(old) > 1:
        return _moved(told, said)
    return _repainted(told, old, said, text)


def _names(told: Told) -> dict[str, int]:
    return {thing.concept: i for i, thing in enumerate(told.things)}


def _place(told: Told, thing: Named) -> int:
    """The number of the thing that is spoken of: of two cats the one in that colour."""
    same = [i for i, one in enumerate(told.things) if one.concept == thing.concept]
    return next((i for i in same if told.things[i].tint == thing.tint), same[-1])


def _replaced(told: Told, concept: str, new: Named) -> Told:
    place = _names(told)[concept]
    things = list(told.things)
    count = things[place].count if new.count == 1 else new.count
    things[place] = replace(new, count=count)
    plain = [link if link.verb is None else replace(link, verb=None) for link in told.relations]
    return replace(told, things=tuple(things), relations=tuple(plain))


def _without(told: Told, gone: set[int]) -> Told:
    kept = [i for i in range(len(told.things)) if i not in gone]
    places = {old: new for new, old in enumerate(kept)}
    relations = tuple(
        replace(link, subject=places[link.subject], object=places[link.object])
        for link in told.relations
        if link.subject in places and link.object in places
    )
    return replace(told, things=tuple(told.things[i] for i in kept), relations=relations)


def _added(told: Told, new: list[Named], said: Told, text: str) -> Told:
    """New things, where the words say; beside the first thing where they name a side alone."""
    things = [*told.things, *new]
    places = {thing.concept: i for i, thing in enumerate(things)}
    relations = list(told.relations)
    linked: set[int] = set()
    for link in said.relations:
        a, b = (places[said.things[i].concept] for i in (link.subject, link.object))
        relations.append(replace(link, subject=a, object=b))
        linked |= {a, b}
    for thing in new:
        place = places[thing.concept]
        side = next((kind for pattern, kind in _PLACES if pattern.search(text)), None)
        if side is not None and place not in linked and told.things:
            relations.append(Linked(place, side, 0))
    return replace(told, things=tuple(things), relations=tuple(relations))


def _more(told: Told, said: Told, text: str) -> Told:
    """More of what is there: counted with it where it looks the same, else beside it as a thing of its own.
    Where nothing is named, one more of the only thing.
    """
    wanted = [thing for i, thing in enumerate(said.things) if i not in {r.object for r in said.relations}]
    if not said.things and len(told.things) == 1:
        wanted = [replace(told.things[0], count=1)]
    for thing in wanted:
        place = _place(told, thing)
        here = told.things[place]
        if here.tint != thing.tint:
            told = _added(told, [thing], said, text)
        elif here.count + thing.count <= MOST:
            more = replace(here, count=here.count + thing.count)
            told = replace(told, things=(*told.things[:place], more, *told.things[place + 1 :]))
    return told


def _moved(told: Told, said: Told) -> Told:
    """Other relations between things that are there."""
    names = _names(told)
    relations = list(told.relations)
    for link in said.relations:
        a, b = (names[said.things[i].concept] for i in (link.subject, link.object))
        relations = [r for r in relations if {r.subject, r.object} != {a, b}]
        relations.append(replace(link, subject=a, object=b))
    return replace(told, relations=tuple(relations))


def _repainted(told: Told, old: list[Named], said: Told, text: str) -> Told:
    """Colours, counts and sides of what is there."""
    things = list(told.things)
    for thing in old:
        i = _place(told, thing)
        named = thing.tint in (NATURAL, things[i].tint)  # "the red cat" says which, "blue" what it becomes
        tint = said.colour if named else thing.tint
        if tint is not None:
            things[i] = replace(things[i], tint=tint)
        if 1 < thing.count <= MOST and thing.count != things[i].count:
            things[i] = replace(things[i], count=thing.count)
    relations = told.relations
    if not old and said.colour is not None and things:
        things[0] = replace(things[0], tint=said.colour)
    counted = _COUNT.search(text)
    if not old and counted is not None and things:
        things[0] = replace(things[0], count=_COUNTS[next(g for g in counted.groups() if g)])
    side = next((kind for pattern, kind in _PLACES if pattern.search(text)), None)
    if len(old) == 1 and len(things) > 1 and side is not None and things == list(told.things):
        here = _names(told)[old[0].concept]
        other = 1 if here == 0 else 0
        kept = [r for r in relations if {r.subject, r.object} != {here, other}]
        relations = (*kept, Linked(here, side, other))
    return replace(told, things=tuple(things), relations=tuple(relations))
