"""Pictures in and out: opening with clear errors, tensors, masks, sizes and contact sheets.

torch is imported where a tensor is made, so that reading a picture's recipe stays instant.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError

from armchair.core.errors import BadInput

if TYPE_CHECKING:
    from torch import Tensor

MAX_PIXELS = 64 * 2**20  # a picture beyond this is refused before it is decoded: 64 MPix are 256 MB as RGBA
FORMATS = (
    "PNG",
    "JPEG",
    "WEBP",
    "GIF",
    "BMP",
    "TIFF",
    "PPM",
    "AVIF",
)  # no decoder that starts other programs
FONTS = (
    "NotoSansCJK-Regular.ttc",
    "NanumGothic.ttf",
    "malgun.ttf",
    "AppleGothic.ttf",
    "AppleSDGothicNeo.ttc",
)


def open_image(source: str | Path | bytes | Image.Image, name: str | None = None) -> Image.Image:
    """A picture from a path, its bytes or PIL, turned upright, as RGB, or RGBA where it has transparency.

    name: what to call it in errors. Raises BadInput for a missing, empty, truncated, oversized or non-image
    file.
    """
    if isinstance(source, Image.Image):
        return _decoded(source, name or "the picture")
    label = name or (f"these {len(source)} bytes" if isinstance(source, bytes) else str(source))
    try:
        if not isinstance(source, bytes):
            source = Path(source).read_bytes()
    except TypeError:
        raise BadInput(f"a picture is a path or a PIL image, not {type(source).__name__}") from None
    except FileNotFoundError:
        raise BadInput(f"{label}: no such file") from None
    except IsADirectoryError:
        raise BadInput(f"{label} is a folder, not a picture") from None
    except OSError as error:
        raise BadInput(f"{label} cannot be read: {error.strerror}") from error
    if not source:
        raise BadInput(f"{label} is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(source), formats=FORMATS)
    except Image.DecompressionBombError:
        raise BadInput(f"{label} is too large: at most {MAX_PIXELS:,} pixels are read") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise BadInput(
            f"{label} is not a picture, or only its beginning; we read {', '.join(FORMATS)}"
        ) from error
    return _decoded(image, label)


def to_tensor(image: Image.Image) -> Tensor:
    """A PIL picture as (3, H, W) float 0..1; transparency is laid on white."""
    import torch

    pixels = np.array(flat(image))  # (H, W, 3) uint8
    return torch.as_tensor(pixels).permute(2, 0, 1).contiguous().float() / 255  # (3, H, W)


def to_image(tensor: Tensor) -> Image.Image:
    """(3, H, W) float 0..1 as a PIL picture: clamped, rounded to the nearest of 256 levels."""
    if tensor.ndim != 3 or tensor.shape[0] != 3:
        raise BadInput(f"a picture is (3, height, width), not {tuple(tensor.shape)}")
    pixels = tensor.detach().float().clamp(0, 1).mul(255).round().byte().permute(1, 2, 0)  # (H, W, 3)
    return Image.fromarray(pixels.cpu().contiguous().numpy())


def from_pixels(image: Tensor) -> Tensor:
    """0..1 -> -1..1, the range in which diffusion works"""
    return image * 2 - 1


def to_pixels(x: Tensor) -> Tensor:
    """-1..1 -> 0..1, clipped"""
    return (x.float() * 0.5 + 0.5).clamp(0, 1)


def flat(image: Image.Image, background: tuple[int, int, int] = (255, 255, 255)) -> Image.Image:
    """The picture as RGB, with what is transparent laid on a plain background."""
    if not _has_alpha(image):
        return image.convert("RGB")
    sheet = Image.new("RGBA", image.size, (*background, 255))
    sheet.alpha_composite(image.convert("RGBA"))
    return sheet.convert("RGB")


def square(image: Image.Image, side: int) -> Image.Image:
    """The middle square of a picture at `side` pixels, as RGB on white."""
    return ImageOps.fit(flat(image), (side, side), Image.Resampling.LANCZOS)


def resized(image: Image.Image, keep: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """A picture and its mask (H, W) at another size (width, height) of the same ratio: (1, 3, height, width)
    in 0..1 and (1, 1, height, width) bool. What is partly to be painted is painted.
    """
    from torch.nn import functional as F

    plain = flat(image)
    if plain.size != size:
        plain = plain.resize(size, Image.Resampling.LANCZOS)
    paint = (~keep).float()[None, None]
    if size[1] < keep.shape[0]:
        paint = F.adaptive_max_pool2d(paint, size[::-1])
    elif size[1] > keep.shape[0]:
        paint = F.interpolate(paint, size=size[::-1], mode="nearest")
    return to_tensor(plain)[None], paint == 0


def parse_size(text: object) -> tuple[int, int]:
    """ "64x64" -> (64, 64): width, height in pixels. Raises BadInput."""
    match = re.fullmatch(r"([1-9]\d{0,4})[xX×]([1-9]\d{0,4})", str(text).strip())
    if match is None:
        raise BadInput(f"size {text!r} is not WIDTHxHEIGHT, as in 256x256")
    return int(match[1]), int(match[2])


def keep_mask(image: Image.Image, mask: Image.Image | None = None) -> Tensor:
    """What an edit must keep: (H, W) bool, True = kept, False = to be painted.

    Transparency decides where there is any: alpha 0 paints. A mask without any is read as grey: white paints.
    Without a mask the picture's own transparency counts.
    Raises BadInput where sizes differ, nothing is to be painted, or there is neither mask nor transparency.
    """
    import torch

    source = image if mask is None else mask
    if mask is not None and mask.size != image.size:
        sizes = f"{mask.width}x{mask.height} and the picture {image.width}x{image.height}"
        raise BadInput(f"the mask is {sizes}; they must be equal")
    paint = (
        np.array(source.convert("RGBA"))[:, :, 3] == 0 if _has_alpha(source) else np.zeros(0, bool)
    )  # (H, W)
    if not paint.any():
        if mask is None:
            raise BadInput(
                "no mask given and the picture has no fully transparent pixel: nothing says where to paint"
            )
        paint = np.array(source.convert("L")) >= 128
    if not paint.any():
        raise BadInput("the mask paints nothing; make white (or fully transparent) what is to be painted")
    return torch.as_tensor(~paint)


def contact_sheet(
    images: Sequence[Image.Image],
    columns: int,
    labels: Sequence[str] | None = None,
    cell: int | None = None,
    gap: int = 4,
) -> Image.Image:
    """Pictures in rows of `columns` on white, each fitted into a square cell, a label line below each if
    given.

    cell: pixels per side; None takes the largest side among the pictures. Raises BadInput for no pictures.
    """
    if not images:
        raise BadInput("a contact sheet needs at least one picture")
    if labels is not None and len(labels) != len(images):
        raise BadInput(f"{len(images)} pictures have {len(labels)} labels")
    side = max(max(image.size) for image in images) if cell is None else cell
    columns = min(columns, len(images))
    strip = 0 if labels is None else 14
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * (side + gap) + gap, rows * (side + strip + gap) + gap), "white")
    pen = ImageDraw.Draw(sheet)
    for index, image in enumerate(images):
        x = gap + index % columns * (side + gap)
        y = gap + index // columns * (side + strip + gap)
        shown = flat(image)
        if shown.size != (side, side):
            whole = max(
                1, side // max(shown.size)
            )  # small pictures grow by whole factors, so pixels stay square
            scale = whole if max(shown.size) <= side else side / max(shown.size)
            size = (max(1, round(shown.width * scale)), max(1, round(shown.height * scale)))
            shown = shown.resize(size, Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS)
        sheet.paste(shown, (x + (side - shown.width) // 2, y + (side - shown.height) // 2))
        if labels is not None:
            _write(pen, (x, y + side + 1), labels[index], side)
    return sheet


def _write(pen: ImageDraw.ImageDraw, place: tuple[int, int], text: str, width: int) -> None:
    font = _font(text)
    while text and pen.textlength(text, font=font) > width:
        text = text[:-1]
    pen.text(place, text, fill="black", font=font)


def _font(text: str) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    if not text.isascii():  # the built-in font has no Hangul
        for name in FONTS:
            try:
                return ImageFont.truetype(name, 10)
            except OSError:
                continue
    return ImageFont.load_default(10)


def _decoded(image: Image.Image, label: str) -> Image.Image:
    if image.width * image.height > MAX_PIXELS:
        raise BadInput(f"{label} is {image.width}x{image.height}; at most {MAX_PIXELS:,} pixels are read")
    if image.width == 0 or image.height == 0:
        raise BadInput(f"{label} has no pixels")
    try:
        image.load()
        image = ImageOps.exif_transpose(image)
    except (
        Exception
    ) as error:  # decoders raise OSError, SyntaxError, struct.error, zlib.error ... for damaged files
        raise BadInput(f"{label} is damaged or cut short: {error}") from error
    if _has_alpha(image):
        return image.convert("RGBA")
    if image.mode.startswith("I;16") or image.mode in {"I", "F"}:
        return _eight_bits(image)
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey keeps its tones (PIL alone would clip everything over 255 to white)."""
    values = np.array(image, dtype=np.float64)
    top = 1.0 if image.mode == "F" and values.max() <= 1 else 65535.0 if values.max() > 255 else 255.0
    return Image.fromarray((values / top * 255).clip(0, 255).round().astype(np.uint8)).convert("RGB")


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in {"RGBA", "LA", "PA", "La", "RGBa"} or "transparency" in image.info
