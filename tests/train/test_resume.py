"""A run that is killed and resumed is the run that was not: the promise on which long training rests."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from armchair.core.errors import BadInput, TrainingError
from armchair.train import build_task, folder, run
from armchair.train.metrics import Metrics
from tests.train import made_up
from tests.train.kill import after_updates, killed_and_whole, same_run
from tests.train.made_up import MadeUp, Pictures, recipe


def go(out: Path, resume: bool = False, **changes) -> Path:
    chosen = recipe(**changes)
    return run(chosen, source=Pictures(), task=build_task(chosen), out=out, resume=resume, progress=False)


class Cut(Exception):
    """Stands for a power cut."""


def cut_after(monkeypatch: pytest.MonkeyPatch, updates: int) -> None:
    """Make the run end abruptly when that many updates are in metrics.jsonl."""
    real = Metrics.update

    def update(self: Metrics, step: int, numbers) -> None:
        real(self, step, numbers)
        if step == updates:
            raise Cut

    monkeypatch.setattr(Metrics, "update", update)


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_sigkill_and_resume_equals_uninterrupted(tmp_path: Path):
    """20 updates == 3 + kill, from 0 again to 13 + kill, from 10 to the end: real processes, real SIGKILL,
    with dropout from torch's own generator, and examples that draw. Weights, averages, optimizer, metrics,
    previews and bundle are equal byte for byte.
    """

    def command(out: Path, resume: bool) -> list[str]:
        slow = [] if out.name == "whole" else ["--slow", "0.004"]
        more = ["--resume"] if resume else []
        return [
            sys.executable,
            made_up.__file__,
            "--out",
            str(out),
            "--set",
            "task.dropout=0.2",
            *slow,
            *more,
        ]

    killed_and_whole(command, tmp_path, kills=[after_updates(3), after_updates(13)])


@pytest.mark.parametrize(
    "changes",
    [
        {"accumulate": 2, "ema": 0.0},
        {"precision": "bfloat16", "keep": 1},
        {"optim": made_up.OptimConfig(name="muon", lr=0.01), "clip": 0.0, "workers": 1},
    ],
    ids=["accumulate-no-ema", "bfloat16", "muon-workers"],
)
def test_every_option_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict):
    """The same, cut in one process after update 13, for what the real kill does not cover."""
    whole = go(tmp_path / "whole", **changes)
    with monkeypatch.context() as patch, pytest.raises(Cut):
        cut_after(patch, 13)
        go(tmp_path / "cut", **changes)
    go(tmp_path / "cut", resume=True, **changes)
    same_run(tmp_path / "cut", whole)


def test_damaged_checkpoint_falls_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """The newest checkpoint has a flipped bit: the run goes on from the one before, to the same end."""
    whole = go(tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(Cut):
        cut_after(patch, 13)
        go(tmp_path / "cut")
    weights = tmp_path / "cut" / "checkpoints" / "00000010" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 4
    weights.write_bytes(data)
    go(tmp_path / "cut", resume=True)
    assert "00000010 is damaged and skipped: model.safetensors does not have the sha256" in caplog.text
    same_run(tmp_path / "cut", whole)


def test_finished_run_returns_at_once(tmp_path: Path):
    """--resume in a loop of a shell script must end; nothing is written again."""
    out = go(tmp_path / "run")
    before = {
        path: path.stat().st_mtime_ns
        for path in out.rglob("*")
        if path.is_file() and path.name != "recipe.json"
    }
    go(out, resume=True)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    shutil.rmtree(out / "bundle")
    go(out, resume=True)
    assert (out / "bundle" / "bundle.json").exists(), "killed just before the bundle: resume must write it"


def test_more_steps_go_on(tmp_path: Path):
    """A finished run with a constant rate goes on to more steps, and is the longer run."""
    constant = made_up.ScheduleConfig(kind="constant", warmup=4)
    go(tmp_path / "short", steps=10, schedule=constant)
    go(tmp_path / "short", steps=20, schedule=constant, resume=True)
    same_run(tmp_path / "short", go(tmp_path / "long", schedule=constant))


def test_resume_of_nothing_starts(tmp_path: Path):
    """A job script says --resume from the first day on."""
    same_run(go(tmp_path / "a", resume=True), go(tmp_path / "b"))


def test_new_run_over_an_old_one_is_refused(tmp_path: Path):
    """A week of training must not be overwritten by an arrow-up in a shell."""
    out = go(tmp_path / "run", steps=2)
    with pytest.raises(BadInput, match="holds a run already; go on with --resume, or name another --out"):
        go(out, steps=2)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"batch": 4}, "batch=8, now it is 4"),
        ({"seed": 9}, "seed=3, now it is 9"),
        ({"task": MadeUp(width=16)}, "task.width=8, now it is 16"),
        ({"optim": made_up.OptimConfig(name="muon")}, 'optim.name="adamw", now it is "muon"'),
        ({"ema": 0.0}, "cannot be turned on or off"),
    ],
)
def test_resume_as_another_run_is_refused(tmp_path: Path, changes: dict, message: str):
    """Each would silently train something that is neither the old run nor a new one."""
    out = go(tmp_path / "run", steps=2)
    with pytest.raises(BadInput, match=message):
        go(out, resume=True, **{"steps": 4, **changes})


def test_resume_of_an_older_recipe(tmp_path: Path):
    """A release that gives a config one more field must not end the runs that began before it."""
    out = go(tmp_path / "run", steps=2)
    then = json.loads((out / "recipe.json").read_text())
    del then["task"]["dropout"]
    (out / "recipe.json").write_text(json.dumps(then))
    go(out, steps=4, resume=True)
    assert json.loads((out / "recipe.json").read_text())["task"]["dropout"] == 0.0


def test_resume_with_other_data_is_refused(tmp_path: Path):
    out = go(tmp_path / "run", steps=2)
    chosen = recipe(steps=4)
    with pytest.raises(BadInput, match="50 samples and the data has 51"):
        run(chosen, source=Pictures(51), task=build_task(chosen), out=out, resume=True, progress=False)


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be locked there")
def test_two_processes_in_one_folder_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A job that was started twice would ruin both."""
    monkeypatch.setattr(folder, "PATIENCE", 0.2)
    with folder.RunFolder(tmp_path).lock(), pytest.raises(TrainingError, match="another process is training"):
        go(tmp_path, resume=True)
