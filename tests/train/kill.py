"""Kill a real training process with SIGKILL, resume it, and compare it with one that was left alone.

For any recipe:

    def command(out, resume): return [sys.executable, "-m", "armchair", "train", ..., "--out", str(out)] + ...
    killed_and_whole(command, tmp_path, kills=[after_updates(10)])
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import armchair

Command = Callable[[Path, bool], list[str]]  # (run folder, resume) -> the command line
Moment = Callable[[Path], bool]  # run folder -> whether it is time to kill


def environment(**more: str) -> dict[str, str]:
    """This process's environment, where a child finds the package and computes with one thread on the CPU."""
    source = str(Path(armchair.__path__[0]).parent)
    path = os.pathsep.join([source, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", **more}


def after_updates(count: int) -> Moment:
    """When metrics.jsonl holds that many lines of updates."""

    def reached(out: Path) -> bool:
        file = out / "metrics.jsonl"
        return file.exists() and sum(b'"loss"' in line for line in file.read_bytes().splitlines()) >= count

    return reached


def after_checkpoint(step: int) -> Moment:
    """When the checkpoint of an update is there."""
    return lambda out: (out / "checkpoints" / f"{step:08d}").exists()


def finish(command: Sequence[str], timeout: float = 300, **more: str) -> str:
    """Run a command to its end, with `more` in its environment; returns what it said. Fails if it fails."""
    done = subprocess.run(command, env=environment(**more), capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def kill(command: Sequence[str], out: Path, moment: Moment, timeout: float = 300) -> None:
    """Start a command and kill it, and all it started, at that moment. Fails where it ends before."""
    process = subprocess.Popen(
        command,
        env=environment(),
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        start = time.monotonic()
        while process.poll() is None and not moment(out):
            assert time.monotonic() - start < timeout, f"the moment to kill never came in {timeout} s"
            time.sleep(0.002)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL, f"it ended before it could be killed:\n{said}"


def killed_and_whole(command: Command, folder: Path, kills: Sequence[Moment]) -> tuple[Path, Path]:
    """Two runs of the same command: one killed at each moment and resumed, one left alone. Returns their
    folders.

    Fails unless they are the same run, byte for byte.
    """
    whole, killed = folder / "whole", folder / "killed"
    with ThreadPoolExecutor(1) as beside:  # the two take turns on nothing: let them run together
        left_alone = beside.submit(finish, command(whole, False))
        for number, moment in enumerate(kills):
            kill(command(killed, number > 0), killed, moment)
        finish(command(killed, True))
        left_alone.result()
    same_run(killed, whole)
    return killed, whole


def same_run(one: Path, other: Path) -> None:
    """Every file of two run folders is equal: weights, averages, optimizer, metrics, previews, bundle.

    TensorBoard's files alone hold the time of day, and are left out.
    """
    names = [
        sorted(
            str(path.relative_to(run)) for path in run.rglob("*") if path.is_file() and "tb" not in path.parts
        )
        for run in (one, other)
    ]
    assert names[0] == names[1]
    assert any(name.startswith("checkpoints") for name in names[0])
    assert any(name.startswith("bundle") for name in names[0])
    different = [name for name in names[0] if (one / name).read_bytes() != (other / name).read_bytes()]
    assert not different, f"these files of the runs differ: {different}"
