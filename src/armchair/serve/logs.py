"""Log lines as JSON that can never hold the server up: a full pipe drops lines and counts them."""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import threading
import time
from typing import Any, TextIO

LINES = 10_000  # that wait to be written


class Log:
    """One thread writes; whoever logs only puts a line into a bounded queue."""

    def __init__(self, stream: TextIO):
        self._lines: queue.Queue[str | None] = queue.Queue(LINES)
        self._stream = stream
        self.dropped = 0
        self._thread = threading.Thread(target=self._write, daemon=True, name="log")
        self._thread.start()

    def __call__(self, event: str, **values: Any) -> None:
        """One line: when, what, and plain values. Never a prompt, never a key."""
        line = json.dumps({"time": round(time.time(), 3), "event": event, **values}, default=str)
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self.dropped += 1

    def close(self, patience: float = 1.0) -> None:
        """Write what waits, unless nobody reads it."""
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(None)
            self._thread.join(patience)

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                self._stream.write(line + "\n")
                self._stream.flush()
            except (OSError, ValueError):  # closed: nobody will read this any more
                return


class Forward(logging.Handler):
    """What a library logs, as lines of ours."""

    def __init__(self, log: Log):
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log("library says", name=record.name, level=record.levelname, text=record.getMessage()[:2000])
