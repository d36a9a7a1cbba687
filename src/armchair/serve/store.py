"""Results behind URLs: named so that nobody guesses them, gone after their hour, shared by several servers.

    EXPIRES-OWNER-TOKEN.EXTENSION      seconds since 1970 as hex, whose key, 128 random bits

All that is known of a result is in its name, so that any server with the same folder serves and clears it.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from armchair.core.errors import BadInput
from armchair.core.files import write_bytes
from armchair.serve.errors import overloaded

NAME = re.compile(r"([0-9a-f]{10})-([0-9a-f]{8})-([0-9a-f]{32})\.(png|jpeg|webp)")
LEFTOVER = 3600.0  # seconds after which a half-written file is nobody's


class Shelf(Protocol):
    """Where files lie. Blocking: called in a thread."""

    def put(self, name: str, data: bytes) -> None: ...
    def get(self, name: str) -> bytes | None: ...
    def list(self) -> dict[str, int]:
        """Names and bytes."""
        ...

    def delete(self, name: str) -> None: ...
    def tidy(self) -> None:
        """Remove what a crash left half-written."""
        ...


class Folder:
    """A folder of this machine, or one that several machines mount."""

    def __init__(self, path: str | Path):
        """Raises BadInput where nothing can be written there."""
        self.path = Path(path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            writable = os.access(self.path, os.W_OK | os.X_OK)
        except OSError:
            writable = False
        if not writable:
            raise BadInput(f"store {path} is no folder that this user can write to: name another one")

    def put(self, name: str, data: bytes) -> None:
        write_bytes(self.path / name, data)

    def get(self, name: str) -> bytes | None:
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None

    def list(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for file in self.path.glob("*-*-*.*"):
            try:
                found[file.name] = file.stat().st_size
            except FileNotFoundError:  # another server cleared it
                continue
        return found

    def delete(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)

    def tidy(self) -> None:
        for file in self.path.glob(".*.partial-*"):
            try:
                if time.time() - file.stat().st_mtime > LEFTOVER:
                    file.unlink()
            except FileNotFoundError:
                continue


class Remote:
    """Anything that fsspec reaches: s3://bucket/folder, gs://..., memory://..."""

    files: Any
    root: str

    def __init__(self, url: str):
        import importlib

        fsspec: Any = importlib.import_module("fsspec.core")
        try:
            self.files, self.root = fsspec.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise BadInput(f"store {url}: {error}") from error

    def put(self, name: str, data: bytes) -> None:
        self.files.pipe_file(f"{self.root}/{name}", data)

    def get(self, name: str) -> bytes | None:
        try:
            return self.files.cat_file(f"{self.root}/{name}")
        except FileNotFoundError:
            return None

    def list(self) -> dict[str, int]:
        try:
            found: list[dict[str, Any]] = self.files.ls(self.root, detail=True, refresh=True)
        except FileNotFoundError:
            return {}
        return {entry["name"].rsplit("/", 1)[-1]: int(entry["size"] or 0) for entry in found}

    def delete(self, name: str) -> None:
        try:
            self.files.rm_file(f"{self.root}/{name}")
        except FileNotFoundError:
            return

    def tidy(self) -> None:
        """Objects appear whole."""


class Store:
    """seconds: how long a result lives        quota: bytes of all results together"""

    def __init__(self, shelf: Shelf, *, seconds: float, quota: int, clock: Callable[[], float] = time.time):
        self.shelf, self.seconds, self.quota, self.clock = shelf, seconds, quota, clock
        self.used = 0  # bytes, as of the last sweep and our own since

    @classmethod
    def open(cls, place: str, *, seconds: float, quota: int) -> Store:
        """A folder, or an fsspec URL. Raises BadInput."""
        shelf = Remote(place) if "://" in place else Folder(place)
        return cls(shelf, seconds=seconds, quota=quota)

    def check(self) -> None:
        """Raises ApiError 503 where nothing more fits: nothing is drawn that could not be fetched."""
        if self.used >= self.quota:
            raise overloaded(60)

    async def put(self, data: bytes, extension: str, owner: str) -> str:
        """Keep a result; its name."""
        expires = int(self.clock() + self.seconds)
        name = f"{expires:010x}-{owner}-{secrets.token_hex(16)}.{extension}"
        self.used += len(data)
        await asyncio.to_thread(self.shelf.put, name, data)
        return name

    async def get(self, name: str, owner: str | None) -> tuple[bytes, str] | None:
        """A result and its media type; None where there is none, its hour is over, or it is another key's.

        owner: None for a caller without a key, whom the name itself admits.
        """
        match = NAME.fullmatch(name)
        if match is None or int(match[1], 16) <= self.clock() or owner not in {None, match[2]}:
            return None
        data = await asyncio.to_thread(self.shelf.get, name)
        return None if data is None else (data, f"image/{match[4]}")

    async def sweep(self) -> None:
        """Delete what has had its hour, and count the rest."""
        await asyncio.to_thread(self._sweep)

    def _sweep(self) -> None:
        now, used = self.clock(), 0
        for name, size in self.shelf.list().items():
            match = NAME.fullmatch(name)
            if match is None:
                continue  # not ours
            if int(match[1], 16) <= now:
                self.shelf.delete(name)
            else:
                used += size
        self.shelf.tidy()
        self.used = used
