"""The HTTP connection: uvicorn's, with deadlines, a cap on connections, and JSON for its own errors."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import sys
import time
from collections.abc import Iterable
from typing import ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from armchair.serve import errors
from armchair.serve.errors import ApiError

BODY_RATE = 16 * 1024  # bytes a second that an upload must reach on the average, once its grace is over
READ_RATE = 1024  # bytes a second that a reader must take
READ_WINDOW = 30.0  # seconds over which that is looked at
SEND_BUFFER = (
    128 * 1024
)  # bytes that the system keeps for a reader; Linux doubles it, and takes 4 MiB unasked
LINGER = 5.0  # seconds that a refused connection has to take the refusal
LONGEST_HEAD = 16 * 1024  # bytes of a request's line and headers


class Guarded(H11Protocol):
    """A connection that nobody can hold open by being slow. `guarded` sets the limits."""

    grace: ClassVar[float]  # seconds to send a head, or a body's first bytes
    most: ClassVar[int]  # connections at once

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        wire = transport.get_extra_info("socket")
        if wire is not None and wire.family != getattr(socket, "AF_UNIX", None):
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        now = time.monotonic()
        self.head_since: float | None = now
        self.body_since: float | None = None
        self.body_bytes = 0
        self.unread: tuple[int, float] | None = None  # bytes that wait to be read, and since when
        if not self.has_room():
            self.refuse(errors.overloaded(5))

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        if self.conn.their_state is h11.IDLE and self.head_since is None:
            self.head_since = now
        if self.conn.their_state is h11.SEND_BODY:
            self.body_bytes += len(data)
        super().data_received(data)
        state = self.conn.their_state
        if state is not h11.IDLE:
            self.head_since = None
        if state is not h11.SEND_BODY:
            self.body_since, self.body_bytes = None, 0
        elif self.body_since is None:
            self.body_since = now

    def resume_writing(self) -> None:
        self.unread = None
        super().resume_writing()

    def has_room(self) -> bool:
        """Whether there may be one more. One that has shown nothing for longest is cut for it."""
        others: list[object] = list(self.connections)
        live = [other for other in others if isinstance(other, Guarded) and not other.transport.is_closing()]
        if len(live) <= self.most:
            return True
        idle = [other for other in live if other.waits and other is not self]
        if not idle:
            return False
        min(idle, key=Guarded.age).transport.abort()
        return True

    def age(self) -> float:
        """When its head began, which for one that idles is long ago."""
        return 0.0 if self.head_since is None else self.head_since

    @property
    def waits(self) -> bool:
        """Whether it has no request under way."""
        return not self.cycle or self.cycle.response_complete  # None before the first request

    def check(self, now: float) -> None:
        """Cut it where it is too slow."""
        if self.transport.is_closing() and self.transport.get_write_buffer_size() == 0:
            return
        if self.head_since is not None and now - self.head_since > self.grace:
            self.refuse(errors.too_slow())
        elif self.body_since is not None and not self.flow.read_paused:
            if now - self.body_since > self.grace + self.body_bytes / BODY_RATE:
                self.refuse(errors.too_slow())
        waiting = self.transport.get_write_buffer_size()
        if waiting == 0:
            self.unread = None
        elif self.unread is None:
            self.unread = (waiting, now)
        elif now - self.unread[1] > READ_WINDOW:
            if waiting > self.unread[0] - READ_RATE * READ_WINDOW:
                self.transport.abort()
            self.unread = (waiting, now)

    def refuse(self, error: ApiError) -> None:
        """Answer, if nothing was answered yet, and close."""
        self.head_since = self.body_since = None
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            body = json.dumps(error.body()).encode()
            headers = {
                "content-type": "application/json",
                "content-length": str(len(body)),
                "connection": "close",
                "x-request-id": f"req_{secrets.token_hex(16)}",
                **error.headers(),
            }
            parts: list[h11.Event] = [
                h11.Response(status_code=error.status, headers=list(headers.items())),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ]
            for part in parts:
                sent = self.conn.send(part)
                if sent:
                    self.transport.write(sent)
        self.transport.close()
        self.loop.call_later(LINGER, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        error = sys.exception()
        status = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        if status == 431:
            self.refuse(errors.head_too_large())
        else:
            self.refuse(ApiError(status, "This is not a valid HTTP request."))


def guarded(*, grace: float, most: int) -> type[Guarded]:
    """The protocol class with its limits."""
    return type("Guarded", (Guarded,), {"grace": grace, "most": most})


def check_all(connections: Iterable[object]) -> None:
    """Look at every connection once; called every second."""
    now = time.monotonic()
    for connection in list(connections):
        if isinstance(connection, Guarded):
            connection.check(now)
