"""What a run says about itself, and what it says after a crash."""

from __future__ import annotations

import builtins
import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from armchair.core.errors import MissingDependency
from armchair.train import build_task, metrics, run
from armchair.train.folder import RunFolder
from armchair.train.metrics import Metrics, Shown, clock
from tests.train.made_up import Pictures, recipe


def opened(out: Path, step: int) -> Metrics:
    return Metrics(RunFolder(out), step, steps=20, batch=8, progress=False)


def test_lines_after_the_checkpoint_are_cut_off(tmp_path: Path):
    """Killed at update 7, in the middle of a line, resumed from 5: lines 6 and 7 come once in the end."""
    first = opened(tmp_path, 0)
    for step in range(1, 8):
        first.update(step, {"loss": float(step)})
        if step in (5, 6):
            first.scores(step, {"error": 0.5})
    first.close()
    with open(tmp_path / "metrics.jsonl", "ab") as file:
        file.write(b'{"step": 8, "lo')
    opened(tmp_path, 5).close()
    kept = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in kept] == [1, 2, 3, 4, 5, 5]
    assert kept[4] == {"step": 5, "samples": 40, "loss": 5.0}
    assert kept[5]["scores"] == {"error": 0.5}


def test_nothing_tells_the_time(tmp_path: Path):
    """Two runs on two days are the same file: no speed, no date."""
    chosen = recipe(steps=2)
    run(chosen, source=Pictures(), task=build_task(chosen), out=tmp_path, progress=False)
    line = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])
    assert line.keys() == {"step", "samples", "loss", "picture", "text", "grad_norm", "lr"}


def test_tensorboard_has_every_update_once(tmp_path: Path):
    """Read back with TensorBoard itself; what the killed part wrote after its checkpoint is purged."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    first = opened(tmp_path, 0)
    for step in (1, 2, 3):
        first.update(step, {"loss": float(step)})
    first.close()
    second = opened(tmp_path, 2)
    second.update(3, {"loss": 30.0})
    second.close()
    board = EventAccumulator(str(tmp_path / "tb"))
    board.Reload()
    assert [(event.step, event.value) for event in board.Scalars("train/loss")] == [
        (1, 1.0),
        (2, 2.0),
        (3, 30.0),
    ]


def test_missing_tensorboard_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real = builtins.__import__

    def without(name: str, *args: Any, **options: Any) -> Any:
        if name.startswith("torch.utils.tensorboard"):
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(
        MissingDependency, match=r"tensorboard is not installed; pip install 'armchair\[train\]'"
    ):
        opened(tmp_path, 0)


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_shows_speed_and_time_left(monkeypatch: pytest.MonkeyPatch, terminal: bool):
    """A bar on a terminal; in a log file a line now and then, and no control characters."""
    out = io.StringIO()
    monkeypatch.setattr(
        "rich.console.Console", lambda stderr: Console(file=out, force_terminal=terminal, width=100)
    )
    seconds = iter(range(1000))
    monkeypatch.setattr(metrics.time, "monotonic", lambda: float(next(seconds)))
    shown = Shown(0, 100, 8)
    for step in range(1, 41):
        shown.update(step, 0.5)
    assert shown.speed() == 8.0
    shown.say("step 40: error 0.25")
    shown.close()
    said = out.getvalue()
    assert "step 40: error 0.25" in said
    assert "8 samples/s" in said
    if terminal:
        assert "40/100" in said
    else:
        assert "step 31/100, loss 0.5, 8 samples/s, 69 s left" in said
        assert said.count("\n") == 2 and "\x1b" not in said


@pytest.mark.parametrize(
    "seconds, words",
    [(3.2, "3 s"), (89, "89 s"), (600, "10 min"), (3 * 3600 + 1230, "3 h 20 min"), (12.4 * 86400, "12 days")],
)
def test_clock(seconds: float, words: str):
    assert clock(seconds) == words
