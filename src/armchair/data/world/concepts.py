"""The concrete things that Emoji World draws, and the everyday words for them (concepts.json)."""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from armchair.core.errors import BadInput, DataError

# what can be done to a thing -> what its doer is said to be doing
VERBS = {"ride": "riding", "hold": "holding", "play": "playing", "wear": "wearing"}


@dataclass(frozen=True, kw_only=True)
class Concept:
    """One drawable thing.

    name: its unique English key · icon: its file name in the icon sets, or a table style -> name ·
    en, ko: everyday words, the first is the usual one · plural, article: as `en` ·
    number: "count", "mass" ("rice") or "plural" ("scissors") · counter: Korean counting word ·
    animate: can ride, hold, play and wear · verbs: what an animate thing can do to it, of those of VERBS.
    """

    name: str
    icon: str | dict[str, str]
    kind: str
    en: tuple[str, ...]
    ko: tuple[str, ...]
    plural: tuple[str, ...] = ()
    number: str = "count"
    article: tuple[str, ...] = ()
    counter: str = "개"
    animate: bool = False
    verbs: tuple[str, ...] = ()


def _concept(row: dict) -> Concept:
    row = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
    concept = Concept(**row)
    if unknown := set(concept.verbs) - set(VERBS):
        raise ValueError(f"{concept.name} has the verb {unknown.pop()!r}, none of {', '.join(VERBS)}")
    return concept


@cache
def load_concepts(path: Path | None = None) -> tuple[Concept, ...]:
    """Read the concept list (default: the one that ships), most everyday first.

    Raises DataError when the file is not a list of concepts.
    """
    text = (files("armchair.data.world") / "concepts.json" if path is None else path).read_text(
        encoding="utf-8"
    )
    try:
        concepts = tuple(_concept(row) for row in json.loads(text))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise DataError(f"concepts.json does not hold a list of concepts: {error}") from error
    if len({c.name for c in concepts}) < len(concepts):
        raise DataError("concepts.json names a concept twice")
    return concepts


@cache
def by_name() -> dict[str, Concept]:
    """Concept by its key."""
    return {concept.name: concept for concept in load_concepts()}


def find_concept(name: str) -> Concept:
    """The concept of this key; BadInput when there is none."""
    if name not in by_name():
        raise BadInput(f"Emoji World has no concept {name!r}")
    return by_name()[name]
