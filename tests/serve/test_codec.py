"""What is decoded, what is refused before it is decoded, and what leaves with a picture."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import zlib
from typing import Any

import pytest
from PIL import Image, ImageCms, PngImagePlugin

from armchair.serve.canvas import Size, fit
from armchair.serve.codec import EXIF_COMMENT, Rejected, decode, encode
from tests.serve.running import opened, png

ALL = ["PNG", "JPEG", "WEBP"]


def decoded(data: bytes, formats: list[str] | None = None) -> tuple[dict[str, Any], Image.Image]:
    answer, pixels = decode(data, ALL if formats is None else formats)
    return answer, Image.frombytes(answer["pixels"], (answer["width"], answer["height"]), pixels)


def rejected(data: bytes, formats: list[str] | None = None) -> str:
    with pytest.raises(Rejected) as refused:
        decode(data, ALL if formats is None else formats)
    return refused.value.kind


@pytest.mark.parametrize(
    ("mode", "own", "pixels"),
    [
        ("1", "1", "RGB"),
        ("L", "L", "RGB"),
        ("LA", "LA", "RGBA"),
        ("P", "P", "RGB"),
        ("RGB", "RGB", "RGB"),
        ("RGBA", "RGBA", "RGBA"),
        ("I;16", "I;16", "RGB"),
    ],
)
def test_modes(mode: str, own: str, pixels: str):
    """The file's own mode decides what OpenAI's rule says; the pixels are one of two."""
    answer, image = decoded(png(mode=mode))
    assert (answer["mode"], image.mode, image.size) == (own, pixels, (16, 16))


def test_a_palette_with_transparency_has_alpha():
    """A common way of saving a mask small."""
    buffer = io.BytesIO()
    Image.new("P", (8, 8), 0).save(buffer, "PNG", transparency=0)
    answer, image = decoded(buffer.getvalue())
    assert answer["mode"] == "RGBA"
    assert image.getchannel("A").getextrema() == (0, 0)


def test_hidden_colours_never_show():
    """What lies under alpha 0 must not reach the model: two uploads that look alike are alike."""
    secret = [png(mode="RGBA", colour=(red, 1, 2, 0)) for red in (0, 250)]
    assert decode(secret[0], ALL) == decode(secret[1], ALL)
    assert decoded(secret[0])[1].getpixel((0, 0)) == (255, 255, 255, 0)
    assert decoded(png(mode="RGBA", colour=(9, 1, 2, 1)))[1].getpixel((0, 0)) == (9, 1, 2, 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_stand_upright(orientation: int):
    """A phone's picture is turned before its sides are looked at."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    for form in ALL:
        answer, _ = decoded(png((4, 2), form=form, exif=exif))
        assert (answer["width"], answer["height"]) == ((4, 2) if orientation < 5 else (2, 4))


def test_only_the_formats_asked_for():
    """By the bytes, never by a name; and a decoder that is not asked for is not even imported."""
    assert rejected(png(form="JPEG"), ["PNG"]) == "format"
    for form in ("GIF", "BMP", "TIFF", "PPM", "ICO", "TGA", "EPS"):
        assert rejected(png(form=form)) == "format", form
    assert rejected(b"RIFF\0\0\0\0WAVEfmt ") == "format"
    for data in (b"", b"\x89PNG", b"<svg/>", b"%!PS-Adobe-3.0 EPSF-3.0", b"\0" * 100):
        assert rejected(data) == "format"
    code = (
        "import sys; from armchair.serve.codec import decode, Rejected\n"
        "for data in sys.stdin.buffer.read().split(b'|||'):\n"
        "    try: decode(data, ['PNG', 'JPEG', 'WEBP'])\n"
        "    except Rejected: pass\n"
        "names = ('Eps', 'Tiff', 'Jpeg2K', 'Psd', 'Fits', 'Avif', 'Icns', 'Wmf')\n"
        "print([n for n in names if f'PIL.{n}ImagePlugin' in sys.modules])"
    )
    corpus = b"|||".join([b"%!PS-Adobe", b"8BPS", b"II*\0", png(), b"\x89PNG\r\n\x1a\nx"])
    done = subprocess.run([sys.executable, "-c", code], input=corpus, capture_output=True, timeout=60)
    assert done.stdout.strip() == b"[]", done.stderr


