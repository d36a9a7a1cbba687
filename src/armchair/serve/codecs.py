"""The pictures of callers, in and out, through a few `codec` processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NamedTuple

from armchair.serve import errors
from armchair.serve.canvas import Size
from armchair.serve.child import Child
from armchair.serve.protocol import Frame, ProtocolError

SECONDS = 20.0  # of the clock on the wall, for one picture: a stopped process is not waited for


class Pixels(NamedTuple):
    """A decoded picture."""

    size: Size
    mode: str  # of `data`: RGB or RGBA
    data: bytes
    own_mode: str = "RGB"  # of the file that it came from


class Codecs:
    """`count` processes that decode uploads and `count` that encode results, each one picture at a time."""

    def __init__(self, count: int, log: Callable[[str], None]):
        self._log = log
        self._decoders, self._encoders = _Crew(count, log), _Crew(count, log)

    async def decode(self, data: bytes, formats: Sequence[str]) -> Pixels:
        """Raises ApiError: not one of the formats, too large, broken, or more than the process can take."""
        try:
            answer, blobs = await self._decoders.ask({"op": "decode", "formats": list(formats)}, [data])
        except _Lost as lost:
            self._log(f"decoding an upload of {len(data)} bytes ended its process: {lost}")
            raise errors.broken_image() from None
        kind = answer.get("error")
        if kind == "format":
            if list(formats) == ["PNG"]:
                raise errors.not_png()
            raise errors.bad(f"Your image was invalid: {', '.join(formats)} are read.", code="invalid_image")
        if kind == "large":
            raise errors.bad(
                "Your image was invalid: it has more than 4096 pixels a side.", code="invalid_image"
            )
        if kind is not None:
            raise errors.broken_image()
        size = Size(answer["width"], answer["height"])
        return Pixels(size, answer["pixels"], blobs[0], answer["mode"])

    async def encode(
        self, picture: Pixels, *, target: Size | None, format: str, compression: int, recipe: bytes
    ) -> bytes:
        """A file's bytes. format: png, jpeg or webp. Raises ApiError where the process fails twice."""
        header: dict[str, Any] = {
            "op": "encode",
            "size": picture.size,
            "target": target,
            "format": format,
            "compression": compression,
        }
        for _ in range(2):
            try:
                answer, blobs = await self._encoders.ask(header, [picture.data, recipe])
            except _Lost as lost:
                self._log(f"encoding {picture.size} as {format} ended its process: {lost}")
                continue
            if "error" not in answer:
                return blobs[0]
        raise errors.fault()

    async def close(self) -> None:
        await asyncio.gather(self._decoders.close(), self._encoders.close())


class _Lost(Exception):
    """The process ended, or was ended, over a picture."""


class _Crew:
    """Processes that answer one question at a time, started when they are first needed."""

    def __init__(self, count: int, log: Callable[[str], None]):
        self._log = log
        self._count = count
        self._free: asyncio.LifoQueue[Child | None] = asyncio.LifoQueue()
        for _ in range(count):
            self._free.put_nowait(None)
        self._tasks: set[asyncio.Task[Any]] = set()

    async def ask(self, header: dict[str, Any], blobs: Sequence[bytes]) -> Frame:
        """Raises _Lost. A caller who leaves mid-way leaves the process whole: it finishes its picture."""
        child = await self._free.get()
        return await asyncio.shield(self._keep(self._ask(child, header, blobs)))

    async def close(self) -> None:
        for _ in range(self._count):
            child = await self._free.get()
            if child is not None:
                await child.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _ask(self, child: Child | None, header: dict[str, Any], blobs: Sequence[bytes]) -> Frame:
        sound = False
        try:
            if child is None:
                child = await self._start()
            answer = await asyncio.wait_for(self._talk(child, header, blobs), SECONDS)
            sound = True
            return answer
        except (TimeoutError, ConnectionError, ProtocolError) as error:
            raise _Lost(type(error).__name__) from error
        finally:
            if not sound and child is not None:
                child.kill()
                self._keep(child.stop())
            self._free.put_nowait(child if sound else None)

    def _keep(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task

    async def _start(self) -> Child:
        quiet = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        return await Child.start("armchair.serve.codec", {}, self._log, quiet)

    @staticmethod
    async def _talk(child: Child, header: dict[str, Any], blobs: Sequence[bytes]) -> Frame:
        await child.send(header, blobs)
        answer = await child.receive()
        if answer is None:
            raise ConnectionError("it ended")
        return answer
