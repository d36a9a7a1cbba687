"""One of our own Python processes behind pipes: frames in, frames out, its stderr into the log."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from armchair.serve.protocol import Frame, pack, receive

LONGEST_LINE = 2000  # characters of a line that a process writes on its stderr
SECRETS = ("ARMCHAIR_API_KEY",)  # environment variables that no other process needs


class Child:
    """Started by `Child.start`. It leaves when its stdin ends, so that none outlives the server."""

    def __init__(self, process: asyncio.subprocess.Process, log: Callable[[str], None]):
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        self.process = process
        self._in, self._out = process.stdin, process.stdout
        self._listening = asyncio.create_task(_lines(process.stderr, log))

    @classmethod
    async def start(
        cls,
        module: str,
        options: Mapping[str, Any],
        log: Callable[[str], None],
        environment: Mapping[str, str] | None = None,
    ) -> Child:
        inherited = {name: value for name, value in os.environ.items() if name not in SECRETS}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # a torch.py in the working directory is not what we mean
            "-m",
            module,
            json.dumps(options),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=2**20,
            env={**inherited, **({} if environment is None else environment)},
            start_new_session=True,  # Ctrl-C at the terminal is for the server alone, which then drains
        )
        return cls(process, log)

    @property
    def pid(self) -> int:
        return self.process.pid

    async def send(self, header: dict[str, Any], blobs: Sequence[bytes] = ()) -> None:
        """Raises ConnectionError where the process is gone."""
        self._in.write(pack(header, blobs))
        await self._in.drain()

    async def receive(self) -> Frame | None:
        """The next frame; None once the process has closed its side. Raises ProtocolError."""
        return await receive(self._out)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    async def stop(self, patience: float = 2.0) -> None:
        """Close its stdin, wait, kill what is still there, and let go of the pipes."""
        self._in.close()
        try:
            await asyncio.wait_for(self.process.wait(), patience)
        except TimeoutError:
            self.kill()
            await self.process.wait()
        self._listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._listening
        # without this the transport complains when it is collected after the loop has closed
        transport = getattr(self.process, "_transport", None)
        if transport is not None:
            transport.close()


async def _lines(stream: asyncio.StreamReader, log: Callable[[str], None]) -> None:
    while True:
        try:
            line = await stream.readline()
        except ValueError:  # a line beyond the buffer: what came of it is gone
            continue
        if not line:
            return
        log(line.decode("utf-8", "replace").rstrip()[:LONGEST_LINE])
