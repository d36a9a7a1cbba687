"""The writer's network: a small causal transformer."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from armchair.nn.sparse import causal
from armchair.nn.transformer import Block, init_blocks
from armchair.text.bpe import fit
from armchair.writer.config import WriterConfig


class Writer(nn.Module):
    """Predict each next token of a description from what it is written from and what is written already.

    [ language | source ids | (request | request ids) | write | description ids | end ]

    B texts, L places, D width, V ids. What goes in and what comes out share their embeddings, so that a word
    that is copied is a word that was read.
    """

    def __init__(self, config: WriterConfig):
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.ids, config.width)
        self.position_embedding = nn.Embedding(config.length, config.width)
        self.blocks = nn.ModuleList(Block(config.width, config.heads) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width)
        self.out = nn.Linear(config.width, config.width)
        for table in (self.token_embedding, self.position_embedding):
            nn.init.normal_(table.weight, std=0.02)
        nn.init.eye_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        init_blocks(self.blocks)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens (B, L) -> (B, L, D), the last states"""
        h, places = self.embed(tokens, 0), causal(tokens.shape[1])
        for block in self.blocks:
            h = block(h, places)
        return self.norm(h)

    def embed(self, tokens: Tensor, first: int) -> Tensor:
        """tokens (B, L), which stand from place `first` on -> (B, L, D)"""
        places = self.position_embedding.weight[first : first + tokens.shape[1]]
        return self.token_embedding(tokens) + places

    def logits(self, h: Tensor) -> Tensor:
        """h (..., D) after the norm -> (..., V) float32"""
        return F.linear(self.out(h), self.token_embedding.weight).float()


def prefix_of(
    config: WriterConfig, source: Sequence[int], request: Sequence[int], language: str
) -> list[int]:
    """What a description is written from, as ids; a source that is too long is cut."""
    asked = [config.request, *request] if request else []
    room = config.length // 2 - len(asked) - 2
    kept, _ = fit(source, max(0, room))
    return [config.start(language), *kept, *asked, config.write]
