"""The order of the data and its preparation."""

from __future__ import annotations

import threading

import pytest
import torch

from armchair.core.errors import BadInput, DataError
from armchair.core.task import Sample
from armchair.train.loader import Examples, Order, Split, load
from tests.train.made_up import Pictures, Task


@pytest.mark.parametrize("samples", [1, 2, 3, 5, 16, 17, 64, 1000])
def test_every_epoch_is_a_permutation(samples: int):
    """Each sample once an epoch, for sizes on and off a power of four."""
    order = Order(samples, seed=4)
    for epoch in range(3):
        seen = [order.sample(epoch * samples + place) for place in range(samples)]
        assert sorted(seen) == list(range(samples))


def test_epochs_and_seeds_differ():
    epochs = [
        tuple(Order(50, seed).sample(e * 50 + i) for i in range(50)) for seed in (0, 1) for e in (0, 1, 2)
    ]
    assert len(set(epochs)) == 6


def test_order_looks_random():
    """Against a true permutation's expectations: mean displacement n/3, one fixed point, two neighbours."""
    n, turns = 1000, 20
    far = fixed = neighbours = 0
    for seed in range(turns):
        seen = [Order(n, seed).sample(place) for place in range(n)]
        far += sum(abs(sample - place) for place, sample in enumerate(seen)) / n
        fixed += sum(sample == place for place, sample in enumerate(seen))
        neighbours += sum(abs(a - b) == 1 for a, b in zip(seen, seen[1:], strict=False))
    assert far / turns == pytest.approx(n / 3, rel=0.03)
    assert fixed / turns < 3
    assert 0.5 < neighbours / turns < 5


def test_endless_world_costs_nothing():
    """Emoji World has 2**31 scenes: no list of them, far positions at once, and no repeats in sight."""
    order = Order(2**31, seed=1)
    seen = {order.sample(10**9 + place) for place in range(2000)}
    assert len(seen) == 2000
    assert max(seen) < 2**31
    assert min(seen) < 2**31 // 100 and max(seen) > 2**31 // 100 * 99


def test_empty_source_is_refused():
    with pytest.raises(DataError, match="not a single sample"):
        Order(0, seed=0)


def test_split_covers_the_batch_once():
    """Processes and micro-batches share the batch's places without a gap or an overlap."""
    parts = [Split(24, accumulate=3, processes=2, rank=rank) for rank in range(2)]
    rows = [place for part in parts for index in range(3) for place in part.rows(index)]
    assert rows == list(range(24))
    with pytest.raises(BadInput, match="multiple of 6"):
        Split(20, accumulate=3, processes=2)


def prepared(split: Split, start: int, stop: int, workers: int = 0) -> list[torch.Tensor]:
    micros = list(load(Examples(Pictures(), Task(), seed=5), split, start, stop, workers))
    assert all(len(micro.indices) == len(micro.positions) == split.micro for micro in micros)
    return [torch.cat([micro.data["image"].flatten(1), micro.data["tokens"]], dim=1) for micro in micros]


def test_examples_are_a_function_of_their_position():
    """A resumed run (from update 3), two processes, and micro-batches see the examples of the plain run."""
    whole = prepared(Split(8), 0, 5)  # 40 of 50 samples
    assert all(torch.equal(a, b) for a, b in zip(whole[3:], prepared(Split(8), 3, 5), strict=True))
    halves = [prepared(Split(8, accumulate=2, processes=2, rank=rank), 0, 5) for rank in range(2)]
    for step, expected in enumerate(whole):
        assert torch.equal(
            torch.cat([part for half in halves for part in half[2 * step : 2 * step + 2]]), expected
        )


def test_worker_processes_prepare_the_same():
    one, two = prepared(Split(8, accumulate=2), 1, 3), prepared(Split(8, accumulate=2), 1, 3, workers=2)
    assert len(one) == 4
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


class Broken(Pictures):
    """A source with one file that cannot be read."""

    def __init__(self, bad: int):
        super().__init__()
        self.bad = bad

    def __getitem__(self, index: int) -> Sample:
        if index == self.bad:
            raise DataError(f"{index}.png is cut short")
        return super().__getitem__(index)


@pytest.mark.parametrize("workers", [0, 1])
def test_error_comes_in_its_turn(workers: int):
    """The micro-batches before a bad file arrive; then the error itself, not a wrapped one, and the thread is
    gone.
    """
    bad = Order(50, 5).sample(19)  # in the third micro-batch of 8
    micros = load(Examples(Broken(bad), Task(), seed=5), Split(8), 0, 6, workers)
    assert len([next(micros), next(micros)]) == 2
    with pytest.raises(DataError, match=f"^{bad}.png is cut short$"):
        next(micros)
    assert not [t for t in threading.enumerate() if t.name == "armchair-examples"]


def test_closing_early_ends_the_thread():
    """A run that stops must not leave a thread waiting on a full queue."""
    micros = load(Examples(Pictures(), Task(), seed=5), Split(8), 0, 1000)
    next(micros)
    micros.close()
    assert not [t for t in threading.enumerate() if t.name == "armchair-examples"]
