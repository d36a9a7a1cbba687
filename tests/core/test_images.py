"""Pictures come from strangers: every damaged one gets a clear line, and masks mean what DESIGN says."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image

from armchair.core.errors import BadInput
from armchair.core.images import (
    contact_sheet,
    flat,
    keep_mask,
    open_image,
    parse_size,
    square,
    to_image,
    to_tensor,
)


def png(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def bomb() -> bytes:
    """A PNG that claims 100,000 x 100,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"0"))
        + chunk(b"IEND", b"")
    )


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 30, 3), np.uint8))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"hello, this is text", "not a picture"),
        (png(NOISE)[:900], "damaged or cut short"),
        (png(NOISE, "JPEG")[:900], "damaged or cut short"),
        (bomb(), "too large"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
    ],
)
def test_bad_files_get_one_clear_line(tmp_path: Path, data: bytes, words: str):
    """Missing, truncated, non-image, oversized: BadInput with the path, never a decoder's traceback."""
    path = tmp_path / "x.png"
    path.write_bytes(data)
    with pytest.raises(BadInput, match=words) as caught:
        open_image(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_folders(tmp_path: Path):
    """The two commonest slips of a command line."""
    with pytest.raises(BadInput, match="no such file"):
        open_image(tmp_path / "no.png")
    with pytest.raises(BadInput, match="is a folder"):
        open_image(tmp_path)
    with pytest.raises(BadInput, match="a picture is a path or a PIL image, not NoneType"):
        open_image(cast(Any, None))


def test_a_large_but_not_absurd_picture_is_refused_before_decoding():
    """65 megapixels pass PIL's own guard; ours must stop them without decoding."""
    with pytest.raises(BadInput, match="at most"):
        open_image(png(Image.new("1", (2**13 + 8, 2**13))))


def test_modes_become_rgb_or_rgba():
    """Networks see three channels; transparency must survive for masks; 16-bit grey keeps its tones."""
    assert open_image(png(Image.new("L", (4, 4), 9))).mode == "RGB"
    assert open_image(png(Image.new("LA", (4, 4)))).mode == "RGBA"
    palette = Image.new("P", (4, 4))
    palette.info["transparency"] = 0
    assert open_image(png(palette)).mode == "RGBA"
    deep = Image.fromarray(np.array([[0, 32768, 65535]], np.uint16))
    assert np.array(open_image(png(deep)))[0, :, 0].tolist() == [0, 128, 255]


def test_exif_rotation_is_applied():
    """Phones store portraits sideways."""
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.new("RGB", (40, 20)).save(buffer, "JPEG", exif=exif)
    assert open_image(buffer.getvalue()).size == (20, 40)


def test_tensors_round_trip_exactly():
    """A picture that goes to a tensor and back is the same 8-bit picture."""
    tensor = to_tensor(NOISE)
    assert tensor.shape == (3, 40, 30)
    assert 0 <= tensor.min() and tensor.max() <= 1
    assert np.array_equal(np.array(to_image(tensor)), np.array(NOISE))
    assert np.array(to_image(torch.full((3, 1, 1), 2.0)))[0, 0].tolist() == [255] * 3


def test_transparency_is_laid_on_white():
    """convert("RGB") alone shows the colours hidden under alpha 0."""
    clear = Image.new("RGBA", (2, 2), (255, 0, 0, 0))
    assert np.array(flat(clear)).min() == 255
    assert np.array(square(clear, 4)).min() == 255


def test_keep_mask_rules():
    """One rule for all editing: alpha 0 paints; a mask without transparency paints where it is white."""
    picture = Image.new("RGBA", (4, 2), (1, 2, 3, 255))
    picture.putpixel((0, 0), (1, 2, 3, 0))
    picture.putpixel((1, 0), (1, 2, 3, 7))  # nearly transparent is still kept
    keep = keep_mask(picture)
    assert keep.dtype == torch.bool
    assert keep.shape == (2, 4)
    assert (~keep).nonzero().tolist() == [[0, 0]]

    grey = Image.new("L", (4, 2), 0)
    grey.putpixel((3, 1), 255)
    assert (~keep_mask(picture, grey)).nonzero().tolist() == [[1, 3]]
    assert torch.equal(
        keep_mask(picture, grey.convert("RGBA")), keep_mask(picture, grey)
    )  # opaque alpha says nothing
    assert torch.equal(keep_mask(picture.convert("RGB"), picture), keep)


def test_keep_mask_refuses():
    """Sizes that differ, nothing to paint, nothing that says where."""
    picture = Image.new("RGB", (4, 2))
    with pytest.raises(BadInput, match="2x2 and the picture 4x2"):
        keep_mask(picture, Image.new("L", (2, 2)))
    with pytest.raises(BadInput, match="paints nothing"):
        keep_mask(picture, Image.new("L", (4, 2)))
    with pytest.raises(BadInput, match="no mask"):
        keep_mask(Image.new("RGB", (4, 2), "white"))


def test_sizes():
    """WIDTHxHEIGHT in pixels, and nothing else."""
    assert parse_size("64x32") == (64, 32)
    for wrong in ("64", "64x", "0x64", "-1x5", "64 x 64 px", "", 64, (64, 64)):
        with pytest.raises(BadInput, match="WIDTHxHEIGHT"):
            parse_size(wrong)


def test_contact_sheet_places_every_picture():
    """The sheet is evidence: each picture in its place, small ones enlarged by whole factors."""
    colours = ["red", "green", "blue"]
    sheet = contact_sheet(
        [Image.new("RGB", (8, 8), c) for c in colours], columns=2, cell=20, labels=["a", "나", "c"]
    )
    seen = [sheet.getpixel((14 + 24 * (i % 2), 14 + 38 * (i // 2))) for i in range(3)]
    assert seen == [(255, 0, 0), (0, 128, 0), (0, 0, 255)]
    with pytest.raises(BadInput, match="at least one"):
        contact_sheet([], columns=2)
