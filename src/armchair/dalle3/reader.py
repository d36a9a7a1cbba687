"""What stands between a frozen text encoder's states and the latent U-Net: not in the paper."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armchair.dalle3.config import ReaderConfig
from armchair.dalle3.text_encoder import T5Block, score_bias
from armchair.nn.attention import attend

HEAD_WIDTH = 32  # of the sketch's attention
MLP = 4  # times the width


class Reader(nn.Module):
    """T5's blocks over the states of a text encoder that stands frozen, and over the tokens themselves. Not
    in the paper. CLIP's states do not tell "above" from "below": its loss hardly needs them to, and what is
    named first cannot know what is said of it later. Untrained the reader changes nothing.

    B batch, L tokens, W width.
    """

    def __init__(self, config: ReaderConfig, vocab: int):
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(vocab, config.token_width)
        self.token_projection = nn.Linear(config.token_width, config.width, bias=False)
        self.distance_embedding = nn.Embedding(config.buckets, config.heads)
        blocks = [T5Block(config) for _ in range(config.depth)]
        self.blocks = nn.ModuleList(blocks)
        nn.init.normal_(self.token_embedding.weight)
        added = [self.token_projection, *(block.out for block in blocks), *(block.down for block in blocks)]
        for layer in (self.distance_embedding, *added):
            nn.init.zeros_(layer.weight)

    def forward(self, text_seq: Tensor, tokens: Tensor, keep: Tensor) -> Tensor:
        """text_seq (B, L, W), tokens (B, L), keep (B, L) bool: False is no token -> (B, L, W)"""
        bias = score_bias(self.distance_embedding, keep, self.config)
        h = text_seq + self.token_projection(self.token_embedding(tokens))
        for block in self.blocks:
            h = block(h, bias)
        return h


class Sketch(nn.Module):
    """The picture that is to be expected of a caption, in a few cells: a learned query a cell, attention over
    the caption's states, an MLP. Where nothing is known of a picture the U-Net is shown it. Untrained it is
    zero, as those cells are without it.

    B batch, L tokens, W width, C channels of a latent, S cells per side.
    """

    def __init__(self, config: ReaderConfig, channels: int):
        super().__init__()
        width, self.side = config.width, config.sketch
        self.queries = nn.Parameter(0.5 * torch.randn(self.side**2, width))
        self.queries.no_muon = True  # type: ignore[attr-defined]
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.keys = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        last = nn.Linear(MLP * width, channels)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.mlp = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, MLP * width), nn.GELU(), last)

    def forward(self, text_seq: Tensor, keep: Tensor) -> Tensor:
        """text_seq (B, L, W), keep (B, L) bool: False is no token -> (B, C, S, S)"""
        keys, values = self.keys(self.norm(text_seq)).chunk(2, dim=-1)
        query = self.query(self.queries).expand(len(keys), -1, -1)
        heads = (-1, min(HEAD_WIDTH, text_seq.shape[2]))
        q, k, v = (part.unflatten(-1, heads).transpose(1, 2) for part in (query, keys, values))
        found = attend(q, k, v, mask=keep[:, None, None, :]).transpose(1, 2).flatten(2)
        return self.mlp(self.queries + self.out(found)).mT.unflatten(2, (self.side, self.side))

    def over(self, known: Tensor, text_seq: Tensor, keep: Tensor) -> Tensor:
        """known (B, C + 1, h, w), the last channel 1 where it is -> the same with the sketch elsewhere"""
        sketch = self(text_seq, keep).to(known.dtype)
        large = F.interpolate(sketch, known.shape[2:], mode="bilinear")
        stays = known[:, -1:]
        return torch.cat([known[:, :-1] + (1 - stays) * large, stays], dim=1)
