"""What reads the caption: an encoder of T5 1.1, or a CLIP text tower, and captions as their tokens."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from armchair.dalle3.config import (
    ClipWordsConfig,
    T5Config,
    WordsConfig,
)
from armchair.nn.sparse import causal
from armchair.nn.t5 import EPS, T5Block, score_bias
from armchair.nn.transformer import Block

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


class ClipWords(nn.Module):
    """A CLIP text tower without its projection: a causal transformer, its last states normalised."""

    def __init__(self, config: ClipWordsConfig):
        super().__init__()
        self.config = config
        text = config.text
        self.token_embedding = nn.Embedding(text.vocab, text.width)
        self.position_embedding = nn.Parameter(torch.empty(text.length, text.width))
        self.position_embedding.no_muon = True  # type: ignore[attr-defined]
        self.blocks = nn.ModuleList(
            Block(text.width, text.heads, quick_gelu=config.quick_gelu) for _ in range(text.depth)
        )
        self.norm = nn.LayerNorm(text.width)
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.position_embedding, std=0.01)

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
