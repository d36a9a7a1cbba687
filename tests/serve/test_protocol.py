"""Frames between the server's processes: what goes in comes out, and nothing that comes in runs or swells."""

from __future__ import annotations

import asyncio
import io
import json

import pytest

from armchair.serve.protocol import MAX_HEADER, Frame, ProtocolError, pack, read, receive

FRAMES = [({"kind": "beat"}, []), ({"kind": "picture", "text": "사과"}, [b"", b"\0" * 70_000, b"x"])]


def test_frames_survive_the_pipe():
    """Both readers, the blocking one and the one of the loop, over one stream of frames."""
    stream = b"".join(pack(header, blobs) for header, blobs in FRAMES)
    source = io.BytesIO(stream)

    async def all_of() -> list[Frame | None]:
        reader = asyncio.StreamReader()
        reader.feed_data(stream)
        reader.feed_eof()
        return [await receive(reader) for _ in range(3)]

    for found in ([read(source) for _ in range(3)], asyncio.run(all_of())):
        assert found[2] is None
        for frame, (header, blobs) in zip(found[:2], FRAMES, strict=True):
            assert frame is not None
            assert {**frame.header, "blobs": 0} == {**header, "blobs": 0}
            assert frame.blobs == blobs


@pytest.mark.parametrize("cut", [1, 3, 4, 10, -1])
def test_a_frame_cut_short_is_an_error(cut: int):
    """A process that dies within a frame must not look like one that ended."""
    stream = pack({"kind": "x"}, [b"abc"])[:cut]
    with pytest.raises(ProtocolError):
        read(io.BytesIO(stream))


def headed(header: object) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(4, "big") + text


@pytest.mark.parametrize(
    "stream",
    [
        (MAX_HEADER + 1).to_bytes(4, "big"),
        b"\0\0\0\2[]",
        b"\0\0\0\2{x",
        headed({"kind": "x"}),
        headed({"blobs": [-1]}),
        headed({"blobs": [2**40]}),
        headed({"blobs": [True]}),
        headed({"blobs": ["1"]}),
    ],
)
def test_nonsense_is_refused_before_it_takes_memory(stream: bytes):
    """Lengths are checked before anything of that length is read."""
    with pytest.raises(ProtocolError):
        read(io.BytesIO(stream))
