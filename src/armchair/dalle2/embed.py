"""The frozen CLIP that DALL·E 2's other networks are trained on and drawn with."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armchair.clip.network import Clip
from armchair.clip.preprocess import fit_tensor
from armchair.clip.text import keep_of, tokens_of
from armchair.text.bpe import BPE


class Embedder(nn.Module):
    """CLIP and its tokenizer. B pictures or texts, Z numbers of an embedding, L places, W the text tower's
    width.
    """

    def __init__(self, clip: Clip, bpe: BPE):
        super().__init__()
        self.clip = clip.eval().requires_grad_(False)
        self.config = clip.config
        self.bpe = bpe

    @property
    def device(self) -> torch.device:
        return self.clip.logit_scale.device

    @torch.no_grad()
    def image_emb(self, images: Tensor) -> Tensor:
        """images (B, 3, H, W), uint8 or float in 0..1 -> (B, Z) float32, of unit length"""
        if images.dtype == torch.uint8:
            images = images.float() / 255
        images = fit_tensor(images.to(self.device), self.config.image_size)
        return F.normalize(self.clip.encode_image(images).float(), dim=-1)

    @torch.no_grad()
    def words(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """tokens (B, L) -> text_emb (B, Z) float32 of unit length, text_seq (B, L, W), keep (B, L) bool"""
        tokens = tokens.to(self.device)
        text_emb, text_seq = self.clip.encode_text(tokens)
        return F.normalize(text_emb.float(), dim=-1), text_seq, keep_of(tokens)

    def text_emb(self, text: str) -> Tensor:
        """(1, Z) of one text"""
        return self.words(self.tokens(text)[None])[0]

    def tokens(self, text: str, dropout: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
        """(L,) int64, as CLIP reads them; dropout: of the BPE's merges"""
        return self.tokens_of(self.bpe.encode(text, dropout, generator))

    def tokens_of(self, ids: Sequence[int]) -> Tensor:
        """BPE ids -> (L,) int64, as CLIP reads them"""
        return tokens_of(ids, self.config.text)
