"""A process that decodes what callers upload and encodes what is drawn: little memory, little time, no more.

Run by `codecs.Codecs` as `python -m armchair.serve.codec`. A picture is looked at (format, sides, frames)
before any of it is decoded; what the decoders hit beyond that ends this process alone.
"""

from __future__ import annotations

import io
import signal
import sys
import warnings
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from armchair.core.errors import BadInput
from armchair.core.images import open_image
from armchair.serve.canvas import Size, fit
from armchair.serve.protocol import pack, read

try:
    import resource
except ImportError:  # Windows has none: the caps before decoding and the caller's clock remain
    resource = None

MAX_SIDE = 4096  # pixels
MAX_PIXELS = 4096 * 4096
CPU_SECONDS = 5  # for one picture in or out
MEMORY = 512 * 2**20  # bytes beyond what the imports take
SIGNATURES = {"PNG": b"\x89PNG\r\n\x1a\n", "JPEG": b"\xff\xd8\xff", "WEBP": b"RIFF"}
EXIF_COMMENT = 0x9286  # UserComment: where JPEG and WebP carry the recipe


class Rejected(Exception):
    """A picture that is not taken. kind: "format", "large" or "broken"."""

    def __init__(self, kind: str):
        super().__init__(kind)
        self.kind = kind


def main() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it leaves when its stdin ends, with the server
    limit_memory()
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while (frame := read(source)) is not None:
        limit_time()
        try:
            if frame.header["op"] == "decode":
                answer, blob = decode(frame.blobs[0], frame.header["formats"])
            else:
                answer, blob = {}, encode(frame.blobs[0], frame.blobs[1], frame.header)
        except Rejected as error:
            answer, blob = {"error": error.kind}, b""
        except MemoryError:
            answer, blob = {"error": "large"}, b""
        say(sink, answer, blob)


def say(sink: BinaryIO, answer: dict[str, Any], blob: bytes) -> None:
    sink.write(pack(answer, [blob]))
    sink.flush()


def decode(data: bytes, formats: list[str]) -> tuple[dict[str, Any], bytes]:
    """An upload as upright RGB or RGBA pixels, white below alpha 0. Raises Rejected.

    The answer tells the size, the picture's own mode ("mode") and that of the pixels ("pixels").
    """
    form = next((name for name in formats if data.startswith(SIGNATURES[name])), None)
    if form is None or (form == "WEBP" and data[8:12] != b"WEBP"):
        raise Rejected("format")
    if not whole(data, form):
        raise Rejected("broken")
    mode = look(data, form)
    try:
        image = open_image(data)
    except BadInput:
        raise Rejected("broken") from None
    if image.mode == "RGBA":
        pixels = np.array(image)  # (H, W, 4)
        pixels[pixels[:, :, 3] == 0, :3] = 255  # what is hidden there must not show in what is drawn
        image = Image.fromarray(pixels)
    answer = {"width": image.width, "height": image.height, "mode": mode, "pixels": image.mode}
    return answer, image.tobytes()


def whole(data: bytes, form: str) -> bool:
    """Whether a file has its end: decoders are content once they have all pixels, or fill up with grey."""
    if form == "WEBP":
        return int.from_bytes(data[4:8], "little") + 8 <= len(data)
    if form == "JPEG":
        return data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda") > 0
    place = 8
    while place + 12 <= len(data):
        length, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        if kind == b"IEND":
            return True
        place += 12 + length
    return False


def look(data: bytes, form: str) -> str:
    """The mode of a picture by its header. Raises Rejected for one that is too large, moves or is broken."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=[form])
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise Rejected("large") from None
    except MemoryError:
        raise
    except Exception:  # decoders raise OSError, SyntaxError, struct.error, ValueError ... for damaged files
        raise Rejected("broken") from None
    if max(image.size) > MAX_SIDE or image.width * image.height > MAX_PIXELS:
        raise Rejected("large")
    if getattr(image, "n_frames", 1) != 1:
        raise Rejected("broken")
    if image.mode == "P" and "transparency" in image.info:
        return "RGBA"
    return image.mode


def encode(pixels: bytes, recipe: bytes, header: dict[str, Any]) -> bytes:
    """RGB pixels as a file of a format, fitted to the size asked for, the recipe (JSON, or empty) inside."""
    from PIL.PngImagePlugin import PngInfo

    image = Image.frombytes("RGB", Size(*header["size"]), pixels)
    if header["target"] is not None:
        image = fit(image, Size(*header["target"]))
    buffer, text = io.BytesIO(), recipe.decode()
    if header["format"] == "png":
        info = PngInfo()
        if text:
            info.add_itxt("armchair", text, zip=True)
        image.save(buffer, format="PNG", pnginfo=info)
        return buffer.getvalue()
    exif = Image.Exif()
    if text:
        exif.get_ifd(0x8769)[EXIF_COMMENT] = b"UNICODE\0" + text.encode("utf-16-be")
    form = header["format"].upper()
    # 64 KiB are all that JPEG has for it
    held = exif if form == "WEBP" or len(exif.tobytes()) < 65_000 else Image.Exif()
    image.save(buffer, format=form, quality=max(1, min(95, header["compression"])), exif=held)
    return buffer.getvalue()


def limit_memory() -> None:
    """No more than MEMORY beyond what is mapped now, where the system tells how much that is."""
    if resource is None or not sys.platform.startswith("linux"):
        return
    with open("/proc/self/statm", encoding="ascii") as file:
        mapped = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY, mapped + MEMORY))


def limit_time() -> None:
    """CPU_SECONDS from now on; the process is killed where it takes longer."""
    if resource is None:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + 1 + CPU_SECONDS, hard))


if __name__ == "__main__":
    main()
