"""Captions for every picture of a data set, by whatever captions pictures (DALL·E 3, section 2.1.1).

They go into a table of their own beside the data, `recaptions.jsonl`, which every source reads: the words
that were there stay as they are. A run that was stopped goes on where it was.
"""

from __future__ import annotations

import functools
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from armchair.core.errors import BadInput, DataError
from armchair.core.files import clear_errors
from armchair.core.task import Caption
from armchair.data.open import open_source, sidecar
from armchair.data.pictures import Pictures, Unreadable

Captions = Callable[[Sequence[np.ndarray], Sequence[str]], list[tuple[Caption, ...]]]  # pictures, keys


@dataclass
class Recaptioned:
    """What was done. `skipped`: reason -> keys."""

    table: Path
    total: int  # pictures in the data
    before: int  # that had captions already
    done: int = 0
    seconds: float = 0.0
    skipped: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    @property
    def rate(self) -> float:
        """Pictures a second."""
        return self.done / self.seconds if self.seconds > 0 else 0.0


def recaption(
    path: str | Path,
    make: Callable[[], Captions],
    *,
    by: str,
    out: Path | None = None,
    batch: int = 32,
    processes: int = 1,
    progress: Callable[[Recaptioned], None] = lambda _: None,
) -> Recaptioned:
    """Caption every picture that has no row in the table yet.

    make: called once in each process, which several then have to be able to import; by: what tells this
    captioner and its settings from others, kept in every row; out: the table, None is the place where
    `open_source` finds it. A batch's rows are on disk before the next are written.
    Raises DataError for data that cannot be opened, BadInput for a table of another captioner.
    """
    if batch < 1 or processes < 1:
        raise BadInput(f"batch {batch} and processes {processes}: both are 1 or more")
    source = open_source(path, need_captions=False)
    table = sidecar(path) if out is None else out
    if table is None:
        raise BadInput(f"{path} is not on this machine: say with --out where the captions go")
    had = _had(table, by)
    report = Recaptioned(table=table, total=len(source), before=0)
    todo = [i for i in range(len(source)) if source.key(i) not in had]
    report.before = len(source) - len(todo)
    start = time.perf_counter()
    with clear_errors(table):
        table.parent.mkdir(parents=True, exist_ok=True)
        with table.open("ab") as file:
            for rows in _batches(path, make, todo, batch, processes):
                good = [row for row in rows if isinstance(row["captions"], list)]
                lines = [json.dumps({**row, "by": by}, ensure_ascii=False) + "\n" for row in good]
                file.write("".join(lines).encode())
                file.flush()
                os.fsync(file.fileno())
                for row in rows:
                    if not isinstance(row["captions"], list):
                        report.skipped.setdefault(row["captions"], []).append(row["file_name"])
                report.done += len(good)
                report.seconds = time.perf_counter() - start
                progress(report)
    return report


def _batches(
    path: str | Path, make: Callable[[], Captions], todo: Sequence[int], batch: int, processes: int
) -> Iterator[list[dict[str, Any]]]:
    """Rows, a batch at a time, in the order of the data."""
    parts = [list(todo[i : i + batch]) for i in range(0, len(todo), batch)]
    if processes == 1:
        worker = _Worker(path, make)
        yield from map(worker.rows, parts)
        return
    context = multiprocessing.get_context("spawn")  # a forked torch may hang
    begin = functools.partial(_begin, str(path), make, processes)
    with ProcessPoolExecutor(processes, context, begin) as pool:
        try:
            yield from pool.map(_rows, parts)
        finally:
            pool.shutdown(cancel_futures=True)


class _Worker:
    """One process's source and captioner."""

    def __init__(self, path: str | Path, make: Callable[[], Captions]):
        self.source: Pictures = open_source(path, need_captions=False)
        self.captions = make()

    def rows(self, part: Sequence[int]) -> list[dict[str, Any]]:
        """A row a picture: its captions, or the reason why it cannot be read."""
        images: list[np.ndarray] = []
        keys: list[str] = []
        rows: list[dict[str, Any]] = []
        for i in part:
            try:
                images.append(self.source.read(i).image)
            except Unreadable as error:
                rows.append({"file_name": error.key, "captions": error.reason})
                continue
            keys.append(self.source.key(i))
        found = self.captions(images, keys) if images else []
        for key, captions in zip(keys, found, strict=True):
            said = [{"text": c.text, "kind": c.kind, "language": c.language} for c in captions]
            rows.append({"file_name": key, "captions": said})
        return rows


_here: list[_Worker] = []  # the worker of this process, where it is one of several


def _begin(path: str, make: Callable[[], Captions], processes: int) -> None:
    import torch

    cores = os.cpu_count()
    torch.set_num_threads(max(1, (1 if cores is None else cores) // processes))
    _here.append(_Worker(path, make))


def _rows(part: Sequence[int]) -> list[dict[str, Any]]:
    return _here[0].rows(part)


def _had(table: Path, by: str) -> set[str]:
    """The pictures that have a row; a last line that was cut short is taken off the file."""
    if not table.exists():
        return set()
    data = table.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    keys: set[str] = set()
    for number, line in enumerate(whole.decode().split("\n"), 1):
        if not line:
            continue
        try:
            row = json.loads(line)
            key, was = row["file_name"], row["by"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{table}:{number} is not a row of ours ({error}); name another file") from error
        if was != by:
            raise BadInput(
                f"{table} holds captions of {was}, these would be of {by}: move it away, or name another "
                "file with --out"
            )
        keys.add(key)
    if len(whole) < len(data):
        with clear_errors(table), table.open("r+b") as file:
            file.truncate(len(whole))
    return keys
