"""CLIP: an image tower and a text tower into one space (arXiv:2103.00020, figure 3)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from armchair.clip.config import ClipConfig, ClipTextConfig, ViTConfig
from armchair.clip.preprocess import normalise
from armchair.clip.resnet import ModifiedResNet
from armchair.clip.text import TextTower
from armchair.clip.vit import ViT

MAX_LOG_SCALE = math.log(100)  # logits are never multiplied by more (section 2.5)


class Clip(nn.Module):
    """Two towers and one temperature. B batch, S pixels a side, L places, E embedding, W the text's width."""

    def __init__(self, config: ClipConfig):
        super().__init__()
        self.config = config
        image = config.image
        self.image: ViT | ModifiedResNet = (
            ViT(image, config.grid, config.embed, config.quick_gelu)
            if isinstance(image, ViTConfig)
            else ModifiedResNet(image, config.grid, config.embed)
        )
        self.text = TextTower(config.text, config.embed, config.quick_gelu)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))  # section 2.5

    def encode_image(self, image: Tensor) -> Tensor:
        """image (B, 3, S, S) in 0..1 -> (B, E), not normalised"""
        return self.image(normalise(image))

    def encode_text(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """tokens (B, L) -> text_emb (B, E), not normalised; text_seq (B, L, W), the last states"""
        return self.text(tokens)

    @property
    def scale(self) -> Tensor:
        """() what cosines are multiplied by, at most 100"""
        return self.logit_scale.clamp(max=MAX_LOG_SCALE).exp()


class ClipText(nn.Module):
    """The text tower alone, under the names that it has in Clip."""

    def __init__(self, config: ClipTextConfig):
        super().__init__()
        self.config = config
        self.text = TextTower(config.text, config.embed, config.quick_gelu)

    def encode_text(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """As in Clip."""
        return self.text(tokens)
