"""The queue's decisions, with a clock of our own: who is next, who runs together, who is refused."""

from __future__ import annotations

from typing import Any

import pytest

from armchair.serve.canvas import Size
from armchair.serve.codecs import Pixels
from armchair.serve.errors import ApiError
from armchair.serve.orders import Drawn, Order, Ticket
from armchair.serve.queue import Estimator, Queue


def order(rows: int = 1, **changes: Any) -> Order:
    values: dict[str, Any] = {"operation": "generate", "model": "m", "rows": rows, "prompt": "a cat"}
    return Order(**{**values, "size": "16x16", **changes})


def queue(**limits: Any) -> Queue:
    found = Queue(lambda: 0.0, **limits)
    found.together = {"m"}
    found.estimator.models["m"] = (1.0, 10)
    return found


def put(found: Queue, owner: str, what: Order) -> Ticket:
    ticket = Ticket(what, owner=owner, now=0.0, patience=100)
    found.add(ticket)
    return ticket


def drawn(row: int) -> Drawn:
    return Drawn(row, row, Pixels(Size(1, 1), "RGB", b"abc"), {}, None, [])


def owners(found: Queue) -> list[list[tuple[str, int]]]:
    """Run by run, whose rows and how many."""
    runs = []
    while pieces := found.next():
        runs.append([(piece.ticket.owner, len(piece.rows)) for piece in pieces])
    return runs


def test_equal_orders_run_together_and_others_do_not():
    """One size is one run, whatever the prompts; another size, model or setting is another."""
    q = queue()
    for what in [
        order(prompt="a cat"),
        order(prompt="a dog", rows=2),
        order(size="32x16"),
        order(prompt="a bee", seed=5),
        order(options={"guidance": 2.0}),
    ]:
        put(q, "a", what)
    runs = [[piece.ticket.order for piece in pieces] for pieces in iter(q.next, [])]
    assert [[o.prompt for o in run] for run in runs] == [["a cat", "a dog", "a bee"], ["a cat"], ["a cat"]]
    assert len({o.key for run in runs[:1] for o in run}) == 1


def test_a_model_that_cannot_mix_prompts_draws_one_order_a_run():
    """The pipelines say what they can; the queue believes them."""
    q = queue()
    q.together = frozenset()
    put(q, "a", order())
    put(q, "b", order())
    assert owners(q) == [[("a", 1)], [("b", 1)]]


def test_a_large_order_is_cut_into_runs_that_fit():
    """Rows over the batch wait for the next run, and a small order rides in the rest of the last."""
    q = queue(batch=8)
    put(q, "a", order(rows=19))
    put(q, "a", order(rows=2))
    assert owners(q) == [[("a", 8)], [("a", 8)], [("a", 3), ("a", 2)]]


@pytest.mark.parametrize("operation", ["complete", "variations", "inpaint", "outpaint"])
def test_what_starts_from_a_picture_runs_alone(operation: str):
    """A run takes many prompts and no second picture: two edits in one would both be drawn from words alone.
    The rows of one of them still share runs.
    """
    q = queue(batch=4)
    put(q, "a", order(rows=6, operation=operation))
    put(q, "a", order(rows=1, operation=operation))
    assert q.seconds() == 7.0
    assert owners(q) == [[("a", 4)], [("a", 2)], [("a", 1)]]


def test_frames_and_chosen_pictures_stay_whole():
    """A blend's frames, and the best of several, make sense only in one run, and alone."""
    q = queue(batch=4)
    put(q, "a", order(rows=6, operation="interpolate"))
    put(q, "a", order(rows=1, rerank=32))
    put(q, "a", order(rows=1, rerank=32))
    assert owners(q) == [[("a", 6)], [("a", 1)], [("a", 1)]]
    assert q.estimator.seconds(order(rerank=32), 1) == 32.0


def test_a_key_with_a_hundred_requests_does_not_starve_another():
    """Each key gets its share: the late one is not behind the hundred."""
    q = queue()
    q.together = frozenset()
    for _ in range(100):
        put(q, "greedy", order(rows=4))
    first = q.next()
    assert first[0].ticket.owner == "greedy"
    for _ in range(3):
        put(q, "modest", order())
    turns = [q.next()[0].ticket.owner for _ in range(6)]
    assert turns.count("modest") == 3
    assert turns[:2] != ["greedy", "greedy"]


def test_shares_are_of_time_and_not_of_requests():
    """One that asks for eight pictures at a time gets an eighth of the turns."""
    q = queue()
    q.together = frozenset()
    for _ in range(40):
        put(q, "big", order(rows=8))
        put(q, "small", order(rows=1))
    turns = [q.next()[0].ticket.owner for _ in range(18)]
    assert turns.count("small") == 16


def test_who_was_away_has_saved_nothing_up():
    """A key that comes back after an hour does not get an hour of its own first."""
    q = queue()
    q.together = frozenset()
    put(q, "b", order())
    for _ in range(50):
        put(q, "a", order())
    while len(q) > 20:
        q.next()
    for _ in range(20):
        put(q, "b", order())
    turns = [q.next()[0].ticket.owner for _ in range(10)]
    assert turns.count("b") == 5


