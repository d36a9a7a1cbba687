"""A decoder that reads captions through CLIP's text tower, as Karlo's does (arXiv:2204.06125, 2.1)."""

from __future__ import annotations

from typing import TypedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armchair.dalle2.config import ClipDecoderConfig
from armchair.nn.unet import UNet


class ClipConditions(TypedDict):
    """What a picture is drawn from, computed once for all steps. B pictures."""

    extra: Tensor  # (B, E) joins the timestep
    context: Tensor  # (B, image_tokens + L, W) tokens
    keep: Tensor  # (B, image_tokens + L) bool, False is no token


class ClipDecoder(nn.Module):
    """The U-Net of `Decoder` without a transformer of its own for the caption: the last states of CLIP's text
    tower are its tokens, and both embeddings join the timestep.

    B batch, E embedding width of the U-Net, Z numbers of a CLIP embedding, L places of the text tower and V
    its width, W width of the tokens.
    """

    def __init__(self, config: ClipDecoderConfig):
        super().__init__()
        self.config = config
        width, emb_width = config.context_width, config.unet.emb_width
        self.unet = UNet(config.unet)
        self.words_in = nn.Linear(config.text_width, width)
        self.words_norm = nn.LayerNorm(width)
        self.text_to_time = nn.Linear(config.embed, emb_width)
        self.image_to_time = nn.Linear(config.embed, emb_width)
        self.image_to_tokens = nn.Linear(config.embed, config.image_tokens * width)
        self.no_image = nn.Parameter(torch.zeros(config.embed))  # stands for an embedding that is not given

    def conditions(
        self, text_emb: Tensor, text_seq: Tensor, keep: Tensor, image_emb: Tensor, has_image: Tensor
    ) -> ClipConditions:
        """text_emb, image_emb (B, Z) as CLIP gives them, text_seq (B, L, V), keep (B, L) bool, has_image (B,)
        bool: False hides the picture's embedding; or shares in 0..1
        """
        dtype = self.image_to_time.weight.dtype
        z = torch.lerp(self.no_image, image_emb.to(dtype), has_image[:, None].to(dtype))  # (B, Z)
        words = self.words_norm(self.words_in(text_seq.to(dtype)))  # (B, L, W)
        images = self.image_to_tokens(z).unflatten(1, (self.config.image_tokens, -1))
        return {
            "extra": self.image_to_time(z) + self.text_to_time(text_emb.to(dtype)),
            "context": torch.cat([images, words], dim=1),
            "keep": F.pad(keep, (self.config.image_tokens, 0), value=True),
        }

    def forward(self, x: Tensor, t: Tensor, *, extra: Tensor, context: Tensor, keep: Tensor) -> Tensor:
        """x (B, 3, H, W) noisy pixels in -1..1, t (B,) -> (B, 3, H, W), or (B, 6, H, W) with the variance"""
        return self.unet(x, t, extra=extra, context=context, keep=keep)
