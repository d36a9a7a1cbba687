"""Durable files: after a crash there is the old content or the new one, never a half."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any

from armchair.core.errors import ArmchairError, BadInput

FULL = {errno.ENOSPC, errno.EDQUOT}


@contextlib.contextmanager
def clear_errors(path: Path) -> Generator[None]:
    """Turn an OSError while writing `path` into one line that names it: a full disk, a read-only folder..."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise ArmchairError(
                f"no space left on the disk while saving {path}; nothing there was changed: "
                "free some space and try again"
            ) from error
        raise ArmchairError(f"cannot save {path}: {error.strerror or error}") from error


def write_bytes(path: str | Path, data: bytes) -> Path:
    """Write or replace a file durably: temp file, fsync, rename, fsync of the folder. Makes missing folders.

    Raises ArmchairError where the disk is full or the place not writable; an old file is then untouched.
    """
    path = Path(path)
    with clear_errors(path), _temp_file(path, data) as temp:
        os.replace(temp, path)
        fsync_folder(path.parent)
    return path


def write_new(path: str | Path, data: bytes) -> bool:
    """Write a file durably only where there is none: False (and nothing written) when the name is taken."""
    path = Path(path)
    with clear_errors(path), _temp_file(path, data) as temp:
        try:
            os.link(temp, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}:
                raise
            # a file system without hard links: reserve the name, then move onto our own empty file
            try:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            except FileExistsError:
                return False
            os.replace(temp, path)
        fsync_folder(path.parent)
    return True


def write_beside(path: str | Path, data: bytes) -> Path:
    """Write a new file and return where: NAME-2, NAME-3 ... where the name is taken."""
    path = Path(path)
    place, count = path, 1
    while not write_new(place, data):
        count += 1
        place = path.with_name(f"{path.stem}-{count}{path.suffix}")
    return place


def write_json(path: str | Path, obj: Any) -> Path:
    """Write JSON durably, indented, Hangul as Hangul, with a final newline."""
    return write_bytes(path, dump_json(obj))


def dump_json(obj: Any) -> bytes:
    return (json.dumps(obj, indent=2, ensure_ascii=False) + "\n").encode()


@contextlib.contextmanager
def new_folder(path: str | Path, *, replace: bool = False) -> Generator[Path]:
    """Fill a folder that appears at `path` whole or not at all.

    Yields a temporary sibling; on success every file and folder in it is fsynced, it is renamed to `path`
    and the parent is fsynced; on an error it is removed. With `replace` an old folder gives way once the new
    one is complete; without it, raises BadInput where `path` exists and is not an empty folder.
    """
    path = Path(path)
    if not replace and _occupied(path):
        raise BadInput(f"{path} exists already; name a folder that does not")
    with clear_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temp = temp_name(path)
        temp.mkdir()
    try:
        yield temp
        with clear_errors(path):
            _fsync_tree(temp)
            old = None
            if replace and path.exists():
                old = temp_name(path)
                os.rename(path, old)
            os.rename(temp, path)
            fsync_folder(path.parent)
            if old is not None:
                shutil.rmtree(old)
    except OSError as error:
        with clear_errors(path):
            raise error
    finally:
        shutil.rmtree(temp, ignore_errors=True)


def sha256(path: str | Path) -> str:
    """The hex sha256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fsync_folder(path: Path) -> None:
    """Make the names in a folder durable. Windows cannot open folders, and needs no such thing."""
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def temp_name(path: Path) -> Path:
    """A hidden sibling of `path` that nobody else uses; a leftover of it is safe to delete."""
    return path.with_name(f".{path.name}.partial-{secrets.token_hex(6)}")


@contextlib.contextmanager
def _temp_file(path: Path, data: bytes) -> Generator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    temp = temp_name(path)
    try:
        handle = os.open(temp, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(handle, view) :]
            os.fsync(handle)
        finally:
            os.close(handle)
        yield temp
    finally:
        temp.unlink(missing_ok=True)


def _fsync_tree(folder: Path) -> None:
    for place, _, names in os.walk(folder):
        for name in names:
            handle = os.open(os.path.join(place, name), os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        fsync_folder(Path(place))


def _occupied(path: Path) -> bool:
    if path.is_dir() and not path.is_symlink():
        return any(path.iterdir())
    return path.exists() or path.is_symlink()
