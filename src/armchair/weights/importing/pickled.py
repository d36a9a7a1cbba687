"""Tensors of files that torch wrote: a process without rights reads the pickle, this one the numbers."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

from torch import Tensor

from armchair.core.errors import ArmchairError
from armchair.core.tensorfile import NAMES, Lazy, Slot, read_at

READER = Path(__file__).with_name("sandbox.py")
DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in NAMES.values()}
TIMEOUT = 300  # seconds; the process itself stops after one minute of processor time


class RefusedFile(ArmchairError):
    """A foreign file asks for more than tensors, or cannot be read."""


def pickled(path: Path) -> dict[str, Lazy]:
    """A file of torch's (zip, stream, tar or TorchScript archive) as tensors by name, each read when it is
    asked for. Nothing that the file names is called. Raises RefusedFile.
    """
    try:
        with open(path, "rb") as file:
            done = subprocess.run(
                [sys.executable, "-I", "-S", str(READER)],
                stdin=file,
                capture_output=True,
                timeout=TIMEOUT,
            )
    except subprocess.TimeoutExpired as error:
        raise RefusedFile(f"{path} was not read: it took more than {TIMEOUT} seconds") from error
    except OSError as error:
        raise RefusedFile(f"{path} cannot be read: {error.strerror}") from error
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        raise RefusedFile(
            f"{path} was not read: it asked for more memory or time than weights need "
            f"(exit status {done.returncode})"
        ) from error
    if "tensors" not in answer:
        raise RefusedFile(f"{path} was not read: {answer.get('refused', 'no answer')}. Nothing in it was run")
    size = path.stat().st_size
    return {name: _lazy(path, name, entry, size) for name, entry in answer["tensors"].items()}


def _lazy(path: Path, name: str, entry: dict[str, Any], size: int) -> Lazy:
    """entry: dtype, shape and stride (in numbers), offset (in numbers) into `bytes` bytes from `first`"""
    dtype = DTYPES[entry["dtype"]]
    shape, stride = tuple(entry["shape"]), tuple(entry["stride"])
    empty = 0 in shape
    span = 0 if empty else 1 + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
    start = entry["first"] + entry["offset"] * dtype.itemsize
    end = start + span * dtype.itemsize
    if len(shape) != len(stride) or end > min(size, entry["first"] + entry["bytes"]):
        raise RefusedFile(f"{path} is cut short, or lies about the size of {name}")
    if math.prod(shape) > span and not empty:
        raise RefusedFile(f"{path}: {name} repeats its numbers to fill {list(shape)}")

    def read() -> Tensor:
        flat = read_at(path, Slot(dtype, (span,), start))
        return flat.as_strided(shape, stride).contiguous()

    return Lazy(dtype, shape, read)
