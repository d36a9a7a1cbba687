"""What reads the caption: an encoder of T5 1.1, or a CLIP text tower, and captions as their tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armchair.dalle3.config import (
    ClipWordsConfig,
    T5BlocksConfig,
    T5Config,
    WordsConfig,
)
from armchair.nn.attention import attend
from armchair.nn.sparse import causal
from armchair.nn.transformer import Block

EPS = 1e-6  # of T5's norms
GROUPS = 3  # of captions of like length in a training batch, of at least SMALLEST each
SMALLEST = 16


class T5Encoder(nn.Module):
    """Blocks of attention over all tokens, with a learned number for each distance and head added to the
    scores, and of a gated MLP; norms without means, nothing with a bias (arXiv:1910.10683, section 2.1, and
    2002.05202).

    B batch, L tokens, W width, h heads of width d.
    """

    def __init__(self, config: T5Config):
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab, config.width)
        self.distance_embedding = nn.Embedding(config.buckets, config.heads)  # one for all blocks
        self.blocks = nn.ModuleList(T5Block(config) for _ in range(config.depth))
        self.norm = nn.RMSNorm(config.width, EPS)
        nn.init.normal_(self.token_embedding.weight)
        nn.init.normal_(self.distance_embedding.weight, std=config.width**-0.5)

    def forward(self, tokens: Tensor, keep: Tensor) -> Tensor:
        """tokens (B, L), keep (B, L) bool: False is no token -> (B, L, W)"""
        bias = score_bias(self.distance_embedding, keep, self.config)
        h = self.token_embedding(tokens)
        for block in self.blocks:
            h = block(h, bias)
        return self.norm(h)


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


class ClipWords(nn.Module):
    """A CLIP text tower without its projection: a causal transformer, its last states normalised."""

    def __init__(self, config: ClipWordsConfig):
        super().__init__()
        self.config = config
        text = config.text
        self.token_embedding = nn.Embedding(text.vocab, text.width)
        self.position_embedding = nn.Parameter(0.01 * torch.randn(text.length, text.width))
        self.position_embedding.no_muon = True  # type: ignore[attr-defined]
        self.blocks = nn.ModuleList(
            Block(text.width, text.heads, quick_gelu=config.quick_gelu) for _ in range(text.depth)
        )
        self.norm = nn.LayerNorm(text.width)
        nn.init.normal_(self.token_embedding.weight, std=0.02)

    def forward(self, tokens: Tensor, keep: Tensor) -> Tensor:
        """tokens (B, L), keep is not used: all places are read -> (B, L, W)"""
        h = self.token_embedding(tokens) + self.position_embedding[: tokens.shape[1]]
        places = causal(tokens.shape[1])
        for block in self.blocks:
            h = block(h, places)
        return self.norm(h)


def text_encoder(config: WordsConfig) -> T5Encoder | ClipWords:
    return T5Encoder(config) if isinstance(config, T5Config) else ClipWords(config)


def caption_tokens(ids: Sequence[int], config: WordsConfig) -> Tensor:
    """A tokenizer's ids -> (length,) int64 as the encoder reads them; too many are cut, never the end."""
    if isinstance(config, T5Config):
        row, fill = [*ids[: config.length - 1], config.end], config.pad
    else:
        text = config.text
        row, fill = [text.start, *ids[: text.length - 2], text.end], config.pad
        fill = text.end if fill is None else fill
    return torch.tensor(row + [fill] * (config.length - len(row)), dtype=torch.int64)


def keep_of(tokens: Tensor, config: WordsConfig) -> Tensor:
    """tokens (B, L) -> (B, L) bool, True for what is read"""
    if isinstance(config, T5Config):
        return tokens != config.pad
    if not config.masked:
        return torch.ones_like(tokens, dtype=torch.bool)
    places = torch.arange(tokens.shape[1], device=tokens.device)
    return places <= (tokens == config.text.end).int().argmax(dim=1, keepdim=True)  # the first end


def trimmed(tokens: Tensor, config: WordsConfig) -> tuple[Tensor, Tensor]:
    """tokens (B, L) -> (B, l) up to the last place that any row reads, and keep (B, l)"""
    keep = keep_of(tokens, config)
    longest = int(keep.sum(dim=1).max())
    return tokens[:, :longest], keep[:, :longest]


def by_length(tokens: Tensor, config: WordsConfig) -> list[Tensor]:
    """tokens (B, L) -> rows in groups of captions of like length, so that short ones are not computed as long
    as the longest; small batches stay together
    """
    lengths = keep_of(tokens, config).sum(dim=1)
    groups = min(GROUPS, len(tokens) // SMALLEST) if bool((lengths != lengths[0]).any()) else 1
    return list(lengths.argsort(stable=True).chunk(max(1, groups)))
