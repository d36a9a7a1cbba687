"""A server of our own for tests: in a thread, on a free port, with the scripted studio of `fake`."""

from __future__ import annotations

import contextlib
import io
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from armchair.serve.server import Server
from armchair.serve.service import Service
from armchair.serve.settings import Settings

USUAL: dict[str, Any] = {
    "port": 0,
    "studio": "tests.serve.fake",
    "codecs": 1,
    "drain": 20.0,
    "page": False,
    "start_seconds": 30.0,
}


class Running:
    """A server that runs. lines: what it logged, as (event, values)"""

    def __init__(self, **settings: Any):
        self.lines: list[tuple[str, dict[str, Any]]] = []
        self.settings = Settings(**{**USUAL, **settings})
        self.service = Service(self.settings, self._log)
        ready = threading.Event()
        self.server = Server(self.service, lambda _: ready.set())
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        assert ready.wait(20)
        self.base = self.server.address
        headers = {"authorization": f"Bearer {self.settings.keys[0]}"} if self.settings.keys else {}
        self.client = httpx.Client(base_url=self.base, timeout=60, headers=headers, trust_env=False)
        self.until(lambda: self.get("/readyz").status_code == 200, self.settings.start_seconds)

    def _log(self, event: str, **values: Any) -> None:
        self.lines.append((event, values))

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.client.get(path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.client.post(path, **more)

    def draw(self, prompt: str = "a cat", **fields: Any) -> httpx.Response:
        """A generation as base64."""
        return self.post(
            "/v1/images/generations", json={"prompt": prompt, "response_format": "b64_json", **fields}
        )

    def metric(self, name: str, **labels: str) -> float:
        value = self.service.metrics.registry.get_sample_value(f"armchair_{name}", labels)
        return 0.0 if value is None else value

    @property
    def worker(self) -> int:
        """The process id of the worker."""
        child = self.service.pool.seats[0].child
        assert child is not None
        return child.pid

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """The worker is busy until the block ends: what comes meanwhile waits together."""
        name = f"g{time.monotonic_ns()}"
        runs = self.service.pool.runs
        thread = threading.Thread(target=self.draw, args=(f"gate {name}",), kwargs={"model": "dalle2"})
        thread.start()
        self.until(lambda: self.service.pool.runs > runs)
        try:
            yield
        finally:
            Path(os.environ["FAKE_GATES"], name).touch()
            thread.join()

    def waiting(self, count: int) -> None:
        """Come back once so many requests wait."""
        self.until(lambda: len(self.service.queue) == count)

    @staticmethod
    def until(true: Any, seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, "it did not come true in time"
            time.sleep(0.01)

    def stop(self) -> None:
        self.client.close()
        self.server.should_exit = True
        self.thread.join(30)
        assert not self.thread.is_alive()


@contextlib.contextmanager
def running(**settings: Any) -> Iterator[Running]:
    server = Running(**settings)
    try:
        yield server
    finally:
        server.stop()


def png(
    size: tuple[int, int] = (16, 16), mode: str = "RGB", colour: Any = None, form: str = "PNG", **more: Any
) -> bytes:
    """A plain picture as a file."""
    buffer = io.BytesIO()
    usual = {"RGB": (200, 30, 30), "RGBA": (200, 30, 30, 0), "L": 128, "LA": (128, 0), "1": 1, "P": 0}
    Image.new(mode, size, usual.get(mode, 0) if colour is None else colour).save(buffer, form, **more)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image
