"""The paper's two augmentations: sizes, ranges, antialiasing, and that all randomness is the generator's."""

import numpy as np
import pytest
import torch

from armchair.core.errors import BadInput
from armchair.data.augment import augment_dvae, augment_transformer, centre


def ramp(height: int, width: int) -> np.ndarray:
    """Red tells the row, green the column, as fractions of 255; blue is 128."""
    rows = np.linspace(0, 255, height)[:, None].repeat(width, 1)
    columns = np.linspace(0, 255, width)[None].repeat(height, 0)
    return np.stack([rows, columns, np.full((height, width), 128)], 2).round().astype(np.uint8)


def draws(augment, image, size, n=60) -> np.ndarray:
    generator = torch.Generator().manual_seed(0)
    return np.stack([augment(image, size, generator) for _ in range(n)])


@pytest.mark.parametrize("augment", [augment_dvae, augment_transformer])
@pytest.mark.parametrize("shape", [(40, 70), (16, 16), (17, 16), (9, 30), (200, 120)])
def test_any_picture_gives_the_size_asked_for(augment, shape):
    """Larger, equal and smaller pictures, wide and tall."""
    crops = draws(augment, ramp(*shape), 16, n=8)
    assert crops.shape == (8, 16, 16, 3) and crops.dtype == np.uint8
    assert (abs(crops[..., 2].astype(int) - 128) <= 1).all()


@pytest.mark.parametrize("augment", [augment_dvae, augment_transformer])
def test_randomness_is_the_generators(augment):
    """A resumed run must see the same crops; the global generator is not read, the picture not written."""
    image, before = ramp(50, 40), torch.get_rng_state()
    first, again = draws(augment, image, 16, 5), draws(augment, image, 16, 5)
    assert (first == again).all() and not (first[0] == first[1]).all()
    assert torch.equal(before, torch.get_rng_state())
    assert (image == ramp(50, 40)).all()
    used = [torch.Generator().manual_seed(3) for _ in range(2)]
    augment(image, 16, used[0])
    augment(ramp(8, 8), 16, used[1])
    assert torch.equal(used[0].get_state(), used[1].get_state())  # as many draws whatever the picture


def test_listing_1_scale_place_and_flip():
    """Shrunk to 9/8 .. 12/8 of size, so a crop shows 2/3 to 8/9 of the side; anywhere, and half flipped."""
    crops = draws(augment_dvae, ramp(256, 256), 64, 400).astype(float)
    span = (crops[:, -1, 0, 0] - crops[:, 0, 0, 0]) / 255  # rows shown
    assert 0.64 < span.min() < 0.70 and 0.85 < span.max() < 0.90
    flipped = crops[:, 0, -1, 1] < crops[:, 0, 0, 1]
    assert 0.4 < flipped.mean() < 0.6
    wide = draws(augment_dvae, ramp(64, 256), 64, 200).astype(float)
    middle = wide[:, 32, 32, 1] / 255  # which column the crop's centre came from
    assert middle.min() < 0.2 and middle.max() > 0.8


def test_listing_2_scale_place_and_no_flip():
    """Shrunk to 1 .. 9/8 of size; offset in the middle quarter of the slack; writing is never mirrored."""
    crops = draws(augment_transformer, ramp(256, 256), 64, 400).astype(float)
    span = (crops[:, -1, 0, 0] - crops[:, 0, 0, 0]) / 255
    assert 0.86 < span.min() < 0.90 and span.max() > 0.97
    assert (crops[:, 0, -1, 1] > crops[:, 0, 0, 1]).all()
    wide = draws(augment_transformer, ramp(64, 320), 64, 300).astype(float)
    left = wide[:, 0, 0, 1] / 255 * 319  # the slack is 256 columns, its middle quarter 96 .. 160
    assert 95 <= left.min() < 102 and 152 < left.max() <= 160


def test_small_pictures():
    """A picture of the size asked for passes through untouched; a smaller one grows to fit."""
    image = ramp(16, 16)
    assert (draws(augment_transformer, image, 16, 3) == image).all()
    windows = [ramp(17, 17)[y : y + 16, x : x + 16] for y in range(2) for x in range(2)]
    crop = augment_dvae(ramp(17, 17), 16, torch.Generator().manual_seed(0))  # 17 < 9/8 of 16: not resized
    assert any((crop == window).all() or (crop == window[:, ::-1]).all() for window in windows)
    grown = augment_transformer(ramp(8, 8), 16, torch.Generator()).astype(float)
    assert (np.diff(grown[:, 0, 0]) >= -1).all() and grown[-1, 0, 0] > 240


@pytest.mark.parametrize(
    "shrink", [augment_dvae, augment_transformer, lambda image, size, _: centre(image, size)]
)
def test_shrinking_is_antialiased(shrink):
    """An earlier project shrank by nearest neighbours; a fine checkerboard must come out grey."""
    board = (np.indices((256, 256)).sum(0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, 2)
    small = shrink(board, 32, torch.Generator().manual_seed(1)).astype(int)
    assert abs(small - 127).max() < 30


def test_centre():
    """The short side scaled to size and the middle square, the same at every call."""
    crop = centre(ramp(64, 192), 32).astype(float)
    assert crop.shape == (32, 32, 3)
    assert abs(crop[:, :, 1].mean() - 127.5) < 2 and crop[0, 0, 0] < 8 and crop[-1, 0, 0] > 247
    assert 80 < crop[0, 0, 1] < 95
    assert centre(ramp(5, 9), 16).shape == (16, 16, 3)
    assert (centre(ramp(16, 16), 16) == ramp(16, 16)).all()


def test_wrong_pictures_are_named():
    """Float or grey arrays would otherwise fail deep inside Pillow."""
    for image in (np.zeros((4, 4)), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(BadInput, match="uint8"):
            centre(image, 4)
        with pytest.raises(BadInput, match="uint8"):
            augment_dvae(image, 4, torch.Generator())
