"""Pictures made worse: the sizes, the randomness and the strength of what upsamplers are trained on."""

import math

import numpy as np
import pytest
import torch

from armchair.data.degrade import FULL, LIGHT, bsr, degraded, gaussian, shrink


def picture(side: int = 64) -> np.ndarray:
    """A smooth ramp with a sharp box."""
    ramp = np.linspace(0, 255, side).astype(np.uint8)
    image = np.stack(
        [np.tile(ramp, (side, 1)), np.tile(ramp[:, None], (1, side)), np.full((side, side), 90)], -1
    )
    image[side // 4 : side // 2, side // 4 : side // 2] = (250, 10, 10)
    return image.astype(np.uint8)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_shrinking_is_the_mean():
    image = picture()
    means = image.reshape(16, 4, 16, 4, 3).mean(axis=(1, 3))
    assert np.abs(shrink(image, 4) - means).max() <= 1


@pytest.mark.parametrize("how", ["none", "blur", "bsr", "bsr_light"])
@pytest.mark.parametrize("side", [32, 64])
def test_size_and_randomness(how, side: int):
    """The same generator gives the same picture, another one another; the argument is left as it was."""
    image = picture(side)
    before = image.copy()
    results = [degraded(image, 4, how, generator(seed)) for seed in (1, 1, 2)]
    assert all(r.shape == (side // 4, side // 4, 3) and r.dtype == np.uint8 for r in results)
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2]) == (how in ("none", "blur"))
    assert np.array_equal(image, before)


def test_chance():
    """Half of the pictures stay as shrinking left them."""
    image, plain = picture(32), shrink(picture(32), 4)
    left = sum(np.array_equal(degraded(image, 4, "blur", generator(i), 0.5), plain) for i in range(100))
    assert 30 < left < 70
    assert np.array_equal(degraded(image, 4, "blur", generator(), 0.0), plain)


def test_gaussian_weights():
    """They sum to one, have the widths asked for, and turn."""
    kernel = gaussian(25, 3.0, 1.0, 0.0).double()
    at = torch.arange(25).double() - 12
    assert kernel.sum().item() == pytest.approx(1)
    assert (kernel.sum(0) * at**2).sum().sqrt().item() == pytest.approx(3.0, rel=0.01)
    assert (kernel.sum(1) * at**2).sum().sqrt().item() == pytest.approx(1.0, rel=0.01)
    torch.testing.assert_close(gaussian(25, 3.0, 1.0, math.pi / 2), gaussian(25, 1.0, 3.0, 0.0))
    three = gaussian(3, 0.6, 0.6, 0.0)
    assert three[1, 1].item() == pytest.approx(1 / (1 + 2 * math.exp(-1 / 0.72)) ** 2, rel=1e-5)


def test_flat_pictures_stay_flat_under_blur():
    """The edge is repeated: a dark frame would be learned as part of every picture."""
    grey = np.full((32, 32, 3), 77, np.uint8)
    assert np.unique(degraded(grey, 4, "blur", generator())).tolist() == [77]


def test_light_is_lighter():
    """Errors against plain shrinking, over forty draws; both are worse than nothing."""
    image, plain = picture(), shrink(picture(), 4).astype(float)

    def error(strength) -> float:
        return float(np.mean([(bsr(image, 4, strength, generator(i)) - plain) ** 2 for i in range(40)]))

    assert 5 < error(LIGHT) < error(FULL) / 1.5
