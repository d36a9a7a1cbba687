"""Checkpoints: whole or absent, checked on load, and always a good one left."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from armchair.core.errors import ArmchairError, TrainingError
from armchair.train import checkpoint
from armchair.train.checkpoint import Checkpoint, State
from tests.train.kill import environment


def made(step: int) -> Checkpoint:
    weight = torch.full((3, 4), float(step))
    state = State(step=step, samples_seen=8 * step, scores={"error": 0.1 * step})
    return Checkpoint(state, {"w": weight, "tied": weight}, {"w": weight + 1}, {"exp_avg/w": weight[:2].T})


def steps(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in folder.iterdir())


def test_round_trip(tmp_path: Path):
    """Every tensor and number back, tied weights, slices and transposes included, which safetensors alone
    refuses.
    """
    path = checkpoint.save(tmp_path, made(12), keep=2)
    assert path.name == "00000012"
    back, was = checkpoint.load(path), made(12)
    assert back.state == was.state
    for ours, theirs in ((back.model, was.model), (back.ema, was.ema), (back.optimizer, was.optimizer)):
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_same_state_is_the_same_bytes(tmp_path: Path):
    """No time stamps and no order of the day inside the files."""
    one, two = (checkpoint.save(tmp_path / name, made(3), keep=1) for name in "ab")
    for file in one.iterdir():
        assert file.read_bytes() == (two / file.name).read_bytes()


def test_newest_are_kept(tmp_path: Path):
    for step in (10, 20, 30, 40):
        checkpoint.save(tmp_path, made(step), keep=2)
    assert steps(tmp_path) == [30, 40]
    checkpoint.save(tmp_path, made(50), keep=1)
    assert steps(tmp_path) == [50]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


DAMAGE = {
    "a flipped bit": (
        lambda path: flip(path / "model.safetensors"),
        "model.safetensors does not have the sha256",
    ),
    "cut short": (lambda path: (path / "ema.safetensors").write_bytes(b"x"), "ema.safetensors has 1 bytes"),
    "a missing file": (
        lambda path: (path / "optimizer.safetensors").unlink(),
        "optimizer.safetensors is missing",
    ),
    "no manifest": (lambda path: (path / "manifest.json").unlink(), "manifest.json is missing"),
    "a broken manifest": (lambda path: (path / "manifest.json").write_text("{"), "not what was written"),
    "a manifest of something": (
        lambda path: (path / "manifest.json").write_text("[]"),
        "not what was written",
    ),
    "another format": (lambda path: (path / "manifest.json").write_text('{"format": 9}'), "format 9, not 1"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_newest_is_skipped(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture):
    """The one before is used, with a warning that says why; loading the damaged one says the same."""
    damage, reason = DAMAGE[name]
    for step in (10, 20):
        checkpoint.save(tmp_path, made(step), keep=2)
    damage(tmp_path / "00000020")
    assert checkpoint.resume_point(tmp_path) == tmp_path / "00000010"
    assert "00000020 is damaged and skipped: " in caplog.text and reason in caplog.text
    with pytest.raises(TrainingError, match=reason):
        checkpoint.load(tmp_path / "00000020")


def test_damaged_future_never_outlives_the_good(tmp_path: Path):
    """Resumed from 10 since 20 has a flipped bit, a run saves 15: keeping "the newest one" must not keep 20
    alone.
    """
    for step in (10, 20):
        checkpoint.save(tmp_path, made(step), keep=2)
    flip(tmp_path / "00000020" / "model.safetensors")
    checkpoint.save(tmp_path, made(15), keep=1)
    assert steps(tmp_path) == [15]
    checkpoint.save(tmp_path, made(20), keep=2)
    assert checkpoint.load(tmp_path / "00000020").state.step == 20


def test_none_good_is_an_error_and_none_at_all_is_not(tmp_path: Path):
    """Starting again silently would throw a week of training away."""
    assert checkpoint.resume_point(tmp_path) is None
    checkpoint.save(tmp_path, made(10), keep=2)
    flip(tmp_path / "00000010" / "state.json")
    with pytest.raises(TrainingError, match="start again"):
        checkpoint.resume_point(tmp_path)


@pytest.mark.parametrize("part", ["model", "ema", "optimizer"])
def test_non_finite_is_never_saved(tmp_path: Path, part: str):
    bad = made(20)
    next(iter(getattr(bad, part).values()))[0, 0] = float("inf")
    checkpoint.save(tmp_path, made(10), keep=1)
    with pytest.raises(TrainingError, match="not finite; nothing was saved"):
        checkpoint.save(tmp_path, bad, keep=1)
    assert steps(tmp_path) == [10]


def test_full_disk_leaves_the_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """safetensors says "os error 28" in an exception of its own; the user hears of a full disk, and loses
    nothing.
    """
    import safetensors
    import safetensors.torch

    def full(*_: object) -> None:
        raise safetensors.SafetensorError("I/O error: No space left on device (os error 28)")

    checkpoint.save(tmp_path, made(10), keep=1)
    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(ArmchairError, match="no space left on the disk"):
        checkpoint.save(tmp_path, made(20), keep=1)
    assert steps(tmp_path) == [10]
    assert checkpoint.resume_point(tmp_path) == tmp_path / "00000010"


KILLED_EVERYWHERE = """
import os, shutil, signal, sys
from pathlib import Path
from armchair.train import checkpoint
from tests.train.test_checkpoint import made

root = Path(sys.argv[1])
left = -1          # calls until the kill; -1 is never
def counted(real):
    def call(*args, **options):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return real(*args, **options)
    return call
for module, names in ((os, ("fsync", "rename", "mkdir", "unlink", "rmdir", "open")), (shutil, ("rmtree",))):
    for name in names:
        setattr(module, name, counted(getattr(module, name)))

for number in range(1000):
    folder = root / str(number)
    checkpoint.save(folder, made(10), keep=1)
    child = os.fork()
    if child == 0:
        left = number
        checkpoint.save(folder, made(20), keep=1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        assert os.WEXITSTATUS(status) == 0 and number > 10, status
        print("moments", number)
        break
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
def test_killed_at_every_system_call(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """SIGKILL before each fsync, rename, open and removal of a save: the old or the new is there and good,
    with no warning, and the next save goes through and cleans up.
    """
    source = str(Path(__file__).parents[2])
    environ = environment()
    environ["PYTHONPATH"] = f"{environ['PYTHONPATH']}:{source}"
    done = subprocess.run(
        [sys.executable, "-c", KILLED_EVERYWHERE, str(tmp_path)], env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    moments = int(done.stdout.split()[1])
    found = set()
    for number in range(moments):
        folder = tmp_path / str(number)
        path = checkpoint.resume_point(folder)
        assert path is not None
        found.add(checkpoint.load(path).state.step)
        checkpoint.clean(folder)
        checkpoint.save(folder, made(30), keep=1)
        assert steps(folder) == [30]
        shutil.rmtree(folder)
    assert found == {10, 20}
    assert caplog.text == "", "no half-written folder may look like a damaged checkpoint"
