"""The blocks of T5 1.1 (arXiv:1910.10683, section 2.1, and 2002.05202)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armchair.nn.attention import attend

EPS = 1e-6  # of T5's norms


@dataclass(frozen=True, kw_only=True)
class T5BlocksConfig:
    """Blocks as T5 1.1 has them (arXiv:1910.10683, 2002.05202). The defaults are T5-XXL's."""

    width: int = 4096
    depth: int = 24
    heads: int = 64
    head_width: int = 64
    hidden: int = 10_240  # of the gated MLP
    buckets: int = 32  # of distances between tokens, half of them for each direction
    max_distance: int = 128  # tokens; all that are further apart share a bucket

    def __post_init__(self) -> None:
        if self.buckets % 4 or self.max_distance <= self.buckets // 4:
            raise ValueError(
                f"buckets {self.buckets} is no multiple of 4, or max_distance too short for them"
            )


class T5Block(nn.Module):
    """Attention, then a gated MLP, each after a norm and added to what it read."""

    def __init__(self, config: T5BlocksConfig):
        super().__init__()
        width, inner = config.width, config.heads * config.head_width
        self.heads = config.heads
        self.attention_norm = nn.RMSNorm(width, EPS)
        self.qkv = nn.Linear(width, 3 * inner, bias=False)
        self.out = nn.Linear(inner, width, bias=False)
        self.mlp_norm = nn.RMSNorm(width, EPS)
        self.gate = nn.Linear(width, config.hidden, bias=False)
        self.up = nn.Linear(width, config.hidden, bias=False)
        self.down = nn.Linear(config.hidden, width, bias=False)
        for layer in (self.qkv, self.out, self.gate, self.up, self.down):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
        # scores are not divided by the root of the head's width, so that queries start smaller by it
        nn.init.normal_(self.qkv.weight[:inner], std=(width * config.head_width) ** -0.5)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """x (B, L, W), bias (B, h, L, L) added to the scores -> (B, L, W)"""
        qkv = self.qkv(self.attention_norm(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        h = attend(*qkv, mask=bias.to(qkv.dtype), scale=1.0)  # (B, h, L, d)
        x = x + self.out(h.transpose(1, 2).flatten(2))
        h = self.mlp_norm(x)
        return x + self.down(F.gelu(self.gate(h), approximate="tanh") * self.up(h))


def score_bias(embedding: nn.Embedding, keep: Tensor, config: T5BlocksConfig) -> Tensor:
    """embedding of (buckets, h), keep (B, L) bool -> (B, h, L, L) added to the scores: a number for each
    distance and head, and minus infinity for what is no token
    """
    distances = embedding(buckets(keep.shape[1], config).to(keep.device))
    hidden = torch.zeros_like(keep, dtype=distances.dtype).masked_fill_(~keep, -torch.inf)
    return distances.permute(2, 0, 1) + hidden[:, None, None, :]


def buckets(length: int, config: T5BlocksConfig) -> Tensor:
    """(length, length) int64: the bucket of each key's distance from each query. Half of the buckets are for
    keys that come after; half of those for one distance each, the others for ranges that grow
    logarithmically up to max_distance.
    """
    places = torch.arange(length)
    offset = places - places[:, None]  # (L, L) key minus query
    half, far = config.buckets // 2, offset.abs()
    exact = half // 2
    ratio = (far.clamp_min(1).float() / exact).log() / math.log(config.max_distance / exact)
    coarse = (exact + ratio * (half - exact)).long().clamp_max(half - 1)
    return torch.where(far < exact, far, coarse) + half * (offset > 0)
