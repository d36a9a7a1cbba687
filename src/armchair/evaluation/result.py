"""What an evaluation says: numbers with intervals, ceiling and floor, and all that is needed to repeat it.

One JSON file a model and suite: docs/scoreboard/MODEL-SUITE.json.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from armchair.core.config import from_json, to_json
from armchair.core.errors import BadInput
from armchair.evaluation.bootstrap import Estimate, Table, difference, item_means, mean, paired
from armchair.evaluation.prompts import LANGUAGES

SCHEMA = 1
OVERALL = "overall"
NAMES = {"en": "English", "ko": "Korean"}


@dataclass(frozen=True, kw_only=True)
class Value:
    """One number of a result."""

    value: float
    interval: tuple[float, float] | None = None  # 95 %
    n: int  # independent things behind it: prompts, scenes
    ceiling: float | None = None  # the same number for the renderer's pictures
    floor: float | None = None  # and for shuffled prompts


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a suite found out; `Result` adds what, when and where."""

    n: int  # pictures
    values: dict[str, Value]
    protocol: str  # how it was measured, in words
    paired: dict[str, Value] = field(default_factory=dict[str, Value])  # differences on the same items
    prompts: int | None = None  # version of prompts.json
    headline: tuple[str, ...] = ()  # strata whose mean is the score that one bundle beats another by
    scores: Table = field(default_factory=dict)  # pictures' scores, to compare with another result


@dataclass(frozen=True, kw_only=True)
class Rows:
    """One stratum of a score table as a file holds it."""

    items: tuple[str, ...]
    scores: dict[str, tuple[tuple[float, ...], ...]]  # language -> the pictures' scores, an item each

    @classmethod
    def of(cls, rows: dict[str, dict[str, list[float]]]) -> Rows:
        languages = dict.fromkeys(language for item in rows.values() for language in item)
        scores = {
            language: tuple(tuple(_short(x) for x in item.get(language, ())) for item in rows.values())
            for language in languages
        }
        return cls(items=tuple(rows), scores=scores)

    def table(self) -> dict[str, dict[str, list[float]]]:
        return {
            item: {language: list(scores[i]) for language, scores in self.scores.items() if scores[i]}
            for i, item in enumerate(self.items)
        }


