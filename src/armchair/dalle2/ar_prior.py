"""The autoregressive prior: the embedding's principal components as a sequence of codes
(arXiv:2204.06125, section 2.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armchair.core.rng import SeedBatch
from armchair.dalle2.caption import CaptionEncoder, caption_tokens
from armchair.dalle2.config import ArPriorConfig
from armchair.dalle2.pca import Codes
from armchair.dalle2.scale import Standardise
from armchair.diffusion.guidance import combine
from armchair.nn.cross import KeyedBlock
from armchair.nn.transformer import init_blocks


class Prefix(TypedDict):
    """What codes are drawn from, computed once. B captions."""

    context: Tensor  # (B, S, W) what is read of the caption
    keep: Tensor  # (B, S) bool, False is no word
    text: Tensor  # (B, D) of CLIP's text embedding
    shown: Tensor  # (B,) bool, False is a hidden caption


class ArPrior(nn.Module):
    """Predict each next code from the caption, CLIP's text embedding, how near the two embeddings are, and
    the codes before. The caption is read as keys and values beside those of

        [ text_emb | dot product | code 1 ... code K - 1 ]        K + 1 places, of which the last K predict

    B batch, K components, Q buckets, D width. A hidden caption has learned vectors in place of its embedding
    and of the dot product, and one in place of its words.
    """

    def __init__(self, config: ArPriorConfig):
        super().__init__()
        self.config = config
        width = config.width
        self.codes = Codes(config.embed, config.components, config.buckets)
        self.caption = None if config.caption is None else CaptionEncoder(config.caption)
        self.scale = Standardise(config.embed)
        self.text_in = nn.Linear(config.embed, width)
        self.no_text = nn.Parameter(torch.zeros(width))
        self.no_dot = nn.Parameter(torch.zeros(width))
        self.no_words = nn.Parameter(torch.zeros(config.context_width))
        self.dot_embedding = nn.Embedding(config.buckets, width)
        self.code_embedding = nn.Embedding(config.buckets, width)
        self.position_embedding = nn.Embedding(config.components + 1, width)
        self.blocks = nn.ModuleList(
            KeyedBlock(width, config.heads, config.context_width, qk_norm=config.qk_norm)
            for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, config.buckets)
        self.head.no_muon = True  # type: ignore[assignment]  # unembedding
        for module in self.children():
            if isinstance(module, nn.Embedding | nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        init_blocks(self.blocks)

    def read(self, words: Tensor, keep: Tensor, text_emb: Tensor, shown: Tensor) -> Prefix:
        """words: tokens (B, L) for the own caption encoder, or CLIP's last states (B, L, text_width); keep
        (B, L) bool; text_emb (B, Z); shown (B,) bool: False hides the caption
        """
        kind = self.head.weight.dtype
        context = words.to(kind) if self.caption is None else self.caption(words)  # (B, L, W)
        rows = len(context)
        # one place more, so that there is always something to look at
        context = torch.cat([self.no_words.to(kind).expand(rows, 1, -1), context], dim=1)
        keep = F.pad(keep & shown[:, None], (1, 0), value=True)
        text = self.text_in(self.scale(text_emb.float()).to(kind))
        return {
            "context": context,
            "keep": keep,
            "text": torch.where(shown[:, None], text, self.no_text),
            "shown": shown,
        }

    def caption_of(self, ids: Sequence[int]) -> Tensor:
        """BPE ids -> (L,) as the own caption encoder reads them; (0,) where there is none"""
        if self.config.caption is None:
            return torch.zeros(0, dtype=torch.int64)
        return caption_tokens(ids, self.config.caption.length)

    def forward(self, codes: Tensor, dot: Tensor, prefix: Prefix) -> Tensor:
        """codes (B, K), of which the last is only ever a target, dot (B,) -> logits (B, K, Q), float32"""
        x = torch.cat([self._start(dot, prefix), self.code_embedding(codes[:, :-1])], dim=1)
        x = x + self.position_embedding.weight
        length = x.shape[1]
        own = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()  # (K + 1, K + 1)
        mask = torch.cat(
            [
                prefix["keep"][:, None, None, :].expand(-1, 1, length, -1),
                own.expand(len(x), 1, -1, -1),
            ],
            dim=3,
        )  # (B, 1, K + 1, S + K + 1)
        for block in self.blocks:
            assert isinstance(block, KeyedBlock)
            x, _ = block(x, block.context(prefix["context"]), mask)
        return self._logits(x[:, 1:])

    @torch.no_grad()
    def sample(self, cond: Prefix, uncond: Prefix | None, seeds: SeedBatch, *, guidance: float) -> Tensor:
        """cond and uncond of one caption -> (B, Z), one a seed, of about unit length.

        The dot product is drawn from the upper half of its buckets, which have equal shares (section 2.2).
        """
        device = self.head.weight.device
        uniforms = seeds.uniform(self.config.components + 1).to(device)  # (B, K + 1)
        half = self.codes.buckets // 2
        top = self.codes.buckets - half
        dots = (half + (uniforms[:, 0] * top).long()).clamp_max(self.codes.buckets - 1)
        prefix = cond if uncond is None or guidance == 1 else _joined(cond, uncond)
        found = [self._draw(prefix, dots[i : i + 1], uniforms[i, 1:], guidance) for i in range(len(seeds))]
        return self.codes.decode(torch.cat(found))

    def _draw(self, prefix: Prefix, dot: Tensor, uniforms: Tensor, guidance: float) -> Tensor:
        """prefix of one row, or two of which the second hides the caption; dot (1,), uniforms (K,)
        -> codes (1, K)
        """
        rows = len(prefix["text"])
        x = self._start(dot.expand(rows), prefix) + self.position_embedding.weight[:2]
        blocks = [block for block in self.blocks if isinstance(block, KeyedBlock)]
        caches = [block.context(prefix["context"]) for block in blocks]
        keep = prefix["keep"][:, None, None, :]  # (R, 1, 1, S)
        first = torch.tensor([[True, False], [True, True]], device=x.device)
        mask = torch.cat([keep.expand(-1, -1, 2, -1), first.expand(rows, 1, -1, -1)], dim=3)
        codes: list[Tensor] = []
        for place, u in enumerate(uniforms, start=2):
            for i, block in enumerate(blocks):
                x, caches[i] = block(x, caches[i], mask)
            logits = self._logits(x[:, -1])  # (R, Q)
            if rows == 2:
                logits = combine(logits[:1], logits[1:], guidance, 0.0, logits.shape[1])
            share = logits.softmax(-1).double().cumsum(-1)  # (1, Q)
            code = torch.searchsorted(share[0], u.double() * share[0, -1]).clamp_max(self.codes.buckets - 1)
            codes.append(code.view(1))
            if place <= self.config.components:
                x = self.code_embedding(code.expand(rows, 1)) + self.position_embedding.weight[place]
                mask = F.pad(keep, (0, place + 1), value=True)
        return torch.stack(codes, dim=1)  # (1, K)

    def _start(self, dot: Tensor, prefix: Prefix) -> Tensor:
        """dot (B,) -> (B, 2, D) the first two places"""
        near = torch.where(prefix["shown"][:, None], self.dot_embedding(dot), self.no_dot)
        return torch.stack([prefix["text"].to(near), near], dim=1)

    def _logits(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return F.linear(self.norm(x).float(), self.head.weight.float(), self.head.bias.float())


def _joined(cond: Prefix, uncond: Prefix) -> Prefix:
    """Both as two rows."""
    return {
        "context": torch.cat([cond["context"], uncond["context"]]),
        "keep": torch.cat([cond["keep"], uncond["keep"]]),
        "text": torch.cat([cond["text"], uncond["text"]]),
        "shown": torch.cat([cond["shown"], uncond["shown"]]),
    }
