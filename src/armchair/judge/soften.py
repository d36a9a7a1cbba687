"""Softening: what lies between a clean render and a generated picture of the same scene.

Crops, bent shapes, lost detail, blur, blotches, few colours, stronger or paler ones, JPEG, noise, other
exposure: each with its own chance, so that the judge reads soft pictures and never needs to see a generated
one. Pictures are (S, S, 3) uint8.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from armchair.data.world.layout import Box

Resampling = Image.Resampling
GROWN = (
    Resampling.BICUBIC,
    Resampling.BILINEAR,
    Resampling.BOX,
)  # how a shrunk picture grows


@dataclass(frozen=True, kw_only=True)
class Softening:
    """How strong each distortion may be. Chances in 0..1; strengths are drawn evenly up to their most."""

    crop: float = 0.6  # chance of another frame
    zoom: float = 0.2  # by which the frame's side is smaller or larger at most
    seen: float = 0.75  # share of each thing that a crop leaves at least
    bend: float = 0.45  # chance of bent shapes
    bent: float = 0.5  # of a mesh's cell: how far its knots move at most
    shrink: float = 0.5  # chance of lost detail: shrunk and grown again
    smallest: int = 22  # pixels per side that it is shrunk to at most
    blur: float = 0.3
    radius: float = 1.2  # pixels
    blotch: float = 0.25  # chance of uneven colour
    blotched: float = 0.1  # standard deviation, of pixels in 0..1
    palette: float = 0.15  # chance of few colours
    jpeg: float = 0.3
    quality: int = 15  # of JPEG at worst
    noise: float = 0.5
    noisy: float = 0.07  # standard deviation, of pixels in 0..1
    light: float = 0.4  # chance of another exposure
    lit: float = 0.1  # gain and shift of each channel at most
    vivid: float = 0.4  # chance of stronger or paler colours: guidance saturates, a blurred latent bleaches
    saturated: float = 0.5  # natural logarithm of the gain of saturation at most; of contrast half of it


SHARP = Softening(crop=0, bend=0, shrink=0, blur=0, blotch=0, palette=0, jpeg=0, noise=0, light=0, vivid=0)


def frame(boxes: Sequence[Box], whole: Sequence[Box], how: Softening, dice: np.random.Generator) -> Box:
    """Another frame for a picture, in fractions of it: larger, smaller or moved, and a part may lie outside.

    boxes: of the things, each of which stays inside to the share `how.seen`; whole: what must not be cut.
    """
    for _ in range(4 if dice.random() < how.crop else 0):
        side = 1 + how.zoom * dice.uniform(-1, 1)
        slack = abs(side - 1) / 2 + 0.03
        x, y = 0.5 + slack * dice.uniform(-1, 1, 2)
        chosen = Box(float(x), float(y), side, side)
        seen = all(_inside(box, chosen) >= how.seen for box in boxes)
        if seen and all(_inside(box, chosen) > 0.97 for box in whole):
            return chosen
    return Box(0.5, 0.5, 1.0, 1.0)


def within(box: Box, chosen: Box) -> Box:
    """The part of a box that a frame shows, in fractions of that frame."""
    left, right = (_clip((box.x + s * box.w / 2 - chosen.x) / chosen.w + 0.5) for s in (-1, 1))
    top, bottom = (_clip((box.y + s * box.h / 2 - chosen.y) / chosen.h + 0.5) for s in (-1, 1))
    return Box((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)


def soften(image: np.ndarray, chosen: Box, how: Softening, dice: np.random.Generator) -> np.ndarray:
    """The picture in its new frame (edges repeated outside), distorted as `how` says. -> the same shape"""
    size = len(image)
    picture = _framed(image, chosen)
    if dice.random() < how.bend:
        picture = _bent(picture, how.bent * dice.random(), dice)
    if dice.random() < how.shrink:
        small = int(dice.integers(how.smallest, size))
        grown = GROWN[min(int(dice.random() * 5), 2) if small > size // 2 else int(dice.random() * 2)]
        picture = picture.resize((small, small), Resampling.BOX).resize((size, size), grown)
    if dice.random() < how.blur:
        picture = picture.filter(ImageFilter.GaussianBlur(how.radius * dice.random()))
    if dice.random() < how.palette:
        picture = picture.quantize(int(dice.integers(12, 64)), method=Image.Quantize.FASTOCTREE).convert(
            "RGB"
        )
    if dice.random() < how.vivid:
        colour, contrast = np.exp(how.saturated * dice.uniform(-1, 1, 2) * (1, 0.5)).tolist()
        picture = ImageEnhance.Contrast(ImageEnhance.Color(picture).enhance(colour)).enhance(contrast)
    pixels: np.ndarray | None = None
    if dice.random() < how.light:
        gain, shift = 1 + how.lit * dice.uniform(-1, 1, 3), 255 * how.lit / 2 * dice.uniform(-1, 1, 3)
        pixels = np.asarray(picture, np.float32) * gain.astype(np.float32) + shift.astype(np.float32)
    if dice.random() < how.blotch:
        cells = int(dice.integers(4, size // 4))
        drawn = dice.standard_normal((cells, cells, 3), np.float32) * (255 * how.blotched * dice.random())
        grown_3 = [
            np.asarray(Image.fromarray(drawn[..., c]).resize((size, size), Resampling.BICUBIC))
            for c in range(3)
        ]
        pixels = (np.asarray(picture, np.float32) if pixels is None else pixels) + np.stack(grown_3, axis=2)
    if dice.random() < how.noise:
        noise = dice.standard_normal(image.shape, np.float32) * (255 * how.noisy * dice.random())
        pixels = (np.asarray(picture, np.float32) if pixels is None else pixels) + noise
    if pixels is not None:
        picture = Image.fromarray(np.clip(pixels + 0.5, 0, 255).astype(np.uint8))
    if dice.random() < how.jpeg:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=int(dice.integers(how.quality, 95)))
        picture = Image.open(file).convert("RGB")
    return np.asarray(picture)


def _inside(box: Box, chosen: Box) -> float:
    """The share of a box that a frame shows."""
    part = within(box, chosen)
    return part.w * chosen.w * part.h * chosen.h / (box.w * box.h)


def _clip(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def _framed(image: np.ndarray, chosen: Box) -> Image.Image:
    size = len(image)
    if chosen == Box(0.5, 0.5, 1.0, 1.0):
        return Image.fromarray(image)
    margin = size // 4
    wide = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    left, top = (max(margin + size * (c - chosen.w / 2), 0.0) for c in (chosen.x, chosen.y))
    right, bottom = (min(margin + size * (c + chosen.w / 2), float(len(wide))) for c in (chosen.x, chosen.y))
    return Image.fromarray(wide).resize((size, size), Resampling.BICUBIC, box=(left, top, right, bottom))


def _bent(picture: Image.Image, far: float, dice: np.random.Generator) -> Image.Image:
    """A mesh of 4 x 4 or 8 x 8 cells whose inner knots move by up to `far` of a cell."""
    size, cells = picture.width, int(dice.choice((4, 8)))
    at = np.linspace(0, size, cells + 1)
    knots = np.stack(np.meshgrid(at, at), axis=2)  # [row, column] -> (x, y)
    knots[1:-1, 1:-1] += size / cells * far * dice.uniform(-1, 1, (cells - 1, cells - 1, 2))
    edges = at.round().astype(int).tolist()
    mesh = []
    for row in range(cells):
        for column in range(cells):
            into = (edges[column], edges[row], edges[column + 1], edges[row + 1])
            corners = knots[[row, row + 1, row + 1, row], [column, column, column + 1, column + 1]]
            mesh.append((into, tuple(corners.flatten().tolist())))
    return picture.transform(picture.size, Image.Transform.MESH, mesh, Resampling.BILINEAR)
