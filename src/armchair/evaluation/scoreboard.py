"""docs/scoreboard.md from docs/scoreboard/*.json."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from armchair.evaluation.result import Result, Value, read_result
from armchair.evaluation.suites import NAMES

HEAD = """# Scoreboard

What the shipped bundles can do. `armchair evaluate MODEL --out docs/scoreboard` measures and
`python scripts/scoreboard.py` writes this page from `docs/scoreboard/*.json`.
[How to read it](evaluation.md).
"""


def page(results: Iterable[Result]) -> str:
    """The page: a section a result, full ones before quick ones, in the order of the suites."""
    order = sorted(results, key=lambda r: (r.quick, r.kind, r.model, NAMES.index(r.suite)))
    return "\n".join([HEAD, *(section(result) for result in order)])


def read_folder(folder: Path) -> list[Result]:
    """Every result in a folder. Raises BadInput for a file that is none."""
    return [read_result(path) for path in sorted(folder.glob("*.json"))]


def section(result: Result) -> str:
    quick = ", quick" if result.quick else ""
    facts = [f"bundle `{result.sha256[:12]}`", f"{result.n:,} pictures"]
    if result.prompts is not None:
        facts.append(f"prompts version {result.prompts}")
    facts += [f"{name} `{digest[:12]}`" for name, digest in result.uses.items()]
    facts += [result.date, f"{result.seconds:.0f} s on {result.machine}", f"Armchair {result.armchair}"]
    values = {**result.values, **result.paired}
    return "\n".join(
        [
            f"## {result.model}: {result.suite}{quick}",
            "",
            f"{', '.join(facts)}.",
            "",
            "| | score | 95 % interval | n | ceiling | floor |",
            "|---|---|---|---|---|---|",
            *("| " + " | ".join([name, *cells(value)]) + " |" for name, value in values.items()),
            "",
            result.protocol,
            "",
        ]
    )


def cells(value: Value) -> list[str]:
    """Score, interval, n, ceiling, floor as text; nothing where there is none."""
    low_high = "" if value.interval is None else " to ".join(number(end) for end in value.interval)
    ends = ["" if end is None else number(end) for end in (value.ceiling, value.floor)]
    return [number(value.value), low_high, f"{value.n:,}", *ends]


def number(value: float) -> str:
    """Three decimals for shares, two for what is larger."""
    return f"{value:.3f}" if abs(value) < 2 else f"{value:.2f}"
