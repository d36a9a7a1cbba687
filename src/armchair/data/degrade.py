"""Pictures made worse, as an upsampler meets them: blur, noise, JPEG and careless resizing.

BSR is the degradation of BSRGAN (arXiv:2103.14006) in the form that latent diffusion gave it, which DALL·E 2
names (arXiv:2204.06125, appendix C). Pictures are (H, W, 3) uint8; every choice comes from the generator.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

Degradation = Literal["none", "blur", "bsr", "bsr_light"]

HALVED = 0.25  # share of the pictures that lose every second row and column first


@dataclass(frozen=True)
class Strength:
    """How hard BSR is on a picture. Noise and quality are in the units of 8 bits and of JPEG."""

    blurs: int  # how often a picture is blurred
    blur: float  # times the widths of the blurs
    noise: tuple[int, int]  # standard deviation, of 255
    jpeg: tuple[int, int]  # quality


FULL = Strength(blurs=2, blur=1.0, noise=(2, 25), jpeg=(30, 95))
LIGHT = Strength(blurs=1, blur=0.25, noise=(1, 2), jpeg=(80, 95))


class Dice:
    """Numbers from a generator, one at a time."""

    def __init__(self, generator: torch.Generator):
        self.generator = generator

    def real(self, low: float = 0.0, high: float = 1.0) -> float:
        """Evenly from low .. high."""
        return low + (high - low) * torch.rand((), dtype=torch.float64, generator=self.generator).item()

    def whole(self, low: int, high: int) -> int:
        """Evenly from low .. high, both included."""
        return low + int(self.real() * (high - low + 1))

    def chance(self, p: float) -> bool:
        return self.real() < p


def shrink(image: np.ndarray, factor: int) -> np.ndarray:
    """(H, W, 3) -> (H / factor, W / factor, 3), each pixel the mean of those that it stands for."""
    height, width = image.shape[0] // factor, image.shape[1] // factor
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BOX))


def degraded(
    image: np.ndarray, factor: int, how: Degradation, generator: torch.Generator, chance: float = 1.0
) -> np.ndarray:
    """(H, W, 3), sides multiples of factor -> (H / factor, W / factor, 3): what an upsampler is shown.

    "none": the means alone. "blur": and, with this chance, a Gaussian of 3 x 3, sigma 0.6. "bsr" and
    "bsr_light": BSR in their place, with this chance.
    """
    if how == "none" or not Dice(generator).chance(chance):
        return shrink(image, factor)
    if how == "blur":
        return _uint8(_filtered(_tensor(shrink(image, factor)), gaussian(3, 0.6, 0.6, 0.0)))
    return bsr(image, factor, FULL if how == "bsr" else LIGHT, generator)


def bsr(image: np.ndarray, factor: int, strength: Strength, generator: torch.Generator) -> np.ndarray:
    """(H, W, 3) -> (H / factor, W / factor, 3): blurs, two resizings, noise and JPEG in a random order (the
    resizings in theirs), and JPEG again.
    """
    dice = Dice(generator)
    height, width = image.shape[0] // factor, image.shape[1] // factor
    x = _tensor(image)
    if factor >= 4 and dice.chance(HALVED):
        x = _resized(x, image.shape[0] // 2, image.shape[1] // 2, dice)
        factor //= 2
    steps: list[Callable[[Tensor], Tensor]] = [
        *[lambda x: _blurred(x, factor, strength.blur, dice)] * strength.blurs,
        lambda x: _carelessly_shrunk(x, factor, dice),
        lambda x: _resized(x, height, width, dice),
        lambda x: _noisy(x, dice.whole(*strength.noise) / 255, dice),
        lambda x: _compressed(x, dice.whole(*strength.jpeg)) if dice.chance(0.9) else x,
    ]
    for index in _order(len(steps), (strength.blurs, strength.blurs + 1), generator):
        x = steps[index](x).clamp(0, 1)
    return _uint8(_compressed(x, dice.whole(*strength.jpeg)))


def gaussian(side: int, sigma_x: float, sigma_y: float, angle: float) -> Tensor:
    """(side, side) weights that sum to 1. sigmas in pixels along two axes, turned by `angle` radians."""
    at = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    along = at[None, :] * math.cos(angle) + at[:, None] * math.sin(angle)
    across = at[:, None] * math.cos(angle) - at[None, :] * math.sin(angle)
    weights = torch.exp(-0.5 * ((along / sigma_x) ** 2 + (across / sigma_y) ** 2))
    return (weights / weights.sum()).float()


def _order(count: int, pair: tuple[int, int], generator: torch.Generator) -> list[int]:
    """A random order in which the first of the pair stands before the second."""
    order = torch.randperm(count, generator=generator).tolist()
    a, b = (order.index(place) for place in pair)
    if a > b:
        order[a], order[b] = order[b], order[a]
    return order


def _blurred(x: Tensor, factor: int, scale: float, dice: Dice) -> Tensor:
    """By a Gaussian of 7 to 25 pixels, half of the time longer one way than the other."""
    side = 2 * dice.whole(3, 12) + 1
    if dice.chance(0.5):
        widths = [max(0.1, scale * dice.real(0, 4 + factor)) for _ in range(2)]
        return _filtered(x, gaussian(side, widths[0], widths[1], dice.real(0, math.pi)))
    width = max(0.1, scale * dice.real(0, 2 + 0.2 * factor))
    return _filtered(x, gaussian(side, width, width, 0.0))


def _carelessly_shrunk(x: Tensor, factor: int, dice: Dice) -> Tensor:
    """To a random size, or blurred a little off centre and then every factor-th pixel."""
    height, width = x.shape[2:]
    if dice.chance(0.75):
        scale = dice.real(1, 2 * factor)
        return _resized(x, max(1, int(height / scale)), max(1, int(width / scale)), dice)
    sigma = dice.real(0.1, 0.6 * factor)
    shifted = F.pad(x, (factor // 2, 0, factor // 2, 0), mode="replicate")[:, :, :height, :width]
    return _filtered(shifted, gaussian(25, sigma, sigma, 0.0))[:, :, ::factor, ::factor]


def _resized(x: Tensor, height: int, width: int, dice: Dice) -> Tensor:
    """By one of three methods, none of which keeps fine lines from breaking."""
    mode = ("bilinear", "bicubic", "area")[dice.whole(0, 2)]
    corners = None if mode == "area" else False
    return F.interpolate(x, (height, width), mode=mode, align_corners=corners).clamp(0, 1)


def _noisy(x: Tensor, sigma: float, dice: Dice) -> Tensor:
    """Gaussian, of one grey or of three colours."""
    channels = 1 if dice.chance(0.4) else 3
    return x + sigma * torch.randn(1, channels, *x.shape[2:], generator=dice.generator)


def _compressed(x: Tensor, quality: int) -> Tensor:
    buffer = io.BytesIO()
    Image.fromarray(_uint8(x)).save(buffer, format="JPEG", quality=quality)
    return _tensor(np.asarray(Image.open(buffer)))


def _filtered(x: Tensor, weights: Tensor) -> Tensor:
    """x (1, 3, H, W) under weights (side, side), the edge repeated."""
    side = len(weights)
    padded = F.pad(x, [side // 2] * 4, mode="replicate")
    return F.conv2d(padded, weights.expand(3, 1, side, side), groups=3)


def _tensor(image: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 -> (1, 3, H, W) in 0..1"""
    return torch.tensor(image).permute(2, 0, 1)[None].float() / 255


def _uint8(x: Tensor) -> np.ndarray:
    """(1, 3, H, W) -> (H, W, 3) uint8"""
    return (x[0].clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
