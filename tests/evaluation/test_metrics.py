"""Measures against closed forms and slow paths written another way."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import linalg, ndimage

from armchair.core.errors import BadInput
from armchair.evaluation.metrics import Gaussian, clip_score, frechet, precision_recall, psnr, ssim

RNG = torch.Generator().manual_seed(0)


def test_psnr():
    """A constant error e gives -20 log10 e; equal pictures give a number that JSON can hold."""
    image = torch.rand(2, 3, 16, 16, generator=RNG) * 0.5
    assert torch.allclose(psnr(image, image + 0.1), torch.full((2,), 20.0), atol=1e-4)
    assert psnr(image, image).tolist() == [100.0, 100.0]


def slow_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """(H, W, 3) twice: scipy's Gaussian, cut to eleven pixels, away from the edges."""

    def blur(a: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(a, 1.5, truncate=5 / 1.5)[5:-5, 5:-5]

    values = []
    for a, b in zip(x.transpose(2, 0, 1), y.transpose(2, 0, 1), strict=True):
        ma, mb = blur(a), blur(b)
        va, vb, cov = blur(a * a) - ma**2, blur(b * b) - mb**2, blur(a * b) - ma * mb
        likeness = (2 * ma * mb + 1e-4) / (ma**2 + mb**2 + 1e-4)
        values.append((likeness * (2 * cov + 9e-4) / (va + vb + 9e-4)).mean())
    return float(np.mean(values))


def test_ssim():
    """Another implementation's Gaussian; the window must neither be padded nor truncated elsewhere."""
    x = torch.rand(2, 3, 20, 24, generator=RNG)
    y = (x + 0.2 * torch.randn(x.shape, generator=RNG)).clamp(0, 1)
    expected = [slow_ssim(*(t[i].permute(1, 2, 0).double().numpy() for t in (x, y))) for i in range(2)]
    assert ssim(x, y).tolist() == pytest.approx(expected, abs=1e-6)
    assert ssim(x, x).tolist() == pytest.approx([1.0, 1.0])
    with pytest.raises(BadInput, match="11 pixels"):
        ssim(x[..., :10], y[..., :10])


def test_frechet_of_independent_features():
    """For diagonal covariances it is |m - n|^2 + sum (s - t)^2."""
    s, t = torch.tensor([1.0, 2.0, 0.0]).double(), torch.tensor([3.0, 0.5, 1.0]).double()
    a = Gaussian(torch.tensor([0.0, 1.0, 0.0]).double(), torch.diag(s**2))
    b = Gaussian(torch.tensor([2.0, 1.0, 0.0]).double(), torch.diag(t**2))
    assert frechet(a, b) == pytest.approx(4 + float(((s - t) ** 2).sum()))
    assert frechet(a, a) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("n", [200, 12])
def test_frechet_against_a_matrix_root(n: int):
    """Correlated features; with 12 pictures of 20 features the covariance is singular, where the usual
    matrix root turns complex or fails.
    """
    x, y = (
        torch.randn(n, 20, generator=RNG).double() @ torch.randn(20, 20, generator=RNG).double() for _ in "ab"
    )
    a, b = Gaussian.of(x), Gaussian.of(y + 0.5)
    assert torch.allclose(a.cov, torch.from_numpy(np.cov(x.numpy().T)))
    root = linalg.sqrtm((a.cov @ b.cov).numpy() + (0 if n > 20 else 1e-10 * np.eye(20)))
    apart = float((a.mean - b.mean).square().sum())
    expected = apart + float(a.cov.trace() + b.cov.trace()) - 2 * np.trace(root).real
    assert frechet(a, b) == pytest.approx(expected, rel=1e-5)
    assert frechet(a, b) == pytest.approx(frechet(b, a))


def test_precision_and_recall():
    """Real pictures on a line at 0..9, so that every third neighbour is 2 or 3 away; drawn ones in a far
    clump and a near one.
    """
    real = torch.arange(10.0)[:, None]
    near, far = torch.tensor([[4.0], [4.5], [5.0], [5.2]]), torch.full((4, 1), 50.0)
    far[:, 0] += torch.arange(4) / 10
    precision, recall = precision_recall(torch.cat([near, far]), real, k=3)
    assert precision == 0.5
    # third neighbours within the near clump lie 1.2, 0.7, 1.0 and 1.2 away: 3, 4, 5 and 6 are reached
    assert recall == pytest.approx(0.4)
    assert precision_recall(real, real, k=3) == (1.0, 1.0)
    with pytest.raises(BadInput, match="more than 3"):
        precision_recall(real[:3], real)


def test_clip_score_is_a_hundred_cosines():
    """Whatever the embeddings' lengths."""
    image, text = torch.tensor([[3.0, 0.0], [1.0, 1.0]]), torch.tensor([[2.0, 0.0], [0.0, 5.0]])
    assert clip_score(image, text).tolist() == pytest.approx([100, 100 / math.sqrt(2)])
