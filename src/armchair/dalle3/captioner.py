"""The captioner: a language model that reads CLIP's image embedding and image tokens (DALL·E 3, section 2.1).

Its parts are CoCa's (arXiv:2205.01917): CLIP's causal text tower reads the words alone, blocks on top of it
read the picture as well, so that one pass gives the contrastive and the captioning loss.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armchair.clip.network import Clip
from armchair.clip.preprocess import normalise
from armchair.clip.vit import ViT
from armchair.dalle3.captioner_config import MANNERS, CaptionerConfig
from armchair.nn.cross import KeyedBlock
from armchair.nn.transformer import init_blocks


class Captioner(nn.Module):
    """Predict each next token of a caption from those before it, the picture, and the manner asked for.

    The picture is read as keys and values of

        [ manner | image_emb | image tokens: N ]        N + 2 places, all seen from everywhere

    B pictures, S pixels a side, L places of a caption, E embedding, W the text's width, V ids.
    """

    def __init__(self, config: CaptionerConfig):
        super().__init__()
        self.config = config
        text, image = config.clip.text, config.clip.image
        self.clip = Clip(config.clip)
        self.manner = nn.Embedding(len(MANNERS), text.width)
        self.image_emb_in = nn.Linear(config.clip.embed, text.width)
        self.image_in = nn.Linear(image.width, text.width)
        self.name_in = nn.Linear(text.width, text.width, bias=False) if config.names else None
        self.blocks = nn.ModuleList(
            KeyedBlock(text.width, text.heads, text.width) for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(text.width)
        self.head = nn.Linear(text.width, text.vocab)
        self.head.no_muon = True  # type: ignore[assignment]  # unembedding
        for module in (self.manner, self.image_emb_in, self.image_in, self.head):
            nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        if self.name_in is not None:  # nothing is added at first
            nn.init.zeros_(self.name_in.weight)
        init_blocks(self.blocks)

    def see(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """image (B, 3, S, S) in 0..1 -> image_emb (B, E), not normalised; what is read of it (B, 1 + N, W)"""
        tower = cast(ViT, self.clip.image)
        states = tower.norm_post(tower.states(normalise(image)))  # (B, 1 + N, D)
        image_emb = states[:, 0] @ tower.projection
        first = self.image_emb_in(F.normalize(image_emb.float(), dim=-1).to(image_emb.dtype))
        return image_emb, torch.cat([first.unsqueeze(1), self.image_in(states[:, 1:])], dim=1)

    def context(self, seen: Tensor, manner: Tensor) -> Tensor:
        """seen (B, 1 + N, W), manner (B,) rows of MANNERS -> (B, N + 2, W)

        With names, each image token comes with the mean embedding of the words that it says as well, so that
        what is said already can be told from what is not by being alike. What it says is not moved by that.
        """
        asked = self.manner(manner).unsqueeze(1).to(seen.dtype)
        if self.name_in is not None:
            with torch.no_grad():
                said = self.logits(seen[:, 1:] + asked).softmax(dim=-1)
                words = F.layer_norm(self.clip.text.token_embedding.weight, seen.shape[-1:])
                named = said.to(seen.dtype) @ words.to(seen.dtype)
            seen = torch.cat([seen[:, :1], seen[:, 1:] + self.name_in(named)], dim=1)
        return torch.cat([asked, seen], dim=1)

    def forward(self, tokens: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """tokens (B, L): start, words, end, zeros; context (B, N + 2, W)
        -> text_emb (B, E), not normalised; logits (B, L, V) float32 of what comes next
        """
        text_emb, h = self.clip.encode_text(tokens)
        for block in self.blocks:
            assert isinstance(block, KeyedBlock)
            h, _ = block(h, block.context(context))
        return text_emb, self.logits(h)

    def names(self, seen: Tensor, manner: Tensor, where: Tensor) -> Tensor:
        """seen (B, 1 + N, W), manner (B,), where (B, N) bool, M of them true -> (M, V) float32, of what each
        image token says that it shows
        """
        return self.logits((seen[:, 1:] + self.manner(manner).unsqueeze(1).to(seen.dtype))[where])

    def logits(self, h: Tensor) -> Tensor:
        """h (..., W) -> (..., V) float32"""
        return self.head(self.norm(h)).float()