@dataclass(frozen=True, kw_only=True)
class Result:
    schema: int
    model: str
    kind: str
    sha256: str  # of its bundle.json, which holds the sha256 of all else
    suite: str
    quick: bool
    n: int
    prompts: int | None
    values: dict[str, Value]
    paired: dict[str, Value]
    uses: dict[str, str]  # yardstick -> sha256 of its bundle.json or file
    protocol: str
    machine: str
    date: str  # YYYY-MM-DD
    seconds: float
    armchair: str
    headline: tuple[str, ...]
    scores: dict[str, Rows]

    @property
    def file_name(self) -> str:
        return f"{self.model}-{self.suite}{'-quick' if self.quick else ''}.json"

    @property
    def table(self) -> Table:
        return {stratum: rows.table() for stratum, rows in self.scores.items()}

    def file(self) -> bytes:
        """The result as a JSON file, a stratum's scores in one line."""
        data = to_json(self)
        rows = data.pop("scores")
        lines = [f"    {json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in rows.items()]
        head = json.dumps(data, indent=2, ensure_ascii=False).removesuffix("\n}")
        return "\n".join([f'{head},\n  "scores": {{', ",\n".join(lines), "  }", "}", ""]).encode()


def read_result(path: Path) -> Result:
    """Raises BadInput for a file that is missing or no result of this schema."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}; name a file that armchair evaluate --out wrote") from error
    except ValueError as error:
        raise BadInput(f"{path} is damaged: {error}") from error
    return from_json(Result, data, str(path))


def as_value(found: Estimate, ceiling: float | None = None, floor: float | None = None) -> Value:
    low, high = _round(found.low), _round(found.high)
    return Value(
        value=_round(found.value), interval=(low, high), n=found.n,
        ceiling=None if ceiling is None else _round(ceiling), floor=None if floor is None else _round(floor),
    )  # fmt: skip


def summarise(
    scores: Table, headline: Sequence[str], ceiling: Table | None = None, floor: Table | None = None
) -> dict[str, Value]:
    """The overall score (the mean of the headline's strata), by language, then every stratum."""

    def end(table: Table | None, strata: Sequence[str], language: str | None) -> float | None:
        if table is None or any(s not in table for s in strata):
            return None
        known = None if all("" in item for s in strata for item in table[s].values()) else language
        return float(np.mean([item_means(table, s, known).mean() for s in strata]))

    def value(strata: Sequence[str], language: str | None = None) -> Value:
        ends = end(ceiling, strata, language), end(floor, strata, language)
        return as_value(mean(scores, strata, language), *ends)

    head = [s for s in headline if s in scores]
    values = {OVERALL: value(head)} if len(head) > 1 else {}
    if bilingual(scores):
        values |= {NAMES[language]: value(head, language) for language in LANGUAGES}
    return values | {stratum: value([stratum]) for stratum in scores}


def korean_less_english(scores: Table, headline: Sequence[str]) -> dict[str, Value]:
    """How much higher Korean scores than English on the same prompts and seeds; empty without both."""
    if not bilingual(scores):
        return {}
    head = [s for s in headline if s in scores]
    return {"Korean - English": as_value(difference(scores, head, "ko", "en"))}


def bilingual(scores: Table) -> bool:
    """Whether every stratum has both languages, if not at every item: what names nothing has no colours."""
    said = [{language for item in rows.values() for language in item} for rows in scores.values()]
    return bool(said) and all(set(LANGUAGES) <= languages for languages in said)


def compare(new: Result, old: Result) -> dict[str, Value]:
    """How much higher `new` scores than `old` on the same prompts and seeds: overall, then every stratum.

    Raises BadInput where the two were not measured alike.
    """
    for name in ("suite", "quick", "prompts", "uses"):
        a, b = getattr(new, name), getattr(old, name)
        if a != b:
            raise BadInput(
                f"{old.model} and {new.model} do not compare: {name} is {b!r} there and {a!r} here"
            )
    if not new.scores:
        raise BadInput(
            f"the suite {new.suite} keeps no scores of single pictures: it cannot be compared in pairs"
        )
    if _measured(new) != _measured(old):
        raise BadInput(f"{old.model} and {new.model} do not compare: they were measured on other prompts")
    ours, theirs = _shared(new.table, old.table), _shared(old.table, new.table)
    return {
        OVERALL: as_value(paired(ours, theirs, [s for s in new.headline if ours[s]])),
        **{s: as_value(paired(ours, theirs, [s])) for s in ours if ours[s]},
    }


def _measured(result: Result) -> tuple[set[str], set[str]]:
    """Strata, and prompts of any of them"""
    return set(result.scores), {item for rows in result.scores.values() for item in rows.items}


def _shared(table: Table, other: Table) -> Table:
    """What of a table the other has too: the colour of a thing is scored where the thing is named at all"""
    return {
        stratum: {
            item: here
            for item, row in rows.items()
            if (here := {k: v for k, v in row.items() if k in other[stratum].get(item, {})})
        }
        for stratum, rows in table.items()
    }


def better(differences: Mapping[str, Value]) -> bool:
    """Whether a bundle may replace the old one: all of the overall difference's interval is above zero."""
    interval = differences[OVERALL].interval
    assert interval is not None
    return interval[0] > 0


def machine() -> str:
    """The processor, its cores and the threads that torch uses."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores, torch on {torch.get_num_threads()}"


def _short(value: float) -> float:
    """1 for 1.0: shorter in a file."""
    return int(value) if value == int(value) else value


def _round(value: float) -> float:
    """Six significant digits: what follows differs between processors."""
    return float(f"{value:.6g}")
