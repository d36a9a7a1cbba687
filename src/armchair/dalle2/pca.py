"""CLIP embeddings as codes: principal components by falling eigenvalue, each in buckets of equal share
(arXiv:2204.06125, section 2.2).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Codes(nn.Module):
    """Filled by `fit`, and not changed afterwards. K components, Q buckets, Z numbers of an embedding.

    The paper does not say where a bucket begins nor what it stands for: here every bucket has the same share
    of the data, and stands for the mean of what fell into it.
    """

    mean: Tensor
    axes: Tensor
    variances: Tensor
    edges: Tensor
    values: Tensor
    dot_edges: Tensor

    def __init__(self, embed: int, components: int, buckets: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(embed))
        self.register_buffer("axes", torch.zeros(embed, embed))  # row k is component k, all of them
        self.register_buffer("variances", torch.zeros(embed))  # along each, falling
        self.register_buffer("edges", torch.zeros(components, buckets - 1))
        self.register_buffer("values", torch.zeros(components, buckets))
        self.register_buffer("dot_edges", torch.zeros(buckets - 1))  # of z_i . z_t

    @property
    def components(self) -> int:
        return len(self.values)

    @property
    def buckets(self) -> int:
        return self.values.shape[1]

    @torch.no_grad()
    def fit(self, z: Tensor, dots: Tensor) -> None:
        """z (N, Z) embeddings of pictures, dots (N,) their products with their captions' embeddings"""
        self.mean.copy_(z.mean(dim=0))
        centred = (z - self.mean).double()
        values, vectors = torch.linalg.eigh(centred.mT @ centred / len(z))  # rising
        axes = vectors.mT.flip(0)
        # an eigenvector's sign is the library's choice: make the largest number positive
        largest = axes.gather(1, axes.abs().argmax(dim=1, keepdim=True))
        self.axes.copy_(axes * largest.sign())
        self.variances.copy_(values.flip(0).clamp_min(0))
        along = self.project(z, self.components)  # (N, K)
        shares = torch.arange(1, self.buckets, dtype=along.dtype, device=along.device) / self.buckets
        self.edges.copy_(torch.quantile(along, shares, dim=0).mT)
        self.dot_edges.copy_(torch.quantile(dots.to(along), shares))
        self.values.copy_(_means(along, self.encode(z), self.edges))

    def project(self, z: Tensor, components: int) -> Tensor:
        """z (N, Z) -> (N, components) along the first components"""
        return (z - self.mean) @ self.axes[:components].mT

    def restore(self, along: Tensor) -> Tensor:
        """along (N, k) -> (N, Z), what k components hold"""
        return along @ self.axes[: along.shape[1]] + self.mean

    def encode(self, z: Tensor) -> Tensor:
        """z (N, Z) -> codes (N, K) int64"""
        along = self.project(z, self.components)
        return torch.searchsorted(self.edges, along.mT.contiguous(), right=True).mT

    def decode(self, codes: Tensor) -> Tensor:
        """codes (N, K) -> (N, Z), not of unit length"""
        return self.restore(self.values.gather(1, codes.mT).mT)

    def dot_code(self, dots: Tensor) -> Tensor:
        """dots (N,) -> (N,) int64"""
        return torch.searchsorted(self.dot_edges, dots.contiguous(), right=True)


def _means(along: Tensor, codes: Tensor, edges: Tensor) -> Tensor:
    """along (N, K), codes (N, K), edges (K, Q - 1) -> (K, Q) the mean of each bucket, or, where nothing fell
    into one, its middle
    """
    buckets = edges.shape[1] + 1
    sums = along.new_zeros(along.shape[1], buckets).scatter_add_(1, codes.mT, along.mT)
    counts = torch.zeros_like(sums).scatter_add_(1, codes.mT, torch.ones_like(along.mT))
    ends = torch.cat([edges[:, :1], edges, edges[:, -1:]], dim=1)
    middles = (ends[:, 1:] + ends[:, :-1]) / 2
    return torch.where(counts > 0, sums / counts.clamp_min(1), middles)
