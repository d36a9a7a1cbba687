"""Pictures as CLIP reads them: bicubic, the middle square, its own mean and spread."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from armchair.core.images import flat

# of WIT's pictures, a channel each, as the released models have them
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def normalise(image: Tensor) -> Tensor:
    """(B, 3, S, S) in 0..1 -> about zero mean and unit spread"""
    mean, std = (image.new_tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return (image - mean) / std


def fit_tensor(images: Tensor, size: int) -> Tensor:
    """(B, 3, H, W) in 0..1 -> (B, 3, size, size): the short side scaled bicubically, the middle square."""
    height, width = images.shape[-2:]
    if (height, width) == (size, size):
        return images
    tall, wide = _sides(height, width, size)
    x = F.interpolate(images.float(), (tall, wide), mode="bicubic", antialias=True).clamp(0, 1)
    top, left = round((tall - size) / 2), round((wide - size) / 2)
    return x[:, :, top : top + size, left : left + size]


def fit_picture(image: Image.Image, size: int) -> np.ndarray:
    """A picture -> (size, size, 3) uint8, likewise; transparency is laid on white."""
    image = flat(image)
    tall, wide = _sides(image.height, image.width, size)
    top, left = round((tall - size) / 2), round((wide - size) / 2)
    return _cut(image, tall, wide, top, left, size)


def random_square(image: np.ndarray, size: int, u: float) -> np.ndarray:
    """(H, W, 3) uint8 -> (size, size, 3): the short side scaled, a square anywhere along the long one. The
    paper's only augmentation (section 2.3). u: 0..1
    """
    tall, wide = _sides(image.shape[0], image.shape[1], size)
    if image.shape[:2] == (size, size):
        return image
    top, left = int(u * (tall - size + 1)), int(u * (wide - size + 1))
    return _cut(Image.fromarray(np.ascontiguousarray(image)), tall, wide, top, left, size)


def softened(image: np.ndarray, share: float) -> np.ndarray:
    """(S, S, 3) uint8 -> the same shape, as if it had been drawn at `share` of its side."""
    side, drawn = len(image), round(share * len(image))
    small = Image.fromarray(np.ascontiguousarray(image)).resize((drawn, drawn), Image.Resampling.BOX)
    return np.asarray(small.resize((side, side), Image.Resampling.BICUBIC))


def to_batch(pictures: list[np.ndarray]) -> Tensor:
    """B pictures (S, S, 3) uint8 -> (B, 3, S, S) uint8"""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


def _sides(height: int, width: int, size: int) -> tuple[int, int]:
    """Height and width with the short side at `size`."""
    if height <= width:
        return size, int(size * width / height)
    return int(size * height / width), size


def _cut(image: Image.Image, tall: int, wide: int, top: int, left: int, size: int) -> np.ndarray:
    if image.size != (wide, tall):
        image = image.resize((wide, tall), Image.Resampling.BICUBIC)
    return np.asarray(image.crop((left, top, left + size, top + size)))
