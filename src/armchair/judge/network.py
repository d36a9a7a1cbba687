"""A picture in, the concept it shows out."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armchair.judge.config import JudgeConfig

GROUPS = 8  # of every normalisation


class ResBlock(nn.Module):
    """Two 3x3 convolutions around the identity, normalised before each (pre-activation)."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm_1 = nn.GroupNorm(GROUPS, channels)
        self.conv_1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm_2 = nn.GroupNorm(GROUPS, channels)
        self.conv_2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        nn.init.zeros_(self.conv_2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, h, w) -> the same shape"""
        h = self.conv_1(F.relu(self.norm_1(x)))
        return x + self.conv_2(F.relu(self.norm_2(h)))


class Judge(nn.Module):
    """B pictures -> B distributions over the concepts."""

    def __init__(self, config: JudgeConfig):
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        channels = 3
        for level in range(config.levels):
            width = config.width * 2**level
            # a strided convolution to the level's resolution
            layers.append(
                nn.Conv2d(channels, width, 5 if level == 0 else 3, stride=2, padding=2 if level == 0 else 1)
            )
            layers += [ResBlock(width) for _ in range(config.blocks)]
            channels = width
        self.trunk = nn.Sequential(*layers)
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.head = nn.Linear(channels, config.concepts)
        self.head.no_muon = True  # type: ignore[assignment]

    def forward(self, image: Tensor) -> Tensor:
        """image (B, 3, H, W) in [0, 1], any size -> logits (B, concepts) float32"""
        size = self.config.image_size
        if image.shape[-1] != size:
            image = F.interpolate(image, (size, size), mode="bicubic", antialias=True).clamp(0, 1)
        h = F.relu(self.norm(self.trunk(2 * image - 1)))  # (B, C, h, w)
        pooled = h.mean(dim=(2, 3))
        with torch.autocast(pooled.device.type, enabled=False):
            return self.head(pooled.float())
