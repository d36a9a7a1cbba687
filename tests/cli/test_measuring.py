"""The commands score and evaluate: tables for people, JSON for programs, and mistakes in one line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from armchair.artist import scores
from armchair.cli import main
from armchair.core.picture import read_recipe
from armchair.evaluation import suites
from armchair.evaluation.result import Measured, Value, read_result, summarise
from armchair.evaluation.session import Session

Capture = pytest.CaptureFixture[str]
SHADES = {"dark": 0.25, "light": 0.75}


@pytest.fixture
def clip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores a picture by how near its grey is to the text's."""

    def score(images, texts):
        grey = torch.tensor([sum(image.resize((1, 1)).getpixel((0, 0))) / 765 for image in images])
        return 1 - (grey[:, None] - torch.tensor([SHADES[text] for text in texts])).abs()

    model = SimpleNamespace(score=score)
    monkeypatch.setattr(scores, "load_clip", lambda *_, **__: (model, SimpleNamespace(digest="c")))


def test_score_best_first(shipped: Path, clip: None, capsys: Capture):
    """Every picture with every text; the paths as they were given."""
    for name, grey in (("a", 64), ("b", 191)):
        Image.new("RGB", (4, 4), (grey,) * 3).save(f"{name}.png")
    arguments = ["score", "a.png", "b.png", "--prompt", "dark", "--prompt", "light"]
    assert main([*arguments, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["path"], row["prompt"]) for row in rows[:2]] == [("a.png", "dark"), ("b.png", "light")]
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
    assert set(rows[0]) == {"path", "prompt", "score"} and len(rows) == 4
    assert main(arguments) == 0
    assert [line.split()[1:] for line in capsys.readouterr().out.splitlines()[:2]] == [
        ["a.png", "dark"],
        ["b.png", "light"],
    ]


def test_rerank(shipped: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture):
    """One path a picture that is kept, the best first, and the rank inside the PNG."""
    from armchair.artist import artist

    model = SimpleNamespace(score=lambda images, texts: torch.arange(len(images)).float()[:, None])
    monkeypatch.setattr(artist, "load_clip", lambda *_, **__: (model, SimpleNamespace(digest="c")))
    arguments = ["generate", "x", "--model", "toy", "--seed", "1", "--n", "2", "--rerank", "11"]
    assert main(arguments) == 0
    assert capsys.readouterr().out.splitlines() == ["out/11-x.png", "out/10-x.png"]
    assert read_recipe("out/10-x.png")["rerank"] == {"of": 11, "rank": 2, "score": 9.0, "clip": "c"}
    assert main(["redo", "out/10-x.png"]) == 0
    assert main([*arguments, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out.split("\n", 1)[1])
    assert [row["seed"] for row in rows] == [11, 10] and all(row["seconds"] > 0 for row in rows)


def measured(share: float):
    """A suite that finds the same share of twenty prompts right."""

    def suite(session: Session) -> Measured:
        session.tell("measuring", 1, 2)
        session.uses["judge"] = "d" * 64
        rows = {f"p{i}": {"en": [float(i < 20 * share)], "ko": [1.0]} for i in range(20)}
        scores = {"two": rows, "single": rows}
        value = Value(value=24.5, n=3, ceiling=30.0)
        values = {**summarise(scores, ("two", "single")), "PSNR": value}
        return Measured(
            n=40, values=values, protocol="As it is.", prompts=1, headline=("two", "single"), scores=scores
        )

    return suite


@pytest.fixture
def suite(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """The kind "toy" has two suites; `made.share` is what they find."""
    made = SimpleNamespace(share=0.5)
    module = SimpleNamespace(one=lambda s: measured(made.share)(s), two=lambda s: measured(1.0)(s))
    monkeypatch.setitem(suites.SUITES, "toy", {"geneval": "a_suite:one", "clipscore": "a_suite:two"})
    monkeypatch.setitem(sys.modules, "a_suite", module)
    yield made


def test_evaluate(suite: SimpleNamespace, capsys: Capture):
    """Every suite of the kind, a file each, a table for people."""
    assert main(["evaluate", "toy", "--quick", "--out", "results"]) == 0
    said = capsys.readouterr()
    assert "toy · geneval (quick): 40 pictures" in said.out
    row = next(line for line in said.out.splitlines() if line.strip().startswith("English"))
    assert row.split()[1] == "0.500" and " to " in row
    assert "PSNR" in said.out and "24.50" in said.out and "30.00" in said.out
    assert sorted(path.name for path in Path("results").iterdir()) == [
        "toy-clipscore-quick.json",
        "toy-geneval-quick.json",
    ]
    result = read_result(Path("results/toy-geneval-quick.json"))
    assert (result.suite, result.quick, result.kind, len(result.sha256)) == ("geneval", True, "toy", 64)
    assert "wrote results/toy-geneval-quick.json" in said.err


def test_evaluate_json(suite: SimpleNamespace, capsys: Capture):
    """One object; pictures' scores stay in the files."""
    assert main(["evaluate", "toy", "--suite", "geneval", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"model", "sha256", "suites"} and list(found["suites"]) == ["geneval"]
    row = found["suites"]["geneval"]
    assert row["values"]["English"]["value"] == 0.5 and "scores" not in row
    assert row["uses"] == {"judge": "d" * 64}


def test_against_an_earlier_result(suite: SimpleNamespace, capsys: Capture):
    """The earlier file names the suite; only a gain that is sure allows a replacement."""
    assert main(["evaluate", "toy", "--suite", "geneval", "--out", "old"]) == 0
    for share, better in ((0.9, True), (0.5, False), (0.4, False)):
        suite.share = share
        capsys.readouterr()
        assert main(["evaluate", "toy", "--against", "old/toy-geneval.json", "--json"]) == 0
        row = json.loads(capsys.readouterr().out)["suites"]["geneval"]["against"]
        assert row["better"] is better
        assert row["differences"]["overall"]["value"] == pytest.approx((share - 0.5) / 2)
    suite.share = 0.9
    assert main(["evaluate", "toy", "--against", "old/toy-geneval.json"]) == 0
    assert "better: it may replace the old one" in capsys.readouterr().out
    assert main(["evaluate", "toy", "--against", "old/toy-geneval.json", "--quick"]) == 2
    assert "was measured without --quick: do so here too" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["score", "a.png"], "Missing option '--prompt'"),
        (["score", "--prompt", "x"], "Missing argument 'IMAGE"),
        (["score", "missing.png", "--prompt", "x"], "missing.png: no such file"),
        (["score", "a.png", "--prompt", ""], "a text is empty"),
        (["score", "a.png", "--prompt", "x"], "score needs a clip bundle: unknown model 'clip'"),
        (["evaluate", "tyo"], "unknown model 'tyo'. Did you mean 'toy'?"),
        (["evaluate", "toy", "--suite", "genval"], "Did you mean 'geneval'"),
        (["evaluate", "toy"], "there is no suite for toy bundles"),
        (["evaluate", "toy", "--against", "no.json"], "no.json"),
        (["evaluate", "part", "--suite", "prior"], "prior is no suite of dalle1 bundles"),
        (
            ["evaluate", "part", "--suite", "geneval", "--inception", "x"],
            "--inception is for the suite distance",
        ),
        (["evaluate", "part", "--out", "a.png"], "--out a.png is a file"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_mistakes(shipped: Path, toy, arguments: list[str], words: str, capsys: Capture):
    """One line, exit 2, before anything is drawn."""
    Image.new("RGB", (4, 4)).save("a.png")
    toy.save_toy(shipped / "part", kind="dalle1")
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert words in said.err
