"""Connections that are slow, broken or many: they end, and honest requests are none the slower."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.serve.running import Running, running

GRACE = 1.0


@pytest.fixture(scope="module")
def hasty() -> Iterator[Running]:
    with running(header_seconds=GRACE, connections=60, body_bytes=2**20) as server:
        yield server


def connect(server: Running) -> socket.socket:
    host, _, port = server.base.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=20)


def rest(wire: socket.socket) -> bytes:
    """What comes until the other side closes."""
    parts: list[bytes] = []
    with contextlib.suppress(ConnectionResetError):
        while part := wire.recv(65536):
            parts.append(part)
    return b"".join(parts)


def said(answer: bytes) -> tuple[int, dict[str, str], dict[str, str]]:
    """(status, headers, error) of an answer, which is JSON of OpenAI's shape whoever made it."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    assert headers["content-type"] == "application/json"
    assert headers["x-request-id"]
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return int(first.split()[1]), headers, error


POST = b"POST /v1/images/generations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
SLOW = {
    "nothing": b"",
    "half a head": b"GET /livez HTTP/1.1\r\nHost: loc",
    "half a body": POST + b'Content-Length: 100\r\n\r\n{"prompt": ',
    "half a chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n40\r\n{",
}


@pytest.mark.parametrize("start", SLOW.values(), ids=SLOW)
def test_slow_senders_are_cut(hasty: Running, start: bytes):
    """In time, and told why, while whoever comes meanwhile is served."""
    with connect(hasty) as wire:
        began = time.monotonic()
        wire.sendall(start)
        assert hasty.get("/livez").status_code == 200
        status, headers, error = said(rest(wire))
        assert (status, error["message"]) == (408, "The request did not arrive in time.")
        assert headers["connection"] == "close"
        assert GRACE * 0.9 < time.monotonic() - began < GRACE + 15


def test_a_trickle_is_as_slow_as_nothing(hasty: Running):
    """A byte now and then does not buy more time."""
    with connect(hasty) as wire:
        began = time.monotonic()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for byte in b"GET /livez HTTP/1.1\r\nX-Slow: " + b"x" * 400:
                wire.sendall(bytes([byte]))
                time.sleep(0.05)
        assert time.monotonic() - began < 15


def test_idlers_make_room(hasty: Running):
    """More connections than are admitted: honest ones get through, since those that only sit there go."""
    with contextlib.ExitStack() as held:
        idle = [held.enter_context(connect(hasty)) for _ in range(100)]
        for _ in range(5):
            assert httpx.get(f"{hasty.base}/livez", trust_env=False, timeout=20).status_code == 200
        hasty.until(lambda: len(hasty.server.server_state.connections) <= 60)
        assert len(idle) == 100


HEAD = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
BROKEN = {
    "no request": (b"hello\r\n\r\n", 400),
    "no version": (b"GET /\r\n\r\n", 400),
    "binary": (bytes(range(256)) * 4, 400),
    "a long head": (HEAD + b"X: " + b"x" * 40_000 + b"\r\n\r\n", 431),
    "a long line": (
        b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        431,
    ),
    "two lengths": (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400),
    "a bad length": (POST + b"Content-Length: many\r\n\r\n", 400),
    "a bad chunk": (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    "two hosts": (b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
}


@pytest.mark.parametrize(("data", "status"), BROKEN.values(), ids=BROKEN)
def test_what_is_no_http(hasty: Running, data: bytes, status: int):
    """An answer in the one shape that there is, even from below the application."""
    with connect(hasty) as wire:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            wire.sendall(data)
        assert said(rest(wire))[0] == status


def test_odd_paths_do_no_harm(hasty: Running):
    """Bytes that are no letters, and no path."""
    for target in (b"/\xff\xfe", b"*", b"//", b"/%00", b"/v1/models/%ff", b"http://evil.example/v1"):
        with connect(hasty) as wire:
            wire.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = rest(wire)
            assert answer == b"" or said(answer)[0] in {400, 403, 404}, (target, answer)
    assert hasty.get("/livez").status_code == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_over_the_cap_are_refused_while_they_come(hasty: Running, chunked: bool):
    """By the length that is claimed, or once that much has come; never read to the end first."""
    head = POST.replace(b"generations", b"edits").replace(
        b"application/json", b"multipart/form-data; boundary=X"
    )
    with connect(hasty) as wire:
        if chunked:
            wire.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for _ in range(64):
                    wire.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        else:
            wire.sendall(head + b"Content-Length: 1000000000\r\n\r\n")
        wire.settimeout(20)
        assert wire.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_nothing_is_kept_of_uploads_that_end_early(hasty: Running):
    """A caller who leaves in the middle of a body holds no memory."""
    for _ in range(20):
        with connect(hasty) as wire:
            wire.sendall(POST + b"Content-Length: 100000\r\n\r\n" + b"x" * 50_000)
    hasty.until(lambda: hasty.service.uploads.held == 0)
    assert not [values for event, values in hasty.lines if event == "fault"]


def test_a_reader_who_does_not_read_is_cut(monkeypatch: pytest.MonkeyPatch):
    """A picture of megabytes that nobody takes must not hold a connection for ever."""
    monkeypatch.setattr("armchair.serve.http.READ_WINDOW", 1.0)
    with running(header_seconds=GRACE) as server, connect(server) as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        body = json.dumps({"prompt": "noise", "model": "gpt-image-1", "n": 3}).encode()
        wire.sendall(POST + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        wire.recv(100)
        server.until(lambda: not server.service.tickets)
        server.client.close()
        server.until(lambda: not server.server.server_state.connections)
