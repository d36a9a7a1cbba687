"""A sketch of the picture, drawn from the caption before the U-Net begins: not in the paper."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armchair.nn.attention import attend
from armchair.nn.t5 import T5Block, T5BlocksConfig, score_bias

HEAD_WIDTH = 32  # of the attention from cells to words
MLP = 4  # times the width


@dataclass(frozen=True, kw_only=True)
class SketchConfig(T5BlocksConfig):
    """What draws a sketch from the states of a frozen text encoder."""

    token_width: int = 48  # of its own token embedding
    side: int = 4  # cells per side of the sketch


class Sketch(nn.Module):
    """The picture (or its latent) that is to be expected of a caption, in a few cells: blocks of T5 over
    the states of a frozen text encoder and the tokens' own embeddings, then a learned query a cell, attention
    over what they make of them, an MLP.

    CLIP's states do not tell "above" from "below": its loss hardly needs them to, and what is named first
    cannot know what is said of it later. A U-Net that reads them alone knows what to draw, and not where.
    Untrained the sketch is zero, as what is not known of a picture is without it.

    B batch, L tokens, W width, C channels of a picture or latent, S cells per side.
    """

    def __init__(self, config: SketchConfig, vocab: int, channels: int):
        super().__init__()
        self.config = config
        width = config.width
        self.token_embedding = nn.Embedding(vocab, config.token_width)
        self.token_projection = nn.Linear(config.token_width, width, bias=False)
        self.distance_embedding = nn.Embedding(config.buckets, config.heads)
        self.blocks = nn.ModuleList(T5Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(width)
        self.queries = nn.Parameter(torch.empty(config.side**2, width))
        self.queries.no_muon = True  # type: ignore[attr-defined]
        self.query = nn.Linear(width, width)
        self.keys = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        last = nn.Linear(MLP * width, channels)
        self.mlp = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, MLP * width), nn.GELU(), last)
        nn.init.normal_(self.queries, std=0.5)
        nn.init.normal_(self.token_embedding.weight)
        for zero in (self.distance_embedding.weight, last.weight, last.bias):
            nn.init.zeros_(zero)

    def read(self, text_seq: Tensor, tokens: Tensor, keep: Tensor) -> Tensor:
        """text_seq (B, L, W), tokens (B, L), keep (B, L) bool: False is no token -> (B, L, W), states that
        know of all the caption
        """
        bias = score_bias(self.distance_embedding, keep, self.config)
        h = text_seq + self.token_projection(self.token_embedding(tokens))
        for block in self.blocks:
            h = block(h, bias)
        return self.norm(h)

    def forward(self, text_seq: Tensor, tokens: Tensor, keep: Tensor) -> Tensor:
        """As `read` -> (B, C, S, S)"""
        return self.of(self.read(text_seq, tokens, keep), keep)

    def of(self, h: Tensor, keep: Tensor) -> Tensor:
        """h (B, L, W), what `read` makes of the caption, keep (B, L) -> (B, C, S, S)"""
        keys, values = self.keys(h).chunk(2, dim=-1)
        query = self.query(self.queries).expand(len(keys), -1, -1)
        heads = (-1, min(HEAD_WIDTH, self.config.width))
        q, k, v = (part.unflatten(-1, heads).transpose(1, 2) for part in (query, keys, values))
        found = attend(q, k, v, mask=keep[:, None, None, :]).transpose(1, 2).flatten(2)  # (B, S S, W)
        side = self.config.side
        return self.mlp(self.queries + self.out(found)).mT.unflatten(2, (side, side))


def filled(known: Tensor, sketch: Tensor) -> Tensor:
    """known (B, C + 1, h, w), the last channel 1 where it is known, and a sketch (B, C, S, S) of what is to
    be expected elsewhere -> (B, C + 1, h, w)
    """
    stays = known[:, -1:]
    large = F.interpolate(sketch.to(known.dtype), known.shape[2:], mode="bilinear")
    return torch.cat([known[:, :-1] + (1 - stays) * large, stays], dim=1)
