"""The caption as the networks read it: BPE ids through a small transformer that looks both ways."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from armchair.dalle2.config import CaptionConfig
from armchair.nn.transformer import Block, init_blocks
from armchair.text.bpe import fit

PAD = -1  # what fills a row of `tokens` after its last BPE id


class CaptionEncoder(nn.Module):
    """GLIDE's text transformer: no mask, a learned vector for the padding of every place (arXiv:2112.10741).

    A caption of pads alone stands for no caption. B batch, L places, W width.
    """

    def __init__(self, config: CaptionConfig):
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab, config.width)
        self.position_embedding = nn.Embedding(config.length, config.width)
        self.pad_embedding = nn.Embedding(config.length, config.width)  # row i stands at place i
        self.blocks = nn.ModuleList(Block(config.width, config.heads) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width)
        for table in (self.token_embedding, self.position_embedding, self.pad_embedding):
            nn.init.normal_(table.weight, std=0.02)
        init_blocks(self.blocks)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens (B, L) ids, PAD after the last -> (B, L, W)"""
        h = self.token_embedding(tokens.clamp(min=0)) + self.position_embedding.weight
        h = torch.where((tokens != PAD).unsqueeze(-1), h, self.pad_embedding.weight)
        for block in self.blocks:
            h = block(h)
        return self.norm(h)


def caption_tokens(ids: Sequence[int], length: int) -> Tensor:
    """BPE ids -> (length,) int64, cut or filled up with PAD"""
    kept, _ = fit(ids, length)
    return torch.tensor([*kept, *[PAD] * (length - len(kept))], dtype=torch.int64)
