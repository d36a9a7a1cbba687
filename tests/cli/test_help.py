"""The front door: help is instant and whole, and every mistake on the command line is one line and exit 2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from armchair.cli import main
from armchair.cli.app import COMMANDS, DATA
from armchair.cli.recipe_names import about, recipe_names

HELP_SECONDS = 0.5  # DESIGN section 4


def cpu_seconds(command: list[str]) -> float:
    """Processor time of a command, which a busy machine does not stretch as it does wall time."""
    before = os.times()
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def test_help_is_instant():
    """The best of three cold processes, since the first may compile byte code."""
    assert min(cpu_seconds([sys.executable, "-m", "armchair", "--help"]) for _ in range(3)) < HELP_SECONDS


@pytest.mark.parametrize(
    "arguments", [["--help"], ["generate", "--help"], ["train", "--help"], ["--version"]]
)
def test_help_imports_nothing_heavy(arguments: list[str]):
    """The reason why it is instant; a stray import at the top of a file would be seen here first."""
    code = (
        f"import sys; from armchair.cli import main; assert main({arguments!r}) == 0;"
        "print([m for m in ('torch', 'numpy', 'PIL', 'rich', 'safetensors') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.parametrize(
    "command",
    [[name] for name in COMMANDS] + [["data", name] for name in DATA],
    ids=lambda words: "-".join(words),
)
def test_every_command_has_help_with_an_example(command: list[str], capsys: pytest.CaptureFixture[str]):
    """A command without an example is one that people guess at."""
    assert main([*command, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"Usage: armchair {' '.join(command)}" in text
    if command != ["data"]:
        assert f"armchair {' '.join(command)}" in text.split("Example")[1]


def test_the_list_names_every_command(capsys: pytest.CaptureFixture[str]):
    """Nothing at all is a question too: it gets the list."""
    assert main([]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)
    assert main(["data"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in DATA)


def test_a_recipe_is_told_in_whole_sentences():
    """The list once took the first line of the docstring, which may end in the middle of one."""
    assert [name for name, path in recipe_names().items() if not about(path).endswith(".")] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["genrate", "x"], "no command 'genrate'. Did you mean 'generate'?"),
        (["data", "chek"], "no command 'chek'. Did you mean 'check'?"),
        (["generate"], "Missing argument 'PROMPT'"),
        (["generate", "x", "--n", "many"], "--n is 'many'; a whole number is needed; see armchair generate"),
        (["generate", "x", "--guidance", "much"], "--guidance is 'much'; a number is needed"),
        (["generate", "x", "--sed", "3"], "--seed"),
        (["generate", "x", "--n"], "--n"),
        (["generate", "x", "y"], "y"),
        (["--nonsense"], "--nonsense"),
        (["generate", ""], "the prompt is empty"),
        (["generate", "x", "--n", "65"], "n is 65; 1 to 64"),
        (["generate", "x", "--n", "0"], "n is 0"),
        (["generate", "x", "--model", "dale9000"], "unknown model 'dale9000'"),
        (["complete", "missing.png", "x"], "missing.png: no such file"),
        (["redo", "missing.png"], "missing.png: no such file"),
        (["verify", "nothing"], "unknown model 'nothing'"),
        (["inspect", "nothing"], "no model or recipe 'nothing'"),
        (["train", "dalle1_dvae_tinny"], "Did you mean 'dalle1_dvae_tiny'"),
        (["train", "dalle1_dvae_tiny", "--set", "steps"], "key=value"),
        (["train", "dalle1_dvae_tiny", "--using", "x"], "STAGE=BUNDLE"),
        (["train", "all"], "stages one by one"),
        (["bench", "nothing"], "no benchmark 'nothing'"),
        (["data", "check", "missing"], "missing"),
        (["data", "world", "--out", "w", "--n", "0"], "n 0"),
    ],
    ids=lambda value: "-".join(value)[:40] if isinstance(value, list) else "",
)
def test_mistakes_are_one_line_and_exit_2(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    """One printer for all of them, Typer's own usage errors included; no traceback, nothing on stdout."""
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert words in said.err


def test_the_unexpected_is_one_line_and_exit_1(
    shipped: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """A bug of ours is no wall of text either; ARMCHAIR_DEBUG=1 brings the traceback."""
    import armchair.artist.artist as module

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(module, "load", broken)
    monkeypatch.delenv("ARMCHAIR_DEBUG", raising=False)
    assert main(["generate", "x", "--model", "toy"]) == 1
    said = capsys.readouterr().err
    assert said == "error: RuntimeError: two lines (unexpected; ARMCHAIR_DEBUG=1 shows where)\n"
    monkeypatch.setenv("ARMCHAIR_DEBUG", "1")
    with pytest.raises(RuntimeError):
        main(["generate", "x", "--model", "toy"])


def test_stopping_is_no_error_of_ours(
    shipped: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Ctrl-C: one word and the usual status."""
    import armchair.artist.artist as module

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "load", stop)
    assert main(["generate", "x", "--model", "toy"]) == 130
    assert capsys.readouterr().err == "error: stopped\n"


def test_hangul_survives_an_ascii_terminal(shipped: Path):
    """LANG=C must not end in UnicodeEncodeError."""
    env = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "armchair", "generate", "x", "--model", "빨강"],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "unknown model" in done.stderr
