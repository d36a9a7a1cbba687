"""What the server's processes say to each other: a JSON header and raw bytes. Nothing here runs code.

    frame = 4 bytes: length of the header, big-endian | header: a JSON object | the blobs, one after another

The header's "blobs" holds their lengths.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, BinaryIO, NamedTuple, cast

MAX_HEADER = 4 * 2**20  # bytes
MAX_BLOBS = 2**30  # bytes, of one frame


class Frame(NamedTuple):
    header: dict[str, Any]
    blobs: list[bytes]


class ProtocolError(Exception):
    """The other side sent what is no frame, or ended within one."""


def pack(header: dict[str, Any], blobs: Sequence[bytes] = ()) -> bytes:
    text = json.dumps({**header, "blobs": [len(blob) for blob in blobs]}, ensure_ascii=True).encode()
    assert len(text) <= MAX_HEADER and sum(map(len, blobs)) <= MAX_BLOBS
    return b"".join([len(text).to_bytes(4, "big"), text, *blobs])


def read(stream: BinaryIO) -> Frame | None:
    """The next frame of a blocking stream; None at its end. Raises ProtocolError."""
    start = _exactly(stream, 4, end_is_fine=True)
    if start is None:
        return None
    header, lengths = _parse(_exactly(stream, _header_length(start)) or b"")
    return Frame(header, [_exactly(stream, length) or b"" for length in lengths])


async def receive(stream: asyncio.StreamReader) -> Frame | None:
    """The next frame of a stream; None at its end. Raises ProtocolError."""
    try:
        start = await stream.readexactly(4)
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise ProtocolError("the stream ended within a frame") from error
        return None
    try:
        header, lengths = _parse(await stream.readexactly(_header_length(start)))
        return Frame(header, [await stream.readexactly(length) for length in lengths])
    except asyncio.IncompleteReadError as error:
        raise ProtocolError("the stream ended within a frame") from error


def _header_length(start: bytes) -> int:
    length = int.from_bytes(start, "big")
    if length > MAX_HEADER:
        raise ProtocolError(f"a header of {length} bytes")
    return length


def _parse(text: bytes) -> tuple[dict[str, Any], list[int]]:
    try:
        header = json.loads(text)
    except ValueError as error:
        raise ProtocolError("a header that is not JSON") from error
    if not isinstance(header, dict):
        raise ProtocolError("a header that is no object")
    lengths = cast(dict[str, Any], header).get("blobs")
    if not isinstance(lengths, list) or not all(
        type(n) is int and n >= 0 for n in cast(list[object], lengths)
    ):
        raise ProtocolError("a header without the lengths of its blobs")
    if sum(cast(list[int], lengths)) > MAX_BLOBS:
        raise ProtocolError("blobs beyond the limit")
    return cast(dict[str, Any], header), cast(list[int], lengths)


def _exactly(stream: BinaryIO, count: int, end_is_fine: bool = False) -> bytes | None:
    parts: list[bytes] = []
    left = count
    while left > 0:
        part = stream.read(left)
        if not part:
            if end_is_fine and left == count:
                return None
            raise ProtocolError("the stream ended within a frame")
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
