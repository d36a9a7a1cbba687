"""The order of the data, and the thread that prepares it.

Sample `position` of a run (0, 1, 2, ... over all updates) is a function of (seed, epoch, place in the epoch),
so the state of the data is one integer, and a run that resumes, or splits its batch over processes, sees the
same examples.
"""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
import warnings
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from armchair.core.errors import BadInput, DataError
from armchair.core.rng import generator, mix
from armchair.core.task import Source, Task

ROUNDS = 4  # of the Feistel network: enough that no order is seen in it (Luby and Rackoff 1988)
AHEAD = 4  # micro-batches prepared before they are needed


@dataclass(frozen=True)
class Order:
    """The samples of an endless run: a new permutation of 0 .. samples - 1 every epoch, in constant time and
    memory.

    A Feistel network permutes the next power of four; a place that falls outside is permuted again until it
    is inside ("cycle walking"), fewer than four times on average.
    """

    samples: int
    seed: int

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise DataError("there is not a single sample to train on; `armchair data check PATH` says why")

    def sample(self, position: int) -> int:
        """The sample number at a position of the run, from 0."""
        epoch, place = divmod(position, self.samples)
        half = max(1, ((self.samples - 1).bit_length() + 1) // 2)  # bits of each half
        key = mix(self.seed, "order", epoch)
        while True:
            place = _feistel(place, half, key)
            if place < self.samples:
                return place


def _feistel(place: int, half: int, key: int) -> int:
    mask = (1 << half) - 1
    left, right = place >> half, place & mask
    for turn in range(ROUNDS):
        word = (right + (turn + 1) * 0x9E3779B97F4A7C15 + key) & 0xFFFFFFFFFFFFFFFF
        word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF  # splitmix64's finish
        word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        left, right = right, left ^ ((word ^ (word >> 31)) & mask)
    return (left << half) | right


@dataclass(frozen=True)
class Split:
    """Which positions of an update this process takes, and in which micro-batches."""

    batch: int  # samples an update, over all processes
    accumulate: int = 1  # micro-batches an update in each process
    processes: int = 1
    rank: int = 0

    def __post_init__(self) -> None:
        parts = self.processes * self.accumulate
        if self.batch % parts:
            raise BadInput(
                f"batch={self.batch} cannot be split evenly over {self.processes} processes and "
                f"accumulate={self.accumulate}; take a multiple of {parts}"
            )

    @property
    def micro(self) -> int:
        """Samples in one micro-batch."""
        return self.batch // (self.processes * self.accumulate)

    def rows(self, index: int) -> range:
        """The places within the update's batch that micro-batch `index` of this process holds."""
        start = (self.rank * self.accumulate + index) * self.micro
        return range(start, start + self.micro)


@dataclass(frozen=True)
class Micro:
    """One prepared micro-batch."""

    data: dict[str, Tensor]  # each (B, ...)
    positions: range  # B places in the run
    indices: list[int]  # B sample numbers


@dataclass(frozen=True)
class Failure:
    """What went wrong while preparing a micro-batch."""

    error: Exception


class Examples(torch.utils.data.Dataset["Micro | Failure"]):
    """Micro-batches by their positions in the run: a function of (seed, positions) alone."""

    def __init__(self, source: Source, task: Task, seed: int):
        self.source = source
        self.task = task
        self.seed = seed
        self.order = Order(len(source), seed)

    @torch.no_grad()
    def micro(self, positions: range) -> Micro:
        """The examples at these positions, stacked. Raises what the source or the task raises."""
        indices = [self.order.sample(position) for position in positions]
        examples = [
            self.task.example(self.source[index], generator(self.seed, "example", position))
            for index, position in zip(indices, positions, strict=True)
        ]
        data = {name: torch.stack([example[name] for example in examples]) for name in examples[0]}
        return Micro(data, positions, indices)

    def __getitem__(self, index: range) -> Micro | Failure:
        """As `micro`, with an error as a value: it must cross to the thread that asked, in its turn."""
        try:
            return self.micro(index)
        except Exception as error:
            return Failure(error)


def load(
    examples: Examples, split: Split, start: int, stop: int, workers: int = 0
) -> Generator[Micro, None, None]:
    """This process's micro-batches of updates start .. stop - 1, in order, prepared in the background.

    workers: processes that prepare; 0: one thread. The result is the same. Close the iterator to end them
    early. Raises what the source or the task raises, when its turn comes.
    """
    made = (
        _by_processes(examples, split, start, stop, workers)
        if workers
        else _by_thread(examples, split, start, stop)
    )
    with contextlib.closing(made):
        for micro in made:
            if isinstance(micro, Failure):
                raise micro.error
            yield micro


def _ranges(split: Split, start: int, stop: int) -> Iterator[range]:
    """The positions of each micro-batch of this process."""
    for step in range(start, stop):
        for index in range(split.accumulate):
            rows = split.rows(index)
            yield range(step * split.batch + rows.start, step * split.batch + rows.stop)


def _by_processes(
    examples: Examples, split: Split, start: int, stop: int, workers: int
) -> Generator[Micro | Failure, None, None]:
    loader = torch.utils.data.DataLoader(
        examples,
        batch_size=None,  # an item is a micro-batch already
        sampler=_ranges(split, start, stop),
        num_workers=workers,
        collate_fn=_same,  # default_convert looks into what it gets
        generator=torch.Generator(),  # not the global one
        # a copy of the process as it is: the task need not be picklable, nor its weights copied
        multiprocessing_context="fork" if sys.platform == "linux" else None,
    )
    with warnings.catch_warnings():  # Python 3.12 warns of a fork beside threads; the children only prepare
        warnings.simplefilter("ignore", DeprecationWarning)
        made = iter(loader)
    yield from made


def _by_thread(
    examples: Examples, split: Split, start: int, stop: int
) -> Generator[Micro | Failure, None, None]:
    made: queue.Queue[Micro | Failure] = queue.Queue(AHEAD)
    over = threading.Event()

    def work() -> None:
        for positions in _ranges(split, start, stop):
            made.put(examples[positions])
            if over.is_set():
                return

    thread = threading.Thread(target=work, name="armchair-examples", daemon=True)
    thread.start()
    try:
        for _ in _ranges(split, start, stop):
            yield made.get()
    finally:
        over.set()
        while thread.is_alive():  # a put that waits needs room
            with contextlib.suppress(queue.Empty):
                made.get(timeout=0.01)
        thread.join()


def _same(micro: Any) -> Any:
    return micro
