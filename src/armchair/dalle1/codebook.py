"""A codebook from clusters: how a dVAE that has learned to see, but uses few codes, comes to use nearly all.

Not in the paper, whose run is long enough to fill its codebook. A cell's features h before the last 1x1
convolution are clustered (k-means). With centres c, the logits (2 h.c - |c|^2) / s are linear in h, and the
likeliest code is the nearest centre; s sets how sharp the posterior is. The decoder's row for a code is the
mean of what the old codebook gave to the cells of its cluster.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from armchair.dalle1.dvae import DVAE, map_pixels

ROUNDS = 25  # of k-means
RARE = 5  # a cluster with fewer cells starts anew at a random cell
ENTROPY = 1.0  # nats: how unsure the new posterior is, on average
CELLS = 300  # cells per cluster that k-means looks at
AT_ONCE = 16_384  # cells whose distances to all centres are in memory together


@torch.no_grad()
def fit_codebook(net: DVAE, images: list[Tensor], generator: torch.Generator) -> None:
    """Replace the codebook of `net` by clusters of its own features.

    images: batches (B, 3, H, W) in [0, 1]; generator: for the choice of cells and first centres.
    """
    encoder_out, decoder_in = net.encoder.head, net.decoder.codebook
    assert encoder_out.bias is not None and decoder_in.bias is not None
    vocab, width = encoder_out.weight.shape[:2]
    wanted = math.ceil(vocab * CELLS / len(images))
    features: list[Tensor] = []
    embeddings: list[Tensor] = []
    for image in images:
        h = net.encoder.features(map_pixels(image))  # (B, width, h, w)
        z = torch.softmax(2 * encoder_out(h), dim=1)  # at temperature 1/2: between soft and hard choices
        cells = torch.randperm(h[:, 0].numel(), generator=generator)[:wanted].to(h.device)
        features.append(h.movedim(1, -1).reshape(-1, width)[cells])
        embeddings.append(decoder_in(z).movedim(1, -1).flatten(0, 2)[cells])
    h, e = torch.cat(features), torch.cat(embeddings)
    centres, nearest = k_means(h, vocab, generator)
    counts = torch.bincount(nearest, minlength=vocab).clamp_min(1).unsqueeze(1)
    means = e.new_zeros(vocab, e.shape[1]).index_add_(0, nearest, e) / counts
    sharpness = _sharpness(_distances(h[:4096], centres), ENTROPY)
    bias = -centres.square().sum(dim=1) * sharpness
    encoder_out.weight.copy_((2 * sharpness * centres)[:, :, None, None])
    encoder_out.bias.copy_(bias - bias.mean())
    decoder_in.weight.copy_((means - decoder_in.bias).T[:, :, None, None])


def k_means(points: Tensor, k: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """points (N, D) -> centres (k, D) and the nearest centre of each point (N,).

    With fewer points than centres some points serve twice, a little apart.
    """
    first = torch.randperm(len(points), generator=generator).repeat(math.ceil(k / len(points)))[:k]
    centres = points[first.to(points.device)].clone()
    for turn in range(ROUNDS):
        nearest = _nearest(points, centres)
        counts = torch.bincount(nearest, minlength=k)
        sums = torch.zeros_like(centres).index_add_(0, nearest, points)
        centres = torch.where(counts[:, None] > 0, sums / counts[:, None].clamp_min(1), centres)
        rare = (counts < RARE).nonzero()[:, 0]
        if len(rare) and turn + 3 < ROUNDS:  # the last rounds only settle
            again = torch.randint(len(points), (len(rare),), generator=generator)
            centres[rare] = points[again.to(points.device)]
    return centres, _nearest(points, centres)


def _nearest(points: Tensor, centres: Tensor) -> Tensor:
    """(N,) the index of each point's centre."""
    return torch.cat([_distances(part, centres).argmin(dim=1) for part in points.split(AT_ONCE)])


def _distances(points: Tensor, centres: Tensor) -> Tensor:
    """(N, k) squared."""
    return points.square().sum(1, keepdim=True) - 2 * points @ centres.T + centres.square().sum(1)


def _sharpness(distances: Tensor, entropy: float) -> float:
    """1 / s such that softmax(-distances / s) has this mean entropy in nats, by bisection."""
    low, high = 1e-6, 1e6
    for _ in range(60):
        middle = math.sqrt(low * high)
        q = torch.softmax(-distances * middle, dim=1)
        mean = -torch.xlogy(q, q).sum(dim=1).mean().item()
        low, high = (middle, high) if mean > entropy else (low, middle)
    return middle
