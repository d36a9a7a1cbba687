"""Make the prompts of Emoji-GenEval: a new version of src/armchair/evaluation/prompts.json.

Run      python scripts/geneval_prompts.py --version N --out FILE
Writes   FILE. The shipped file is never changed: scores of two versions do not compare.

Concepts are the first 64 of concepts.json; which of them meet is decided by sha256, so that nobody picks.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import combinations, product
from pathlib import Path
from typing import Any

from armchair.core.files import write_bytes
from armchair.data.world import frames_en, frames_ko
from armchair.data.world.captions_en import with_article
from armchair.data.world.concepts import Concept, load_concepts
from armchair.data.world.korean import josa
from armchair.data.world.scene import BACKGROUNDS, COLOURS, STYLES, held_out, stands_out
from armchair.data.world.shapes import shape_of

EACH = 20  # prompts a task
QUICK = 6  # of them in the short version
HELD = ("two", "colours", "position", "attribution")  # tasks with pairs, a quarter of the held-out split each
SIDES = ("left of", "right of", "above", "below")
FIRST = 64
NUMBERED = {"shoe", "pizza"}  # counted in pairs or slices in one of the languages
LIKE = [{"bear", "teddy bear", "panda"}, {"flower", "rose", "sunflower"}]  # easily confused
SPECIES = {("red", "panda"), ("black", "bear")}  # animals of their own


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    rows = [*tasks(held=False), *tasks(held=True)]
    lines = ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in rows)
    write_bytes(args.out, f'{{"version": {args.version}, "prompts": [\n{lines}\n]}}\n'.encode())


def tasks(held: bool) -> Iterator[dict[str, Any]]:
    makers = {
        "single": single, "two": two, "counting": counting, "colours": colours,
        "position": position, "attribution": attribution, "style": style,
    }  # fmt: skip
    for task in HELD if held else makers:
        count, quick = (EACH // len(HELD), QUICK // len(HELD) + 1) if held else (EACH, QUICK)
        found = take(makers[task](held), count, f"{task} {held}")
        for i, row in enumerate(found):
            slug = re.sub(r"[^a-z]+", "-", row["en"])
            yield {"id": f"{task}/{slug}", "task": task, **row, "held_out": held, "quick": i < quick}


def take(rows: Iterable[dict[str, Any]], count: int, key: str) -> list[dict[str, Any]]:
    """`count` rows by chance, no concept or colour oftener than needed, every `turn` equally often."""
    order = sorted(rows, key=lambda row: sha256(f"{key}/{row['en']}".encode()).digest())
    turns = sorted({row["turn"] for row in order})
    used: Counter[str] = Counter()
    chosen: list[dict[str, Any]] = []
    for i in range(count):
        turn = turns[i % len(turns)]
        fresh = [row for row in order if row["turn"] == turn and row not in chosen]
        row = min(fresh, key=lambda row: sum(used[word] for word in words(row)))
        used.update(words(row))
        chosen.append(row)
    return [{key: value for key, value in row.items() if key != "turn"} for row in chosen]


def words(row: dict[str, Any]) -> list[str]:
    """The concepts and colours that it asks for."""
    return [thing[key] for thing in row["things"] for key in ("concept", "colour") if key in thing]


def pool() -> list[Concept]:
    """Things with a place of their own: no sun and no clouds, which belong to backgrounds."""
    return [c for c in load_concepts()[:FIRST] if c.number == "count" and c.kind != "nature"]


def pairs(held: bool) -> Iterator[tuple[Concept, Concept]]:
    for a, b in combinations(pool(), 2):
        if held_out(a.name, b.name) == held and not any({a.name, b.name} <= like for like in LIKE):
            yield (a, b) if sha256(f"{a.name}/{b.name}".encode()).digest()[0] % 2 else (b, a)


def tints(concept: Concept) -> list[str]:
    """The colours that change it: not its own in any style, and none for people."""
    own = {shape_of(concept.name, style).colour for style in STYLES}
    if concept.kind == "person":
        return []
    return [c for c in COLOURS if c not in own and (c, concept.name) not in SPECIES]


def want(concept: Concept, **more: Any) -> dict[str, Any]:
    return {"concept": concept.name, **more}


def en(concept: Concept, colour: str | None = None) -> str:
    if colour is None:
        return f"{concept.article[0]} {concept.en[0]}"
    return with_article(f"{frames_en.COLOURS[colour][0]} {concept.en[0]}")


def ko(concept: Concept, colour: str | None = None) -> str:
    return concept.ko[0] if colour is None else f"{frames_ko.COLOURS[colour][0]} {concept.ko[0]}"


def single(held: bool) -> Iterator[dict[str, Any]]:
    for c in pool():
        yield {"en": en(c), "ko": ko(c), "things": [want(c)], "turn": 0}


def two(held: bool) -> Iterator[dict[str, Any]]:
    for a, b in pairs(held):
        text = {"en": f"{en(a)} and {en(b)}", "ko": f"{josa(ko(a), '과')} {ko(b)}"}
        yield {**text, "things": [want(a), want(b)], "turn": 0}


def counting(held: bool) -> Iterator[dict[str, Any]]:
    for c, n in product((c for c in pool() if c.name not in NUMBERED), (2, 3, 4)):
        text = {
            "en": f"{frames_en.NUMBERS[n]} {c.plural[0]}",
            "ko": f"{c.ko[0]} {frames_ko.NUMBERS[n]} {c.counter}",
        }
        yield {**text, "things": [want(c, count=n)], "turn": n}


def colours(held: bool) -> Iterator[dict[str, Any]]:
    for c in pool():
        for colour in tints(c):
            if held_out(c.name, colour) == held:
                things = [want(c, colour=colour)]
                yield {
                    "en": en(c, colour),
                    "ko": ko(c, colour),
                    "things": things,
                    "turn": COLOURS.index(colour),
                }


def position(held: bool) -> Iterator[dict[str, Any]]:
    for (a, b), side in product(pairs(held), SIDES):
        middle = f"to the {side}" if side.endswith(" of") else side
        where = {"above": "위쪽에"}.get(side, frames_ko.RELATIONS[side][0])  # 위에 is "on" as well
        text = {"en": f"{en(a)} {middle} {en(b)}", "ko": f"{ko(b)} {where} 있는 {ko(a)}"}
        yield {**text, "things": [want(a), want(b)], "relation": side, "turn": SIDES.index(side)}


def attribution(held: bool) -> Iterator[dict[str, Any]]:
    for a, b in pairs(held):
        for x, y in product(tints(a), tints(b)):
            if x != y and not held_out(a.name, x) and not held_out(b.name, y):
                text = {"en": f"{en(a, x)} and {en(b, y)}", "ko": f"{josa(ko(a, x), '과')} {ko(b, y)}"}
                things = [want(a, colour=x), want(b, colour=y)]
                yield {**text, "things": things, "turn": COLOURS.index(x)}


def style(held: bool) -> Iterator[dict[str, Any]]:
    for c, (i, name), ground in product(pool(), enumerate(STYLES), BACKGROUNDS):
        if ground in frames_en.PLACES_ON:
            en_on, ko_on = frames_en.PLACES_ON[ground][0], frames_ko.PLACES_ON[ground][0]
        else:
            en_on = f"on {with_article(frames_en.PLAIN[ground][0])} background"
            ko_on = f"{frames_ko.PLAIN[ground][0]} 배경에"
        # every style with four backgrounds, every background at least once
        turn = next(
            (k for k in range(EACH) if k % 5 == i and BACKGROUNDS[8 * k % len(BACKGROUNDS)] == ground), None
        )
        if turn is None or (name != "line" and not stands_out(shape_of(c.name, name).colour, ground)):
            continue
        picture = with_article(frames_en.STYLE_PICTURES[name][0])
        text = {
            "en": f"{picture} of {en(c)} {en_on}",
            "ko": f"{ko_on} {josa(ko(c), '이')} 있는 {frames_ko.STYLE_PICTURES[name][0]}",
        }
        yield {**text, "things": [want(c)], "style": name, "background": ground, "turn": turn}


if __name__ == "__main__":
    main()
