"""Workers that die, stop, run out of memory; callers that leave. The others never notice."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serve.running import Running, running

GENERATE = "/v1/images/generations"
QUICK: dict[str, Any] = {"stale_seconds": 1.0, "silent_seconds": 2.0}


@pytest.fixture(scope="module")
def frail() -> Iterator[Running]:
    with running(**QUICK) as server:
        yield server


def draw(server: Running, prompt: str, **fields: Any) -> httpx.Response:
    body = {"prompt": prompt, "model": "dalle2", "response_format": "b64_json", **fields}
    return server.post(GENERATE, json=body)


def together(server: Running, prompts: list[str], **fields: Any) -> list[httpx.Response]:
    """Replies to prompts that all wait before the first of them is drawn."""
    with ThreadPoolExecutor(len(prompts)) as crew:
        with server.held():
            replies = [crew.submit(draw, server, prompt, **fields) for prompt in prompts]
            server.waiting(len(prompts))
        return [reply.result() for reply in replies]


def picture(reply: httpx.Response) -> list[str]:
    assert reply.status_code == 200, reply.text
    return [entry["b64_json"] for entry in reply.json()["data"]]


def test_a_picture_is_the_same_alone_or_in_a_batch(frail: Running):
    """Requests that wait together are one run; each gets what it would have got alone."""
    alone = [picture(draw(frail, prompt, seed=7, n=2)) for prompt in ("a cat", "a dog", "a bee")]
    runs = frail.service.pool.runs
    batch = together(frail, ["a cat", "a dog", "a bee"], seed=7, n=2)
    assert frail.service.pool.runs - runs == 2  # the one that held the worker, and one for all three
    assert [picture(reply) for reply in batch] == alone


def test_a_refused_mate_does_not_take_the_others_along(frail: Running):
    """One of a run is wrong, the rest is drawn."""
    replies = together(frail, ["a cat", "refuse", "a bee"])
    assert [reply.status_code for reply in replies] == [200, 400, 200]


def test_a_fault_in_a_batch_hits_only_the_guilty(frail: Running):
    """The others are drawn again, alone."""
    replies = together(frail, ["a cat", "raise", "a bee"])
    assert [reply.status_code for reply in replies] == [200, 500, 200]
    assert replies[1].json()["error"]["type"] == "server_error"
    assert replies[1].headers["x-should-retry"] == "false"


def test_too_large_a_batch_is_made_smaller(frail: Running):
    """Until it fits; what does not fit alone says so, and no client sends it again."""
    pid = frail.worker
    assert len(picture(draw(frail, "most 2", n=8))) == 8
    reply = draw(frail, "most 0", guidance=9)
    assert (reply.status_code, reply.json()["error"]["code"]) == (500, "out_of_memory")
    assert reply.headers["x-should-retry"] == "false"
    assert frail.worker == pid


def test_a_killed_worker_is_replaced_and_its_work_done(frail: Running):
    """Whoever kills it: the request is drawn by the next one, which nobody had to start."""
    pid = frail.worker
    with ThreadPoolExecutor(1) as crew:
        waiting = crew.submit(draw, frail, "pause 0.3", n=2)
        frail.until(lambda: frail.service.pool.seats[0].run is not None)
        os.kill(pid, signal.SIGKILL)
        frail.until(lambda: frail.get("/readyz").status_code == 503, 2)
        assert len(picture(waiting.result())) == 2
    assert frail.worker != pid
    assert frail.get("/readyz").status_code == 200


def test_a_stopped_worker_is_not_ready_and_then_replaced(frail: Running):
    """SIGSTOP: nothing dies, nothing answers."""
    pid = frail.worker
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    frail.until(lambda: frail.get("/readyz").status_code == 503, 3)
    picture(draw(frail, "a cat"))
    assert time.monotonic() - began < 20
    assert frail.worker != pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_request_that_kills_twice_is_refused(frail: Running):
    """It had its second chance; its mates, who were drawn alone, did not suffer, and the same request again
    does not reach a worker.
    """
    deaths = frail.metric("worker_deaths_total")
    replies = together(frail, ["a cat", "kill", "a bee"])
    assert [reply.status_code for reply in replies] == [200, 500, 200]
    assert replies[1].headers["x-should-retry"] == "false"
    assert frail.metric("worker_deaths_total") == deaths + 2
    again = draw(frail, "kill", seed=99)
    assert (again.status_code, again.json()["error"]["code"]) == (500, "request_quarantined")
    assert frail.metric("worker_deaths_total") == deaths + 2
    picture(draw(frail, "a cat"))


def steps(server: Running) -> float:
    return server.metric("steps_total")


def test_whoever_leaves_is_not_drawn_any_further(frail: Running):
    """Within one step, while drawing or waiting; and the next request is not the worse for it."""
    before = picture(draw(frail, "a cat", seed=5))
    cancelled, began = frail.metric("cancelled_total"), steps(frail)
    client = httpx.Client(base_url=frail.base, timeout=0.6, trust_env=False)
    with client, pytest.raises(httpx.ReadTimeout):
        client.post(GENERATE, json={"prompt": "pause 0.25", "steps": 50, "model": "dalle2"})
    frail.until(lambda: frail.metric("cancelled_total") == cancelled + 1, 2)
    frail.until(lambda: frail.service.pool.seats[0].run is None, 2)
    assert steps(frail) - began < 10
    assert picture(draw(frail, "a cat", seed=5)) == before


def test_a_mate_that_leaves_changes_nothing_for_the_others(frail: Running):
    """Its row is drawn on beside theirs, unread."""
    alone = picture(draw(frail, "a cat", seed=5, steps=9))
    cancelled, seat = frail.metric("cancelled_total"), frail.service.pool.seats[0]
    body = {"prompt": "gate leaver", "steps": 9, "model": "dalle2", "stream": True}
    with ThreadPoolExecutor(1) as crew, httpx.Client(base_url=frail.base, trust_env=False) as client:
        with frail.held():
            stays = crew.submit(draw, frail, "a cat", seed=5, steps=9)
            frail.waiting(1)
            leaves = client.send(client.build_request("POST", GENERATE, json=body), stream=True)
            frail.waiting(2)
        frail.until(lambda: seat.run is not None and len(seat.run.pieces) == 2)
        leaves.close()
        frail.until(lambda: frail.metric("cancelled_total") == cancelled + 1)
        Path(os.environ["FAKE_GATES"], "leaver").touch()
        assert picture(stays.result()) == alone


def test_who_leaves_a_stream_is_gone(frail: Running):
    """In the middle of its events."""
    cancelled = frail.metric("cancelled_total")
    body = {"prompt": "pause 0.2", "steps": 50, "model": "dalle2", "stream": True, "partial_images": 3}
    with httpx.Client(base_url=frail.base, timeout=10, trust_env=False) as client:
        with client.stream("POST", GENERATE, json=body) as reply:
            assert reply.status_code == 200
    frail.until(lambda: frail.metric("cancelled_total") == cancelled + 1, 3)
    frail.until(lambda: frail.service.pool.seats[0].run is None, 2)


def test_a_step_that_never_ends_is_ended():
    """A worker that beats and does not move."""
    with running(**QUICK, step_seconds=1.0) as server:
        reply = draw(server, "stuck")
        assert reply.status_code == 500
        assert reply.json()["error"]["code"] == "request_quarantined"
        picture(draw(server, "a cat"))


def test_a_full_queue_refuses_at_once_and_says_when():
    """By count and by predicted seconds; what was admitted is drawn."""
    with running(queue=3) as server, ThreadPoolExecutor(3) as crew:
        picture(draw(server, "a cat", steps=3))
        with server.held():
            waiting = [crew.submit(draw, server, "a cat", steps=3) for _ in range(3)]
            server.waiting(3)
            refused = draw(server, "a cat", steps=3)
            assert refused.status_code == 503
            assert refused.json()["error"]["type"] == "server_error"
            assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert [reply.result().status_code for reply in waiting] == [200] * 3
        picture(draw(server, "pause 1", steps=3))  # now it knows how long three steps may take
        with server.held():
            waiting = [crew.submit(draw, server, "a cat", steps=3)]
            server.waiting(1)
            headers = {"x-stainless-read-timeout": "1"}  # the client would have hung up by then
            body = {"prompt": "a cat", "steps": 3, "model": "dalle2"}
            assert server.post(GENERATE, json=body, headers=headers).status_code == 503
        assert server.metric("refused_total", reason="full") == 2


def test_told_to_stop_it_finishes_what_it_has():
    """SIGTERM as a service manager sends it: running and waiting requests are answered, new ones refused,
    nothing stays behind.
    """
    server = Running(**QUICK)
    pid = server.worker
    with ThreadPoolExecutor(3) as crew:
        replies = [crew.submit(draw, server, "pause 0.2", steps=4 + i) for i in range(2)]
        server.until(lambda: len(server.service.queue) == 1)
        server.server.handle_exit(signal.SIGTERM, None)
        assert [len(picture(reply.result())) for reply in replies] == [1, 1]
    server.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.base}/livez", trust_env=False)
