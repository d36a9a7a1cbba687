"""safetensors files one tensor at a time: read when asked for, written as a stream, or mapped.

A model larger than half of the memory can be converted and loaded this way. The format: 8 bytes with the
header's length, the header (JSON: name -> dtype, shape, data_offsets), the numbers.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from armchair.core.errors import ArmchairError

NAMES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
TYPES = {dtype: name for name, dtype in NAMES.items()}
LONGEST_HEADER = 100 * 2**20  # bytes; the format's own limit
ALIGNED = 64  # bytes: where the numbers of a file of ours start


class TensorFileError(ArmchairError):
    """A file of tensors is damaged, cut short or of another format."""


@dataclass(frozen=True)
class Lazy:
    """A tensor that is read when it is asked for."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    read: Callable[[], Tensor]  # the tensor itself, contiguous

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class Slot:
    """Where a tensor's numbers lie in a file."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int  # byte in the file

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def slots(path: Path) -> dict[str, Slot]:
    """What a safetensors file holds. Raises TensorFileError naming what is wrong with its header."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return parse(file.read(min(length, LONGEST_HEADER)), length, size, path)


def parse(text: bytes, length: int, size: int, path: Path) -> dict[str, Slot]:
    """A header's text, which should be `length` bytes of a file of `size` bytes, as slots. Raises
    TensorFileError.
    """
    if size < 8 or length != len(text):
        raise TensorFileError(f"{path} is no safetensors file, or cut short: its header is not whole")
    try:
        header = json.loads(text)
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        found = {name: _slot(entry, 8 + length) for name, entry in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise TensorFileError(
            f"{path} is no safetensors file, or damaged: its header cannot be read ({error})"
        ) from error
    for name, slot in found.items():
        if slot.start + slot.bytes > size:
            raise TensorFileError(
                f"{path} is cut short: {name} ends at byte {slot.start + slot.bytes:,}, the file at {size:,}"
            )
    return found


def _slot(entry: Mapping[str, Any], origin: int) -> Slot:
    dtype, shape = NAMES[entry["dtype"]], tuple(entry["shape"])
    start, end = entry["data_offsets"]
    if not all(type(n) is int and n >= 0 for n in (*shape, start, end)):
        raise ValueError(f"shape {list(shape)} at {start}..{end}")
    slot = Slot(dtype, shape, origin + start)
    if end - start != slot.bytes:
        raise ValueError(f"shape {list(shape)} does not fill bytes {start}..{end}")
    return slot


def lazy(path: Path) -> dict[str, Lazy]:
    """A safetensors file's tensors, each read when it is asked for. Raises TensorFileError."""
    return {
        name: Lazy(slot.dtype, slot.shape, lambda slot=slot: read_at(path, slot))
        for name, slot in slots(path).items()
    }


def read_at(path: Path, slot: Slot) -> Tensor:
    """The numbers at a place of a file. Raises TensorFileError where it ends before them."""
    if slot.bytes == 0:
        return torch.empty(slot.shape, dtype=slot.dtype)
    data = bytearray(slot.bytes)
    with open(path, "rb", buffering=0) as file:
        file.seek(slot.start)
        view = memoryview(data)
        while view:
            count = file.readinto(view)
            if not count:
                raise TensorFileError(f"{path} was cut short while it was read; bring it here again")
            view = view[count:]
    return torch.frombuffer(data, dtype=slot.dtype).view(slot.shape)


def write(path: Path, tensors: Mapping[str, Lazy]) -> tuple[int, str]:
    """Write a safetensors file, one tensor in memory at a time -> its size in bytes and its sha256."""
    header, end = {}, 0
    for name, tensor in tensors.items():
        start, end = end, end + tensor.bytes
        header[name] = {
            "dtype": TYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-(8 + len(text)) % ALIGNED)
    digest = hashlib.sha256()
    with open(path, "wb") as file:

        def put(data: Any) -> None:
            digest.update(data)
            file.write(data)

        put(len(text).to_bytes(8, "little"))
        put(text)
        for name, tensor in tensors.items():
            value = tensor.read().contiguous()
            assert (value.dtype, tuple(value.shape)) == (tensor.dtype, tensor.shape), name
            if value.numel():
                put(value.view(-1).view(torch.uint8).numpy().data)
        size = file.tell()
    return size, digest.hexdigest()


class Mapped:
    """A safetensors file over a private mapping: no memory until a number is read, and what is written to the
    tensors stays in this process. Raises TensorFileError for an empty file.
    """

    def __init__(self, path: Path):
        self.path = path
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                raise TensorFileError(f"{path} is empty")
            self._area = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)

    def __len__(self) -> int:
        return len(self._area)

    def sha256(self) -> str:
        found = hashlib.sha256(self._area).hexdigest()
        self.release()
        return found

    def tensors(self) -> dict[str, Tensor]:
        """Views into the mapping, which lives as long as one of them. Raises TensorFileError."""
        length = int.from_bytes(self._area[:8], "little")
        text = self._area[8 : 8 + min(length, LONGEST_HEADER)]
        return {
            name: torch.frombuffer(
                self._area, dtype=slot.dtype, count=math.prod(slot.shape), offset=slot.start
            ).view(slot.shape)
            if slot.bytes
            else torch.empty(slot.shape, dtype=slot.dtype)
            for name, slot in parse(text, length, len(self._area), self.path).items()
        }

    def release(self) -> None:
        """Give back the memory of what was read; it is read again when it is needed. Not once a tensor has
        been written to: that would be undone.
        """
        if hasattr(mmap, "MADV_DONTNEED") and sys.platform == "linux":
            self._area.madvise(mmap.MADV_DONTNEED)


def identity(path: Path) -> tuple[int, ...]:
    """What changes when a file is replaced or written to."""
    stat = os.stat(path)
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns
