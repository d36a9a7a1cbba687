"""The commands expand, chat and data recaption, and generate's --expand and --revised."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from armchair.artist import expansion, language
from armchair.cli import main
from tests.dalle1.tiny import write_pictures
from tests.writer.tiny import saying

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def builtin(monkeypatch: pytest.MonkeyPatch) -> None:
    model = saying(lambda *_: ["nothing"])
    monkeypatch.setattr(expansion, "load_writer", lambda *_, **__: model)


def run(*arguments: str) -> int:
    return main(list(arguments))


def test_expand(builtin: None, capsys: Capture):
    """The text alone, or {text}; mistakes in one line before anything is loaded."""
    assert run("expand", "a red cat", "--language", "ko") == 0
    plain = capsys.readouterr().out.strip()
    assert "고양이" in plain
    assert run("expand", "a red cat", "--language", "ko", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"text": plain}
    for arguments in (("",), ("a cat", "--with", "bultin"), ("a cat", "--language", "fr")):
        assert run("expand", *arguments) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_generate_tells_what_it_drew(shipped: Path, builtin: None, capsys: Capture):
    """revised_prompt in the JSON, from the writer or as the person has it."""
    draw = ("generate", "a red cat", "--model", "toy", "--seed", "1", "--json")
    assert run(*draw, "--expand", "builtin") == 0
    written = json.loads(capsys.readouterr().out)[0]["revised_prompt"]
    assert len(written.split()) >= 15
    assert run(*draw, "--revised", written + " Big.") == 0
    assert json.loads(capsys.readouterr().out)[0]["revised_prompt"] == written + " Big."
    assert run(*draw) == 0
    assert json.loads(capsys.readouterr().out)[0]["revised_prompt"] is None


def test_chat_reads_a_script(shipped: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture):
    """A line a turn; what cannot be done is noted, and the next line comes; the folder goes on."""
    lines = "a cat\n\nmake it red\nundo\nundo\nquit\na dog\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    assert run("chat", "--model", "toy", "--seed", "3", "--out", "story") == 0
    shown = capsys.readouterr()
    paths = shown.out.split()
    assert len(paths) == 3 and paths[2] == paths[0] and all(Path(path).exists() for path in paths)
    assert "nothing before this" in shown.err
    monkeypatch.setattr("sys.stdin", io.StringIO("make it blue\n"))
    assert run("chat", "--model", "toy", "--out", "story", "--json") == 0
    row = json.loads(capsys.readouterr().out)[0]
    assert (row["prompt"], row["seed"], row["action"]) == ("a blue cat", 3, "change")
    assert {"path", "revised_prompt", "size", "seconds"} <= set(row) and row["size"] == "16x16"


def test_chat_refuses_before_the_first_turn(shipped: Path, capsys: Capture):
    """A size that the model does not draw would fail at every turn."""
    for option, words in ((("--size", "10x10"), "it draws 16x16"), (("--steps", "3"), "no option 'steps'")):
        assert run("chat", "--model", "toy", *option) == 2
        assert words in capsys.readouterr().err


def test_recaption(shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture):
    """The table's path on stdout, how many and how fast beside it; a second run has nothing to do."""
    folder = write_pictures(tmp_path / "pictures", 4)

    class Fake:
        def caption(self, images, kind, spoken, **options):
            return [f"{kind} {spoken} {seed % 7}" for seed in options["seeds"]]

    monkeypatch.setattr(language, "load_captioner", lambda *_: Fake())
    command = ("data", "recaption", str(folder), "--languages", "en,ko", "--model", "toy")
    assert run(*command) == 0
    shown = capsys.readouterr()
    assert shown.out.strip() == str(folder / "recaptions.jsonl") and "4 pictures in" in shown.err
    row = json.loads((folder / "recaptions.jsonl").read_text().splitlines()[0])
    kinds = [(c["kind"], c["language"]) for c in row["captions"]]
    assert kinds == [("short", "en"), ("short", "ko"), ("long", "en"), ("long", "ko")]
    assert run(*command, "--json") == 0
    assert json.loads(capsys.readouterr().out)["captioned"] == 0
    assert run(*command, "--kinds", "lng") == 2
    assert "--kinds 'lng' is none of short, long, alt. Did you mean 'long'" in capsys.readouterr().err


def test_caption(shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture):
    """--long and --language reach the captioner."""

    class Fake:
        def caption(self, images, kind, spoken):
            return [f"{kind} {spoken} {images[0].size}"]

    monkeypatch.setattr(language, "load_captioner", lambda *_: Fake())
    folder = write_pictures(tmp_path / "pictures", 1)
    assert run("caption", str(folder / "000.png"), "--long", "--language", "ko", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"text": "long ko (20, 20)"}
