"""Running it: sockets, signals, and the log."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable, Generator
from types import FrameType
from typing import Any

import uvicorn

from armchair.core.errors import ArmchairError
from armchair.serve.app import build
from armchair.serve.http import LONGEST_HEAD, check_all, guarded
from armchair.serve.logs import Forward, Log
from armchair.serve.service import Service
from armchair.serve.settings import Settings

SPARE_FILES = 256  # file descriptors that are not connections
KEEP_ALIVE = 30  # seconds that a connection may idle between two requests


class Server(uvicorn.Server):
    """uvicorn's, which drains when it is told to stop, and leaves with status 0 then."""

    def __init__(self, service: Service, started: Callable[[str], None] | None = None):
        """started: called with the address once it listens."""
        settings = service.settings
        config = uvicorn.Config(
            build(service),
            host=settings.host,
            port=settings.port,
            loop="asyncio",
            http=guarded(grace=settings.header_seconds, most=connections(settings.connections)),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=max(1, round(settings.drain)),
            h11_max_incomplete_event_size=LONGEST_HEAD,
        )
        super().__init__(config)
        self.service = service
        self._started = started
        self._checking: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self._checking = asyncio.create_task(self._check())
        if self._started is not None:
            self._started(self.address)

    async def shutdown(self, sockets: Any = None) -> None:
        self.service.draining = True
        await super().shutdown(sockets)
        if self._checking is not None:
            self._checking.cancel()
            await asyncio.gather(self._checking, return_exceptions=True)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.service.draining = True
        super().handle_exit(sig, frame)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        with super().capture_signals():
            yield
            self._captured_signals.clear()  # or it would send them to itself once more

    async def _check(self) -> None:
        while True:
            await asyncio.sleep(min(1.0, self.service.settings.header_seconds / 4))
            check_all(self.server_state.connections)


def run(settings: Settings, started: Callable[[str], None] | None = None) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises ArmchairError where it cannot start."""
    log = Log(sys.stderr)
    try:
        service = Service(settings, log)
        server = Server(service, started)
        with forwarded(log):
            try:
                server.run()
            except SystemExit:
                raise ArmchairError(
                    f"cannot listen on {settings.host} port {settings.port}: is it taken? The log says more"
                ) from None
    finally:
        log.close()


@contextlib.contextmanager
def forwarded(log: Log) -> Generator[None]:
    """What libraries log becomes lines of our log; written directly, a full pipe would stop the server."""
    loggers = [logging.getLogger(name) for name in ("uvicorn", "uvicorn.error", "asyncio", "armchair")]
    handler = Forward(log)
    before = [(logger, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
    try:
        yield
    finally:
        for logger, propagate in before:
            logger.removeHandler(handler)
            logger.propagate = propagate


def connections(wanted: int) -> int:
    """How many connections the limit on open files leaves, after raising it as far as it goes."""
    if sys.platform == "win32":
        return wanted
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + SPARE_FILES
    if soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(wanted, soft - SPARE_FILES))
