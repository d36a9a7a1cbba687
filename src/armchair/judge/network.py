"""A picture in; maps of where things are and what they are, and the scene's style, background and sign out.

Things are points (arXiv:1904.07850): a map says where a thing's middle is, and at that cell others say which
concept, how large and of which colour.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armchair.data.world.scene import BACKGROUNDS, SIGN_WORDS, STYLES, TINTS
from armchair.judge.config import JudgeConfig

GROUPS = 8  # of every normalisation
RARE = -3.0  # bias of the middles: one cell in twenty at first


class Maps(NamedTuple):
    """What the network says of B pictures, as logits, on g x g cells. float32."""

    middle: Tensor  # (B, g, g) whether a thing's middle lies in the cell
    concept: Tensor  # (B, K, g, g) which concept
    box: Tensor  # (B, 4, g, g) from the cell's middle right and down, in cells; log of width, height
    colour: Tensor  # (B, 9, g, g) which of TINTS
    style: Tensor  # (B, 5)
    background: Tensor  # (B, 19)
    sign: Tensor  # (B, 2, 1 + words) of the upper and the lower strip: no board, or its word


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
    """B pictures -> Maps.

    Levels at strides 2, 4, 8 ... see ever more of the picture; from the last one back to stride 4 each is
    laid over the finer one.
    """

    def __init__(self, config: JudgeConfig):
        super().__init__()
        self.config = config
        widths, merged = config.widths, config.merged
        self.down = nn.ModuleList()
        for level, (width, blocks) in enumerate(zip(widths, config.blocks, strict=True)):
            size = 5 if level == 0 else 3
            conv = nn.Conv2d(3 if level == 0 else widths[level - 1], width, size, stride=2, padding=size // 2)
            self.down.append(nn.Sequential(conv, *(ResBlock(width) for _ in range(blocks))))
        # from the coarsest to stride 4: (deep, fine) -> fine, the last one with `merged` channels
        self.deep, self.fine, self.mix = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        width = widths[-1]
        for level in range(len(widths) - 2, 0, -1):
            out = merged if level == 1 else widths[level]
            self.deep.append(nn.Conv2d(width, out, 1, bias=False))
            self.fine.append(nn.Conv2d(widths[level], out, 1))
            self.mix.append(ResBlock(out))
            width = out
        self.norm = nn.GroupNorm(GROUPS, width)
        self.norm_deep = nn.GroupNorm(GROUPS, widths[-1])

        things = 1 + config.concepts + 4 + len(TINTS)
        self.hidden = nn.Conv2d(width, config.head, 3, padding=1, bias=False)
        self.norm_hidden = nn.GroupNorm(GROUPS, config.head)
        self.things = nn.Conv2d(config.head, things, 1)
        nn.init.constant_(self.things.bias[:1], RARE)  # type: ignore[index]
        self.scene = nn.Linear(width + widths[-1], len(STYLES) + len(BACKGROUNDS))
        self.letters = nn.Conv2d(width, config.letters, 1)
        self.columns = nn.Linear(config.letters * config.grid, config.head)
        self.word = nn.Linear(config.head, 1 + len(SIGN_WORDS))
        for last in (self.things, self.scene, self.word):
            last.no_muon = True  # type: ignore[assignment]

    def forward(self, image: Tensor) -> Maps:
        """image (B, 3, H, W) in [0, 1], any size"""
        config = self.config
        size = config.image_size
        if image.shape[-2:] != (size, size):
            image = F.interpolate(image, (size, size), mode="bicubic", antialias=True).clamp(0, 1)
        h = (2 * image - 1).contiguous(memory_format=torch.channels_last)
        levels: list[Tensor] = []
        for level in self.down:
            h = level(h)  # (B, C, s/2, s/2), then half each time
            levels.append(h)
        deep = F.relu(self.norm_deep(h))
        for into, over, mix, finer in zip(self.deep, self.fine, self.mix, levels[-2:0:-1], strict=True):
            grown = F.interpolate(into(h), scale_factor=2.0, mode="nearest")
            h = mix(over(finer) + grown)
        h = F.relu(self.norm(h))  # (B, M, g, g)

        hidden = F.relu(self.norm_hidden(self.hidden(h)))
        pooled = torch.cat([h.mean(dim=(2, 3)), deep.mean(dim=(2, 3))], dim=1)
        letters = F.relu(self.letters(h))  # (B, l, g, g)
        strips = torch.stack([letters[:, :, : config.strip], letters[:, :, -config.strip :]], dim=1)
        columns = strips.amax(dim=3).flatten(2)  # (B, 2, l g): what stands in each column of a strip
        word = F.relu(self.columns(columns))  # (B, 2, head)
        with torch.autocast(h.device.type, enabled=False):
            things = self.things(hidden.float())
            middle, concept, box, colour = things.split([1, config.concepts, 4, len(TINTS)], dim=1)
            style, background = self.scene(pooled.float()).split([len(STYLES), len(BACKGROUNDS)], dim=1)
            sign = self.word(word.float())
        return Maps(middle.squeeze(1), concept, box, colour, style, background, sign)
