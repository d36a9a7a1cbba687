"""Measures of pictures against pictures: PSNR, SSIM, Frechet distance, precision and recall, CLIP score.

N, M pictures; E features of one. All are plain functions of tensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from armchair.core.errors import BadInput

WINDOW, SIGMA = 11, 1.5  # of SSIM's Gaussian, in pixels
C1, C2 = 0.01**2, 0.03**2  # of SSIM, for values in 0..1
PEAK = 100.0  # dB told for equal pictures, whose PSNR is infinite


def psnr(image: Tensor, other: Tensor) -> Tensor:
    """(N, 3, H, W) in 0..1, twice -> (N,) dB; 100 at most."""
    error = (image - other).square().mean(dim=(1, 2, 3))
    return -10 * torch.log10(error.clamp_min(10 ** (-PEAK / 10)))


def ssim(image: Tensor, other: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004): (N, 3, H, W) in 0..1, twice -> (N,), 1 for equal pictures.

    The 11 x 11 Gaussian with deviation 1.5, where it fits wholly into the picture; the mean over the colours.
    Raises BadInput for pictures below 11 pixels a side.
    """
    if min(image.shape[-2:]) < WINDOW:
        height, width = image.shape[-2:]
        raise BadInput(f"SSIM needs {WINDOW} pixels a side; the pictures are {width}x{height}")
    x, y = image.double(), other.double()
    mx, my = _blur(x), _blur(y)
    vx, vy, cov = _blur(x * x) - mx * mx, _blur(y * y) - my * my, _blur(x * y) - mx * my
    above = (2 * mx * my + C1) * (2 * cov + C2)
    below = (mx * mx + my * my + C1) * (vx + vy + C2)
    return (above / below).mean(dim=(1, 2, 3)).float()


def _blur(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, H - 10, W - 10)"""
    place = torch.arange(WINDOW, dtype=x.dtype, device=x.device) - WINDOW // 2
    line = torch.exp(-place.square() / (2 * SIGMA**2))
    line = line / line.sum()
    n, c, h, w = x.shape
    flat = x.reshape(n * c, 1, h, w)
    flat = F.conv2d(F.conv2d(flat, line.view(1, 1, -1, 1)), line.view(1, 1, 1, -1))
    return flat.reshape(n, c, *flat.shape[-2:])


@dataclass(frozen=True)
class Gaussian:
    """Mean (E,) and covariance (E, E) of features, float64."""

    mean: Tensor
    cov: Tensor

    @classmethod
    def of(cls, features: Tensor) -> Gaussian:
        """features (N, E) -> their mean and unbiased covariance. Raises BadInput for fewer than two."""
        if len(features) < 2:
            raise BadInput(f"a covariance needs 2 pictures or more, not {len(features)}")
        x = features.double()
        return cls(x.mean(dim=0), x.T.cov())

    @cached_property
    def root(self) -> Tensor:
        """(E, E) with root root^T = cov; exact for singular covariances too."""
        values, vectors = torch.linalg.eigh(self.cov)
        return vectors * values.clamp_min(0).sqrt()


def frechet(a: Gaussian, b: Gaussian) -> float:
    """Frechet distance of two Gaussians (Heusel et al. 2017): |m_a - m_b|^2 + tr(A + B - 2 (A B)^(1/2)).

    The trace of the root is the sum of the roots of the eigenvalues of R^T A R, where R R^T = B: symmetric,
    so that no complex part and no singular matrix can arise. b's root is kept: compare many a with one b.
    """
    inner = b.root.T @ a.cov @ b.root
    cross = torch.linalg.eigvalsh(inner).clamp_min(0).sqrt().sum()
    mean = (a.mean - b.mean).square().sum()
    return float((mean + a.cov.trace() + b.cov.trace() - 2 * cross).clamp_min(0))


def precision_recall(drawn: Tensor, real: Tensor, k: int = 3) -> tuple[float, float]:
    """Improved precision and recall (Kynkäänniemi et al. 2019), features (N, E) and (M, E).

    Precision is the share of drawn pictures that lie in a ball around a real one which reaches to that one's
    k-th nearest neighbour among the real ones; recall is the same with the roles swapped.
    Raises BadInput for k or fewer pictures.
    """
    if min(len(drawn), len(real)) <= k:
        raise BadInput(f"precision and recall need more than {k} pictures, not {min(len(drawn), len(real))}")
    x, y = drawn.double(), real.double()
    apart = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")  # (N, M)
    precision = (apart <= _reach(y, k)).any(dim=1).double().mean()
    recall = (apart <= _reach(x, k)[:, None]).any(dim=0).double().mean()
    return float(precision), float(recall)


def _reach(x: Tensor, k: int) -> Tensor:
    """(N, E) -> (N,) the distance to the k-th nearest of the others"""
    apart = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    return apart.kthvalue(k + 1, dim=1).values  # the nearest is the picture itself


def clip_score(image_emb: Tensor, text_emb: Tensor) -> Tensor:
    """(N, E) and (N, E), of any length -> (N,): 100 times the cosine (the DALL·E 3 paper, section 3.2)."""
    return 100 * F.cosine_similarity(image_emb.double(), text_emb.double(), dim=-1)