def test_every_cut_is_an_error():
    """Never a picture with a grey tail."""
    for form in ALL:
        # noise, so that no byte is idle
        image = Image.frombytes("RGB", (9, 7), bytes(i * 37 % 251 for i in range(189)))
        buffer = io.BytesIO()
        image.save(buffer, form)
        data = buffer.getvalue()
        for cut in range(len(data)):
            assert rejected(data[:cut]) in {"format", "broken"}, (form, cut)


def test_every_flipped_byte_is_a_picture_or_an_error():
    """Nothing else: no other exception ends the process's loop."""
    for form in ALL:
        data = png((5, 4), form=form)
        for place in range(len(data)):
            try:
                decode(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :], ALL)
            except Rejected:
                pass


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header promises so many pixels, with none of them in it."""
    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("size", [(13_377, 13_377), (4097, 1), (1, 4097), (50_000, 50_000), (2**31 - 1, 1)])
def test_bombs_are_refused_by_their_header(size: tuple[int, int]):
    """Before a byte of them is inflated."""
    assert rejected(bomb(*size)) == "large"


def test_no_sides_and_no_body():
    """A header alone."""
    assert rejected(bomb(0, 0)) == "broken"
    assert rejected(bomb(4, 4)) == "broken"


def test_moving_pictures_and_fat_metadata_are_refused():
    """Frames that nobody sees, and a text that inflates to ten megabytes."""
    buffer = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), (i * 90, 0, 0)) for i in range(3)]
    for form in ("PNG", "WEBP"):
        buffer = io.BytesIO()
        frames[0].save(buffer, form, save_all=True, append_images=frames[1:])
        assert rejected(buffer.getvalue()) == "broken"
    text = chunk(b"zTXt", b"k\0\0" + zlib.compress(b"x" * 10_000_000))
    data = png()
    assert rejected(data[:33] + text + data[33:]) == "broken"


def test_what_follows_the_end_is_dropped():
    """A second file glued on has no effect."""
    assert decode(png() + b"<script>" + png((9, 9)), ALL) == decode(png(), ALL)


def coded(form: str, recipe: dict[str, Any] | None, **more: Any) -> bytes:
    header = {"size": (2, 2), "target": None, "format": form, "compression": 100, **more}
    return encode(bytes(range(12)), b"" if recipe is None else json.dumps(recipe).encode(), header)


def test_pictures_carry_their_recipe_and_nothing_else():
    """PNG as `armchair redo` reads it; the others in a comment."""
    recipe = {"prompt": "사과", "seed": 7}
    image = opened(coded("png", recipe))
    assert isinstance(image, PngImagePlugin.PngImageFile)
    assert json.loads(image.text["armchair"]) == recipe
    assert image.tobytes() == bytes(range(12))
    for form in ("jpeg", "webp"):
        comment = opened(coded(form, recipe)).getexif().get_ifd(0x8769)[EXIF_COMMENT]
        assert json.loads(comment.removeprefix(b"UNICODE\0").decode("utf-16-be")) == recipe
    for form in ("png", "jpeg", "webp"):
        bare = opened(coded(form, None))
        assert not bare.getexif()
        assert not getattr(bare, "text", {})


def test_a_long_recipe_does_not_break_a_jpeg():
    """64 KiB are all that its format has for it; the picture matters more."""
    assert opened(coded("jpeg", {"source": "x" * 100_000})).size == (2, 2)


def test_an_uploads_metadata_ends_with_the_decoding():
    """Pixels alone go on: no profile, no place where a photograph was taken."""
    exif = Image.Exif()
    exif[0x010E] = "secret"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    answer, pixels = decode(png(form="PNG", exif=exif, icc_profile=profile), ALL)
    assert b"secret" not in pixels
    assert set(answer) == {"width", "height", "mode", "pixels"}


def test_other_shapes_are_filled_up_and_nothing_is_cut_off():
    """A square drawing in a wide frame stands whole in its own background."""
    image = Image.new("RGB", (8, 8), (10, 20, 30))
    image.putpixel((4, 4), (255, 0, 0))
    wide = fit(image, Size(32, 16))
    assert wide.size == (32, 16)
    assert wide.getpixel((0, 0)) == wide.getpixel((31, 15)) == (10, 20, 30)
    assert wide.getpixel((17, 9))[0] > 100  # pyright: ignore[reportOptionalSubscript, reportIndexIssue]
    assert fit(image, Size(8, 8)) is image
    assert fit(image, Size(4, 4)).size == (4, 4)
