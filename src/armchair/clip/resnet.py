"""CLIP's modified ResNet (arXiv:2103.00020, section 2.4): ResNet-D with anti-aliased strides, and attention
instead of the global average pool.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armchair.clip.config import ResNetConfig
from armchair.nn.attention import attend

GROUPS = 8  # of a group normalisation


def normaliser(kind: str, channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels) if kind == "batch" else nn.GroupNorm(math.gcd(GROUPS, channels), channels)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions to four times `hidden` channels, each normalised; a stride is an average
    pool after the 3x3 convolution, and before the shortcut's 1x1.
    """

    def __init__(self, channels: int, hidden: int, stride: int, norm: str):
        super().__init__()
        out = 4 * hidden
        self.conv_1 = nn.Conv2d(channels, hidden, 1, bias=False)
        self.norm_1 = normaliser(norm, hidden)
        self.conv_2 = nn.Conv2d(hidden, hidden, 3, padding=1, bias=False)
        self.norm_2 = normaliser(norm, hidden)
        self.conv_3 = nn.Conv2d(hidden, out, 1, bias=False)
        self.norm_3 = normaliser(norm, out)
        self.stride = stride
        self.shortcut: nn.Conv2d | None = None
        self.shortcut_norm: nn.Module | None = None
        if stride > 1 or channels != out:
            self.shortcut = nn.Conv2d(channels, out, 1, bias=False)
            self.shortcut_norm = normaliser(norm, out)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, h, w) -> (B, 4 hidden, h / stride, w / stride)"""
        h = F.relu(self.norm_1(self.conv_1(x)))
        h = F.relu(self.norm_2(self.conv_2(h)))
        if self.stride > 1:
            h, x = F.avg_pool2d(h, self.stride), F.avg_pool2d(x, self.stride)
        if self.shortcut is not None and self.shortcut_norm is not None:
            x = self.shortcut_norm(self.shortcut(x))
        return F.relu(x + self.norm_3(self.conv_3(h)))


class AttentionPool(nn.Module):
    """One attention whose query is the mean of all cells (section 2.4). N = grid * grid cells, C channels."""

    def __init__(self, grid: int, channels: int, heads: int, embed: int):
        super().__init__()
        self.heads = heads
        self.position_embedding = nn.Parameter(torch.empty(1 + grid**2, channels))
        self.position_embedding.no_muon = True  # type: ignore[attr-defined]
        self.q, self.k, self.v = (nn.Linear(channels, channels) for _ in range(3))
        self.out = nn.Linear(channels, embed)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, h, w) -> (B, E)"""
        cells = x.flatten(2).mT  # (B, N, C)
        places = torch.cat([cells.mean(dim=1, keepdim=True), cells], dim=1) + self.position_embedding
        q, k, v = (  # each (B, heads, 1 or 1 + N, C / heads)
            layer(h).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, h in ((self.q, places[:, :1]), (self.k, places), (self.v, places))
        )
        return self.out(attend(q, k, v).transpose(1, 2).flatten(1))


class ModifiedResNet(nn.Module):
    """A stem of three convolutions, four stages of bottlenecks, attention pooling. B batch, S pixels."""

    def __init__(self, config: ResNetConfig, grid: int, embed: int):
        super().__init__()
        self.config = config
        width, norm = config.width, config.norm
        stem = [(3, width // 2, 2), (width // 2, width // 2, 1), (width // 2, width, 1)]
        self.stem = nn.ModuleList(nn.Conv2d(i, o, 3, stride=s, padding=1, bias=False) for i, o, s in stem)
        self.stem_norms = nn.ModuleList(normaliser(norm, out) for _, out, _ in stem)
        self.stages = nn.ModuleList()
        channels = width
        for stage, blocks in enumerate(config.layers):
            hidden = width * 2**stage
            row: list[Bottleneck] = []
            for block in range(blocks):
                row.append(Bottleneck(channels, hidden, 2 if stage and not block else 1, norm))
                channels = 4 * hidden
            self.stages.append(nn.ModuleList(row))
        self.pool = AttentionPool(grid, channels, config.heads, embed)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """torch's own draws for the convolutions; the last gain of a block starts at zero (section 2.5)."""
        std = self.config.features**-0.5
        nn.init.normal_(self.pool.position_embedding, std=std)
        for layer in (self.pool.q, self.pool.k, self.pool.v, self.pool.out):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)
        for module in self.modules():
            if isinstance(module, Bottleneck):
                assert isinstance(module.norm_3, nn.BatchNorm2d | nn.GroupNorm)
                nn.init.zeros_(module.norm_3.weight)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, 3, S, S) normalised -> (B, E)"""
        h = x.contiguous(memory_format=torch.channels_last)
        for conv, norm in zip(self.stem, self.stem_norms, strict=True):
            h = F.relu(norm(conv(h)))
        if self.config.stem_stride == 4:
            h = F.avg_pool2d(h, 2)
        for stage in self.stages:
            assert isinstance(stage, nn.ModuleList)
            for block in stage:
                h = block(h)
        return self.pool(h)
