"""What a run says about itself: metrics.jsonl, TensorBoard, previews, and a progress bar."""

from __future__ import annotations

import io
import json
import os
import time
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from armchair.core.errors import MissingDependency
from armchair.core.files import write_bytes
from armchair.train.folder import RunFolder

if TYPE_CHECKING:
    from PIL import Image
    from rich.progress import Progress, TaskID

WINDOW = 20.0  # seconds over which samples/s is averaged
QUIET = 30.0  # seconds between two lines where there is no terminal to draw a bar on


class Metrics:
    """Writes a run's numbers. metrics.jsonl has one line an update and one an evaluation, and nothing that
    depends on the clock, so that a resumed run's file is the uninterrupted run's, byte for byte.

    Opened at update `step`: what a killed run wrote after its last checkpoint is cut off and written again.
    """

    def __init__(self, folder: RunFolder, step: int, *, steps: int, batch: int, progress: bool):
        self.folder = folder
        self.batch = batch
        self._board = _board(folder, step)
        write_bytes(folder.metrics, _lines_until(folder, step))
        self._file = open(folder.metrics, "ab")
        self._shown = Shown(step, steps, batch) if progress else None

    def update(self, step: int, numbers: Mapping[str, float]) -> None:
        """The numbers of the update that made `step` updates of the run."""
        self._line({"step": step, "samples": step * self.batch, **numbers})
        for name, value in numbers.items():
            self._board.add_scalar(f"train/{name}", value, step)
        if self._shown is not None:
            self._shown.update(step, numbers["loss"])
            self._board.add_scalar("speed/samples_per_second", self._shown.speed(), step)

    def scores(self, step: int, scores: Mapping[str, float]) -> None:
        """The scores of an evaluation after `step` updates."""
        self._line({"step": step, "samples": step * self.batch, "scores": dict(scores)})
        for name, value in scores.items():
            self._board.add_scalar(f"scores/{name}", value, step)
        if self._shown is not None:
            self._shown.say(
                f"step {step}: " + ", ".join(f"{name} {value:.4g}" for name, value in scores.items())
            )

    def preview(self, step: int, image: Image.Image) -> None:
        """Write previews/STEP.png."""
        buffer = io.BytesIO()
        image.save(buffer, format="PNG")
        write_bytes(self.folder.preview(step), buffer.getvalue())

    def sync(self) -> None:
        """Make all lines durable: before a checkpoint, so that no checkpoint is ahead of its metrics."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._board.flush()

    def close(self) -> None:
        self._file.close()
        self._board.close()
        if self._shown is not None:
            self._shown.close()

    def _line(self, record: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(record).encode() + b"\n")
        self._file.flush()  # `tail -f` shows it, and a killed process has written it


class Shown:
    """The progress bar, or a line now and then where nobody watches a terminal."""

    def __init__(self, step: int, steps: int, batch: int):
        from rich.console import Console

        self.steps = steps
        self.batch = batch
        self.console = Console(stderr=True)
        self._marks: deque[tuple[float, int]] = deque([(time.monotonic(), step)])
        self._said = time.monotonic()
        self._bar: Progress | None = None
        self._row: TaskID | None = None
        if self.console.is_terminal:
            self._open_bar(step)

    def update(self, step: int, loss: float) -> None:
        now = time.monotonic()
        self._marks.append((now, step))
        while len(self._marks) > 2 and now - self._marks[0][0] > WINDOW:
            self._marks.popleft()
        if self._bar is not None and self._row is not None:
            self._bar.update(self._row, completed=step, loss=loss, speed=self.speed())
        elif now - self._said > QUIET or step == self.steps:
            self._said = now
            left = (self.steps - step) * self.batch / max(self.speed(), 1e-9)
            self.say(
                f"step {step}/{self.steps}, loss {loss:.4g}, {self.speed():.4g} samples/s, {clock(left)} left"
            )

    def speed(self) -> float:
        """Samples a second over the last WINDOW seconds, all processes together."""
        (start, first), (end, last) = self._marks[0], self._marks[-1]
        return (last - first) * self.batch / (end - start) if end > start else 0.0

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _open_bar(self, step: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.4g}"),
            TextColumn("{task.fields[speed]:.4g} samples/s"),
            TimeRemainingColumn(),
            console=self.console,
        )
        self._row = self._bar.add_task(
            "train", total=self.steps, completed=step, loss=float("nan"), speed=0.0
        )
        self._bar.start()


def clock(seconds: float) -> str:
    """A duration as a person reads it: 42 s, 7 min, 3 h 20 min, 12 days."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"
    return f"{seconds / 86400:.0f} days"


def _lines_until(folder: RunFolder, step: int) -> bytes:
    """The lines of metrics.jsonl up to an update; a last half line goes too."""
    if step == 0 or not folder.metrics.exists():
        return b""
    kept: list[bytes] = []
    for line in folder.metrics.read_bytes().splitlines(keepends=True):
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except (ValueError, KeyError, TypeError):
            continue
    return b"".join(kept)


def _board(folder: RunFolder, step: int) -> Any:
    """A TensorBoard writer that drops what is after `step`. Raises MissingDependency."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingDependency("tensorboard", "train") from error
    return SummaryWriter(str(folder.tensorboard), purge_step=step + 1)
