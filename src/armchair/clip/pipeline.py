"""CLIP as a person uses it: pictures and words in, embeddings and scores out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from armchair.clip.config import ClipConfig
from armchair.clip.fast import FastText, FastViT
from armchair.clip.network import Clip
from armchair.clip.preprocess import fit_picture, fit_tensor, normalise, to_batch
from armchair.clip.text import keep_of, tokens_of
from armchair.clip.vit import ViT
from armchair.core.config import from_json
from armchair.core.errors import BadInput
from armchair.core.packing import fill_module
from armchair.core.unfilled import Unfilled
from armchair.text.tokenizer import AnyBPE, load_tokenizer

if TYPE_CHECKING:
    from PIL import Image

    from armchair.core.bundle import Bundle

BATCH = 64  # pictures or texts computed at a time


class ClipModel:
    """Both towers and the tokenizer. B pictures or texts, E embedding, L places, W the text's width."""

    kind = "clip"

    def __init__(
        self, net: Clip, bpe: AnyBPE, languages: Sequence[str] = (), dtype: torch.dtype = torch.float32
    ):
        """net: float32, taken over: the transformers' blocks leave it. dtype: of the products."""
        net.eval().requires_grad_(False)
        self.config: ClipConfig = net.config
        self.bpe = bpe
        self.languages = tuple(languages)
        self.device, self.dtype = net.logit_scale.device, dtype
        self._text = FastText(net.text, dtype)
        image = net.image
        if isinstance(image, ViT):
            self._image = FastViT(image, dtype)
        else:
            image.to(dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
            self._image = lambda x: image(normalise(x).to(dtype)).float()

    @classmethod
    def from_bundle(cls, bundle: Bundle, device: torch.device, dtype: torch.dtype) -> ClipModel:
        """Raises BundleError for a component that is damaged or does not fit its config."""
        config = from_json(ClipConfig, bundle.config("clip"), "clip")
        with Unfilled():
            net = Clip(config)
        fill_module(net, bundle.tensors("clip"), f"{bundle.name}/clip")
        bpe, languages = load_tokenizer(bundle.bytes("text")), bundle.manifest.languages
        return cls(net.to(device), bpe, languages, dtype)

    @torch.no_grad()
    def image_emb(self, images: Tensor | Sequence[Image.Image]) -> Tensor:
        """images (B, 3, H, W) in 0..1, or B pictures of any size -> (B, E) float32, of length one"""
        size = self.config.image_size
        found: list[Tensor] = []
        for start in range(0, len(images), BATCH):
            part = images[start : start + BATCH]
            if not isinstance(part, Tensor):
                part = to_batch([fit_picture(image, size) for image in part]).float() / 255
            elif part.ndim != 4 or part.shape[1] != 3:
                raise BadInput(f"pictures are (B, 3, height, width), not {tuple(images.shape)}")  # type: ignore[union-attr]
            x = fit_tensor(part.to(self.device, torch.float32), size)
            found.append(F.normalize(self._image(x), dim=-1))
        return torch.cat(found) if found else torch.empty(0, self.config.embed)

    @torch.no_grad()
    def text_emb(self, texts: Sequence[str]) -> Tensor:
        """B texts -> (B, E) float32, of length one"""
        tokens = self.tokens(texts)
        if not len(tokens):
            return torch.empty(0, self.config.embed)
        return torch.cat([F.normalize(self._text.pooled(part), dim=-1) for part in tokens.split(BATCH)])

    @torch.no_grad()
    def text(self, texts: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
        """B texts -> text_emb (B, E) float32 of length one, text_seq (B, L, W) float32 the last states, keep
        (B, L) bool, True up to the end of the text
        """
        tokens = self.tokens(texts)
        text_emb, text_seq = self._text(tokens)
        return F.normalize(text_emb, dim=-1), text_seq, keep_of(tokens)

    def score(self, images: Tensor | Sequence[Image.Image], texts: Sequence[str]) -> Tensor:
        """N pictures, M texts -> (N, M) cosines, float32"""
        return self.image_emb(images) @ self.text_emb(texts).mT

    def tokens(self, texts: Sequence[str]) -> Tensor:
        """B texts -> (B, L) int64. Raises BadInput for one text where several are expected."""
        if isinstance(texts, str):
            raise BadInput(f"texts is one text, {texts[:40]!r}: give a list of texts")
        rows = [tokens_of(self.bpe.encode(text), self.config.text) for text in texts]
        shape = (0, self.config.text.length)
        return (torch.stack(rows) if rows else torch.empty(shape, dtype=torch.int64)).to(self.device)
