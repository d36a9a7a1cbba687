"""What a result file holds, comparing two of them, and the page made from them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from armchair.core.errors import BadInput
from armchair.evaluation.bootstrap import Table
from armchair.evaluation.result import (
    Result,
    Rows,
    Value,
    better,
    compare,
    korean_less_english,
    machine,
    read_result,
    summarise,
)
from armchair.evaluation.scoreboard import number, page, read_folder
from armchair.evaluation.suites import NAMES

ROOT = Path(__file__).parents[2]
TABLE: Table = {
    "two": {f"two/{i}": {"en": [1.0, 1.0], "ko": [float(i % 2), 0.5]} for i in range(20)},
    "single": {f"single/{i}": {"en": [1.0], "ko": [1.0]} for i in range(20)},
}


def result(table: Table = TABLE, **changes) -> Result:
    head = ("single", "two")
    given = {
        "schema": 1, "model": "toy", "kind": "dalle1", "sha256": "a" * 64, "suite": "geneval", "quick": False,
        "n": 120, "prompts": 1, "values": summarise(table, head), "paired": korean_less_english(table, head),
        "uses": {"judge": "b" * 64}, "protocol": "As it is.", "machine": "M", "date": "2026-11-20",
        "seconds": 3.5, "armchair": "0.1.0", "headline": head,
        "scores": {s: Rows.of(rows) for s, rows in table.items()},
    }  # fmt: skip
    return Result(**{**given, **changes})


def test_values():
    """Overall is the mean of the headline, by language too; ceilings without a language count for both."""
    ceiling: Table = {s: {i: {"": [0.9]} for i in rows} for s, rows in TABLE.items()}
    values = summarise(TABLE, ("single", "two"), ceiling=ceiling, floor=TABLE)
    assert list(values) == ["overall", "English", "Korean", "two", "single"]
    assert values["overall"].value == pytest.approx((1 + 0.75) / 2)
    assert values["English"].value == 1.0 and values["Korean"].value == 0.75
    assert values["Korean"].ceiling == 0.9 and values["Korean"].floor == 0.75
    assert values["two"].n == 20
    assert korean_less_english(TABLE, ("two",))["Korean - English"].value == -0.5
    one: Table = {"PSNR": {"0": {"": [20.0]}, "1": {"": [30.0]}}}
    assert list(summarise(one, ("PSNR",))) == ["PSNR"]
    assert korean_less_english(one, ("PSNR",)) == {}
    silent: Table = {"two": {**TABLE["two"], "more": {"en": [1.0]}}}  # nothing to score in Korean there
    assert {"English", "Korean"} <= set(summarise(silent, ("two",)))
    assert korean_less_english(silent, ("two",)) == korean_less_english(TABLE, ("two",))
    assert summarise({}, ("two",)) == {} == korean_less_english({}, ("two",))


def test_file(tmp_path: Path):
    """Written and read again it is the same; a line a stratum, so that a thousand scenes do not make a
    thousand lines.
    """
    path = tmp_path / result().file_name
    assert path.name == "toy-geneval.json"
    path.write_bytes(result().file())
    assert read_result(path) == result()
    assert read_result(path).table == TABLE
    lines = path.read_text().splitlines()
    assert sum("two/19" in line for line in lines) == 1 and json.loads(path.read_text())["n"] == 120
    assert result(quick=True).file_name == "toy-geneval-quick.json"


def test_damaged_file(tmp_path: Path):
    """Each names the file."""
    path = tmp_path / "x.json"
    with pytest.raises(BadInput, match=r"x\.json: No such file"):
        read_result(path)
    path.write_text("{")
    with pytest.raises(BadInput, match=r"x\.json is damaged"):
        read_result(path)
    path.write_text("{}")
    with pytest.raises(BadInput, match=r"x\.json"):
        read_result(path)


def test_compare():
    """Pairs on the same prompts; a bundle is better only where the whole interval is above zero."""
    worse: Table = {
        s: {i: {lang: [x * 0.9 for x in xs] for lang, xs in row.items()} for i, row in rows.items()}
        for s, rows in TABLE.items()
    }
    gains = compare(result(), result(worse))
    assert list(gains) == ["overall", "two", "single"]
    assert gains["single"].value == pytest.approx(0.1)
    assert better(gains)
    assert not better(compare(result(worse), result()))
    assert not better(compare(result(), result()))


def test_compare_where_one_scored_less():
    """What a captioner does not name has no colour: pairs are of what both have."""
    item = next(iter(TABLE["single"]))
    less: Table = {**TABLE, "single": {i: row for i, row in TABLE["single"].items() if i != item}}
    everywhere: Table = {"all": TABLE["single"]}
    gains = compare(result({**TABLE, **everywhere}), result({**less, **everywhere}))
    assert gains["single"].value == gains["overall"].value == 0
    others: Table = {**TABLE, "single": {item: TABLE["single"][item]}}
    gains = compare(result({**less, **everywhere}), result({**others, **everywhere}))  # none in common
    assert "single" not in gains and gains["overall"].value == gains["two"].value


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"suite": "clipscore"}, "suite is 'clipscore' there"),
        ({"quick": True}, "quick is True there and False here"),
        ({"prompts": 2}, "prompts is 2 there"),
        ({"uses": {"judge": "c" * 64}}, "uses is"),
        ({"scores": {}}, "other prompts"),
    ],
)
def test_what_does_not_compare(changes: dict, words: str):
    """Another judge, other prompts: a difference would say nothing about the bundles."""
    with pytest.raises(BadInput, match=words):
        compare(result(), result(**changes))


def test_without_scores_nothing_compares_in_pairs():
    with pytest.raises(BadInput, match="keeps no scores of single pictures"):
        compare(result(scores={}), result(scores={}))


def test_page():
    """Full results before quick ones, numbers with intervals, ceilings where there are any."""
    quick = result(quick=True, values={"PSNR": Value(value=24.523, n=3, interval=(24.0, 25.0), ceiling=1.0)})
    text = page([quick, result()])
    assert text.index("## toy: geneval\n") < text.index("## toy: geneval, quick")
    assert "| PSNR | 24.52 | 24.00 to 25.00 | 3 | 1.000 |  |" in text
    assert "| Korean - English | -0.250 |" in text
    assert "prompts version 1, judge `bbbbbbbbbbbb`" in text
    assert [number(x) for x in (0.12345, -0.5, 24.525)] == ["0.123", "-0.500", "24.52"]


def test_the_page_is_up_to_date():
    """A result that is committed without `python scripts/scoreboard.py` would not be seen by anybody."""
    results = read_folder(ROOT / "docs" / "scoreboard")
    assert (ROOT / "docs" / "scoreboard.md").read_text(encoding="utf-8") == page(results)
    for found, path in zip(results, sorted((ROOT / "docs" / "scoreboard").glob("*.json")), strict=True):
        assert path.name == found.file_name and found.suite in NAMES and found.schema == 1
        assert replace(found, date="") != found


def test_machine():
    assert "cores, torch on" in machine()
