"""A scene as pixels."""

from functools import lru_cache
from hashlib import sha256

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from armchair.data.world.art import Art
from armchair.data.world.backgrounds import background
from armchair.data.world.layout import Box, sign_box
from armchair.data.world.packages import PACKAGES
from armchair.data.world.scene import Scene

TINT_RGB = {
    "red": (216, 38, 40),
    "orange": (244, 128, 24),
    "yellow": (248, 204, 30),
    "green": (52, 160, 64),
    "blue": (40, 100, 220),
    "purple": (134, 64, 190),
    "pink": (246, 120, 176),
    "black": (44, 44, 48),
}
BOARDS = (  # board, letters and rim
    ((255, 252, 240), (40, 40, 44)),
    ((250, 214, 70), (40, 36, 20)),
    ((34, 112, 72), (255, 255, 255)),
)


def render(scene: Scene, size: int, art: Art) -> np.ndarray:
    """(rows, columns, 3) uint8, the shorter of the two `size`. The layout is the same at every size, to a
    pixel.
    """
    width, height = scene.sides(size)
    canvas = _ground(scene, width, height)
    if scene.sign is not None:
        _draw_sign(canvas, scene.sign, sign_box(scene.index), _seed(scene))
    for i in scene.draw_order:
        thing = scene.things[i]
        for box in thing.boxes:
            x0, y0, x1, y1 = pixels(box, width, height)
            picture = art.picture(thing.concept, thing.style, max(x1 - x0, y1 - y0))
            picture = _resized(picture, x1 - x0, y1 - y0)
            if thing.tint != "natural":
                picture = tinted(picture, thing.tint, PACKAGES[thing.style].strokes)
            _paste(canvas, picture, x0, y0)
    return canvas


def pixels(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) in whole pixels, inside the frame, at least one pixel wide and high."""
    w, h = max(1, round(box.w * width)), max(1, round(box.h * height))
    x = min(max(round((box.x - box.w / 2) * width), 0), width - w)
    y = min(max(round((box.y - box.h / 2) * height), 0), height - h)
    return x, y, x + w, y + h


def _ground(scene: Scene, width: int, height: int) -> np.ndarray:
    """(height, width, 3) uint8: the middle of a square background."""
    side = max(width, height)
    left, top = (side - width) // 2, (side - height) // 2
    square = background(scene.background, side, _seed(scene))
    return np.ascontiguousarray(square[top : top + height, left : left + width])


def _seed(scene: Scene) -> int:
    """What varies a painted background and the look of a sign."""
    return int.from_bytes(sha256(f"paint/{scene.index}".encode()).digest()[:8], "big")


def _resized(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """(h, w, 4) premultiplied -> (height, width, 4), antialiased. Premultiplied, so edges do not darken."""
    if picture.shape[:2] == (height, width):
        return picture
    size = picture.shape[1], picture.shape[0]
    image = Image.frombuffer("RGBa", size, np.ascontiguousarray(picture), "raw", "RGBa", 0, 1)
    resample = Image.Resampling.LANCZOS if width > picture.shape[1] else Image.Resampling.HAMMING
    return np.asarray(image.resize((width, height), resample)).reshape(height, width, 4)


def _paste(canvas: np.ndarray, picture: np.ndarray, x: int, y: int) -> None:
    part = canvas[y : y + picture.shape[0], x : x + picture.shape[1]]
    rest = 255 - picture[..., 3:].astype(np.uint16)
    part[:] = np.minimum(picture[..., :3] + (part * rest + 127) // 255, 255)


@lru_cache(maxsize=4096)
def _ramp(tint: str, pivot: int, top: float) -> np.ndarray:
    """(256, 3) float32: luminance -> colour. The tint itself at `pivot`; the darkest is the darker the
    lighter pivot is; the lightest is `top` of the way to white."""
    colour = np.array(TINT_RGB[tint], np.float32)
    luma = np.arange(256, dtype=np.float32)[:, None]
    dark = colour * (1 - 0.7 * min(1.0, pivot / 96) * (1 - luma / max(pivot, 1)))
    light = colour + (255 - colour) * top * (luma - pivot) / max(255 - pivot, 1)
    return np.where(luma <= pivot, dark, light)


def tinted(picture: np.ndarray, tint: str, strokes: bool = False) -> np.ndarray:
    """The drawing in shades of one colour: light stays light, dark dark, its middle is the colour itself.

    strokes: colour the dark lines and leave their paper white. (h, w, 4) uint8 premultiplied -> the same
    """
    alpha = picture[..., 3]
    weighted = picture[..., :3] @ np.array(
        [77, 150, 29], np.uint32
    )  # Rec. 601 luminance times 256 alpha / 255
    luma = np.minimum(weighted * 255 // (np.maximum(alpha, 1).astype(np.uint32) * 256), 255)
    solid = luma[alpha > 127]
    pivot = int(solid.mean()) if len(solid) and not strokes else 0
    rgb = _ramp(tint, pivot, 1.0 if strokes else 0.75)[luma] * (alpha[..., None] / np.float32(255))
    return np.concatenate([rgb.round().astype(np.uint8), alpha[..., None]], axis=2)


@lru_cache(maxsize=256)
def _word(word: str, width: int, height: int) -> Image.Image:
    """The word as a mask, as large as fits into width x height."""
    font = ImageFont.load_default(96)
    left, top, right, bottom = font.getbbox(word)
    mask = Image.new("L", (round(right - left), round(bottom - top)))
    ImageDraw.Draw(mask).text((-left, -top), word, fill=255, font=font)
    scale = min(width / mask.width, height / mask.height)
    return mask.resize((max(1, round(mask.width * scale)), max(1, round(mask.height * scale))))


def _draw_sign(canvas: np.ndarray, word: str, box: Box, seed: int) -> None:
    """A board with a word."""
    board, ink = BOARDS[seed % len(BOARDS)]
    height, width = canvas.shape[:2]
    x0, y0, x1, y1 = pixels(box, width, height)
    edge = max(1, round(min(width, height) * 0.012))
    canvas[y0:y1, x0:x1] = ink
    canvas[y0 + edge : y1 - edge, x0 + edge : x1 - edge] = board
    mask = _word(word.upper(), round((x1 - x0) * 0.9), round((y1 - y0) * 0.66))
    left, top = (x0 + x1 - mask.width) // 2, (y0 + y1 - mask.height) // 2
    part = canvas[top : top + mask.height, left : left + mask.width]
    cover = np.asarray(mask)[..., None] / np.float32(255)
    part[:] = (part + (np.array(ink, np.float32) - part) * cover + 0.5).astype(np.uint8)
