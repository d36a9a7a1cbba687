"""The frozen CLIP that DALL·E 2's other networks are trained on and drawn with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armchair.clip.network import Clip, ClipText
from armchair.clip.preprocess import fit_tensor
from armchair.clip.text import keep_of, tokens_of
from armchair.core.errors import Unsupported
from armchair.text.tokenizer import AnyBPE

NO_TOWER = (
    "this bundle was imported without CLIP's image tower, which reads pictures: import it again with --clip, "
    "a folder that has it"
)


class Embedder(nn.Module):
    """CLIP and its tokenizer. B pictures or texts, Z numbers of an embedding, L places, W the text tower's
    width.
    """

    def __init__(self, clip: Clip | ClipText, bpe: AnyBPE, unit: bool = True):
        """unit: embeddings have length one; else they are as CLIP gives them"""
        super().__init__()
        self.clip = clip.eval().requires_grad_(False)
        self.config = clip.config
        self.bpe = bpe
        self.unit = unit

    @property
    def device(self) -> torch.device:
        return self.clip.text.projection.device

    @property
    def image_size(self) -> int:
        """Pixels per side that the image tower reads. Raises Unsupported where there is none."""
        if isinstance(self.clip, ClipText):
            raise Unsupported(NO_TOWER)
        return self.clip.config.image_size

    @torch.no_grad()
    def image_emb(self, images: Tensor) -> Tensor:
        """images (B, 3, H, W), uint8 or float in 0..1 -> (B, Z) float32. Raises Unsupported without an image
        tower.
        """
        size = self.image_size
        if images.dtype == torch.uint8:
            images = images.float() / 255
        return self._scaled(cast(Clip, self.clip).encode_image(fit_tensor(images.to(self.device), size)))

    @torch.no_grad()
    def words(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """tokens (B, L) -> text_emb (B, Z) float32, text_seq (B, L, W), keep (B, L) bool"""
        tokens = tokens.to(self.device)
        text_emb, text_seq = self.clip.encode_text(tokens)
        return self._scaled(text_emb), text_seq, keep_of(tokens)

    def text_emb(self, text: str) -> Tensor:
        """(1, Z) of one text"""
        return self.words(self.tokens(text)[None])[0]

    def tokens(self, text: str, dropout: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
        """(L,) int64, as CLIP reads them; dropout: of the BPE's merges"""
        return self.tokens_of(self.bpe.encode(text, dropout, generator))

    def tokens_of(self, ids: Sequence[int]) -> Tensor:
        """BPE ids -> (L,) int64, as CLIP reads them"""
        return tokens_of(ids, self.config.text)

    def _scaled(self, emb: Tensor) -> Tensor:
        return F.normalize(emb.float(), dim=-1) if self.unit else emb.float()