def test_admission_counts_seconds_and_says_how_long():
    """The wait is that of the work ahead; beyond the bound it is 503 with a Retry-After that clients take."""
    q = queue(patience=10.0, batch=1)
    assert q.admit(order(), "a", busy=3.0, workers=1, patience=None) == 3.0
    for _ in range(8):
        put(q, "a", order())
    assert q.admit(order(), "a", busy=0.0, workers=1, patience=None) == 8.0
    with pytest.raises(ApiError) as refused:
        q.admit(order(), "a", busy=15.0, workers=1, patience=None)
    assert refused.value.status == 503
    assert refused.value.headers()["retry-after"] == "13"
    assert q.admit(order(), "a", busy=15.0, workers=4, patience=None) < 10
    with pytest.raises(ApiError):  # the client would hang up before its picture
        q.admit(order(rows=4), "a", busy=0.0, workers=1, patience=11.0)
    assert q.admit(order(rows=3), "a", busy=0.0, workers=1, patience=11.0) == 8.0


def test_admission_knows_that_equal_orders_share_a_run():
    """Eight that run together are one run's time, not eight."""
    q = queue(patience=10.0, batch=8)
    q.estimator.learn(order(), 8, 2.0)
    for _ in range(32):
        put(q, "a", order())
    assert q.admit(order(), "a", busy=0.0, workers=1, patience=None) == 8.0


def test_counts_are_bounded_in_all_and_for_one_key():
    """429 is the caller's own doing, 503 is not; neither is without a Retry-After."""
    q = queue(longest=5, longest_of_one=3)
    for _ in range(3):
        put(q, "a", order())
    with pytest.raises(ApiError) as refused:
        q.admit(order(), "a", busy=0, workers=1, patience=None)
    assert (refused.value.status, refused.value.type) == (429, "requests")
    assert "retry-after" in refused.value.headers()
    put(q, "b", order())
    put(q, "b", order())
    with pytest.raises(ApiError) as refused:
        q.admit(order(), "c", busy=0, workers=1, patience=None)
    assert refused.value.status == 503


def test_what_a_dead_worker_held_is_next_and_alone():
    """Rows that were done stay done; the rest goes before its key's others, without mates that it could
    kill.
    """
    q = queue()
    suspect, mate = put(q, "a", order(rows=3)), put(q, "b", order())
    pieces = q.next()
    assert len(pieces) == 2
    suspect.tell(drawn(0))
    later = put(q, "a", order())
    for piece in pieces:
        piece.ticket.strikes += 1
    q.give_back(pieces)
    runs = [[(piece.ticket, piece.rows) for piece in q.next()] for _ in range(3)]
    assert runs == [[(mate, [0])], [(suspect, [1, 2])], [(later, [0])]]


def test_what_two_dead_workers_left_is_drawn_without_the_gap():
    """Rows of one ticket on two workers that both die: a worker counts seeds up from the first row, so rows
    with others between them are two runs, or pictures of wrong seeds would be drawn.
    """
    q = queue(batch=8)
    ticket = put(q, "a", order(rows=12))
    first, second = q.next(), q.next()
    for row in (0, 1, 8):
        ticket.tell(drawn(row))
    q.give_back(first)
    q.give_back(second)
    assert [pieces[0].rows for pieces in iter(q.next, [])] == [[2, 3, 4, 5, 6, 7], [9, 10, 11]]


def test_a_fatal_order_is_refused_whatever_its_seed():
    """The client's own retry sends it again with the next seed."""
    q = queue()
    q.poison(order(seed=1))
    with pytest.raises(ApiError) as refused:
        q.admit(order(seed=2), "a", busy=0, workers=1, patience=None)
    assert refused.value.status == 500
    assert refused.value.headers()["x-should-retry"] == "false"
    q.admit(order(prompt="a dog"), "a", busy=0, workers=1, patience=None)


def test_memory_that_did_not_suffice_halves_the_runs():
    """Until one row is left, which cannot be halved."""
    q = queue(batch=8)
    assert q.halve(order(), 8)
    put(q, "a", order(rows=8))
    assert owners(q) == [[("a", 4)], [("a", 4)]]
    assert q.halve(order(), 3)
    assert not q.halve(order(), 1)
    assert not q.halve(order(operation="interpolate", rows=5), 5)


def test_places_and_deadlines():
    """Whoever asks hears the place; whoever waited too long is out."""
    now = [0.0]
    q = Queue(lambda: now[0])
    q.estimator.models["m"] = (2.0, None)
    first, second = put(q, "a", order()), put(q, "a", order(rows=2))
    assert q.ahead(first) == (0, 0.0)
    assert q.ahead(second) == (1, 2.0)
    assert q.overdue() == []
    now[0] = 101.0
    assert q.overdue() == [first, second]
    q.remove(first)
    q.remove(first)
    assert len(q) == 1


def test_an_order_that_would_take_for_ever_is_refused():
    """A million steps are no matter of waiting."""
    q = queue(longest_draw=60.0)
    q.admit(order(options={"steps": 500}), "a", busy=0, workers=1, patience=None)
    with pytest.raises(ApiError) as refused:
        q.admit(order(options={"steps": 1000}), "a", busy=0, workers=1, patience=None)
    assert refused.value.status == 400
    assert "about 100 seconds" in refused.value.message


def test_estimates_learn_and_scale():
    """Unknown rows cost in proportion, and never less than a run that was seen."""
    e = Estimator()
    assert e.seconds(order(), 2) == 10.0
    e.learn(order(), 4, 2.0)
    assert e.seconds(order(), 8) == 4.0
    assert e.seconds(order(), 1) == 2.0
    e.learn(order(), 4, 12.0)
    assert 2.0 < e.seconds(order(), 4) < 12.0
