"""CLIP's text tower, and captions as its tokens (arXiv:2103.00020, section 2.4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from operator import itemgetter

import torch
from torch import Tensor, nn

from armchair.clip.config import TextConfig
from armchair.clip.vit import init_tower
from armchair.nn.sparse import causal
from armchair.nn.transformer import Block

GROUPS = 4  # of captions of like length, each computed no longer than its longest
ROUND = 4  # places: lengths are rounded up to it, so that few shapes occur


class TextTower(nn.Module):
    """A causal transformer over start, BPE ids, end, zeros; the end's last state is projected.

    B batch, L places, W width, E embedding. The end has the largest id, so the tower finds it by argmax; what
    follows it is never seen from before.
    """

    def __init__(self, config: TextConfig, embed: int, quick_gelu: bool):
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab, config.width)
        self.position_embedding = nn.Parameter(torch.empty(config.length, config.width))
        self.position_embedding.no_muon = True  # type: ignore[attr-defined]
        self.blocks = nn.ModuleList(
            Block(config.width, config.heads, quick_gelu=quick_gelu) for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.width)
        self.projection = nn.Parameter(torch.empty(config.width, embed))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.position_embedding, std=0.01)
        nn.init.normal_(self.projection, std=self.config.width**-0.5)
        init_tower(self.blocks, self.config.width)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """tokens (B, L) -> text_emb (B, E), text_seq (B, L, W)"""
        h, places = self.embed(tokens), causal(tokens.shape[1])
        for block in self.blocks:
            h = block(h, places)
        return self.read(self.norm(h), tokens)

    def embed(self, tokens: Tensor) -> Tensor:
        """tokens (B, L) -> (B, L, W), what the blocks read"""
        return self.token_embedding(tokens) + self.position_embedding[: tokens.shape[1]]

    def read(self, h: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """h (B, L, W) the last states -> text_emb (B, E) of the end of each text, and h"""
        return h[torch.arange(len(h), device=h.device), tokens.argmax(dim=1)] @ self.projection, h

    def pooled(self, tokens: Tensor) -> Tensor:
        """tokens (B, L) -> text_emb (B, E) alone"""
        return by_length(tokens, lambda part: self(part)[0])


def by_length(tokens: Tensor, encode: Callable[[Tensor], Tensor]) -> Tensor:
    """encode (b, l) -> (b, E) over tokens (B, L) -> (B, E): captions of like length together, without most of
    their zeros
    """
    lengths = tokens.argmax(dim=1) + 1
    order = lengths.argsort(stable=True)
    groups = [(-(-int(lengths[rows[-1]]) // ROUND) * ROUND, rows) for rows in order.chunk(GROUPS)]
    found: list[Tensor] = []
    for longest, alike in groupby(groups, key=itemgetter(0)):
        found.append(encode(tokens[torch.cat([rows for _, rows in alike]), :longest]))
    return torch.cat(found)[order.argsort()]


def tokens_of(ids: Sequence[int], config: TextConfig) -> Tensor:
    """BPE ids -> (length,) int64: start, ids, end, zeros. Too many ids are cut, never the end."""
    row = [config.start, *ids[: config.length - 2], config.end]
    return torch.tensor(row + [0] * (config.length - len(row)), dtype=torch.int64)


def keep_of(tokens: Tensor) -> Tensor:
    """tokens (B, L) -> (B, L) bool, True up to the end of text"""
    return torch.arange(tokens.shape[1], device=tokens.device) <= tokens.argmax(dim=1, keepdim=True)
