"""The KL autoencoder of latent diffusion (arXiv:2112.10752, appendix G): a picture as a small grid of a few
channels, and back.

    picture ─ stem ─► level 0 ─ half ─► level 1 ─ ... ─► middle ─► mean, log variance ─► latent
    latent ─ stem ─► middle ─► level n ─ twice ─► ... ─► level 0 ─► picture
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armchair.nn.cross import KeyedAttention
from armchair.nn.norm import GroupNorm
from armchair.nn.resnet import ConvResample, Resample, ResBlock, conv

EPS = 1e-6  # of all its norms
LEAST, MOST = -30.0, 20.0  # bounds of the log variance


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """A decoder that is not the encoder's mirror; its stride must be the encoder's."""

    widths: tuple[int, ...]  # channels of a level, the finest first
    depth: int = 2  # residual blocks of a level
    patch: int = 1  # channels of the finest level become squares of so many pixels


@dataclass(frozen=True, kw_only=True)
class AutoencoderConfig:
    """Sizes. The defaults are those of Stable Diffusion's: 256 pixels to 32 x 32 cells of 4 channels."""

    image_size: int = 256  # pixels per side in training; it works at any multiple of the stride
    widths: tuple[int, ...] = (128, 256, 512, 512)  # channels of a level; the next has half of its side
    depth: int = 2  # residual blocks of a level of the encoder; the decoder has one more
    channels: int = 4  # of a latent
    patch: int = 1  # squares of so many pixels a side become channels before the first level
    attention: bool = True  # of every middle cell to every other, one head
    groups: int = 32  # of the group norms
    decoder: DecoderConfig | None = None  # None: the encoder's mirror, with a block more in every level

    def __post_init__(self) -> None:
        if not self.widths or self.depth < 1 or self.channels < 1 or self.patch < 1:
            raise ValueError("an autoencoder has one level or more; depth, channels and patch are 1 or more")
        drawn = self.drawn
        if not drawn.widths or drawn.depth < 1 or stride(drawn) != self.stride:
            raise ValueError(f"a decoder of stride {self.stride}, the encoder's, is needed: {drawn}")
        for width in (*self.widths, *drawn.widths):
            if width % self.groups:
                raise ValueError(f"width {width} is no multiple of groups {self.groups}")
        if self.image_size % self.stride:
            raise ValueError(f"image_size {self.image_size} is no multiple of the stride {self.stride}")

    @property
    def stride(self) -> int:
        """Pixels per cell of a latent: 8 for Stable Diffusion's."""
        return stride(self)

    @property
    def drawn(self) -> DecoderConfig:
        """The decoder's sizes."""
        if self.decoder is not None:
            return self.decoder
        return DecoderConfig(widths=self.widths, depth=self.depth + 1, patch=self.patch)

    @property
    def grid(self) -> int:
        """Cells per side of the latent of a training picture."""
        return self.image_size // self.stride


def stride(config: AutoencoderConfig | DecoderConfig) -> int:
    """Pixels per cell"""
    return config.patch * 2 ** (len(config.widths) - 1)


class Moments(NamedTuple):
    """The law of a latent given its picture."""

    mean: Tensor  # (B, C, h, w)
    log_variance: Tensor  # (B, C, h, w)

    def draw(self, eps: Tensor) -> Tensor:
        """eps (B, C, h, w) standard normal -> (B, C, h, w)"""
        return self.mean + (0.5 * self.log_variance).exp() * eps

    def kl(self) -> Tensor:
        """(B,) nats from the standard normal law"""
        mean, log_variance = self.mean.float(), self.log_variance.float()
        each = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
        return each.flatten(1).sum(dim=1)


class Autoencoder(nn.Module):
    """B pictures, H, W pixels (multiples of `config.stride`) in -1..1, C channels, h, w cells of a latent."""

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.moments = conv(2 * config.channels, 2 * config.channels, 1)
        self.unmoments = conv(config.channels, config.channels, 1)

    def encode(self, x: Tensor) -> Moments:
        """x (B, 3, H, W) -> of the latent (B, C, h, w)"""
        mean, log_variance = self.moments(self.encoder(x)).chunk(2, dim=1)
        return Moments(mean, log_variance.clamp(LEAST, MOST))

    def decode(self, latent: Tensor) -> Tensor:
        """latent (B, C, h, w) -> (B, 3, H, W), not clipped"""
        return self.decoder(self.unmoments(latent.to(self.unmoments.weight.dtype)))


class Level(nn.Module):
    """Residual blocks of one resolution, then the way to the next."""

    def __init__(self, widths: list[tuple[int, int]], groups: int, resample: Resample | None):
        """widths: channels in and out of each block"""
        super().__init__()
        self.blocks = nn.ModuleList(ResBlock(*pair, 0, groups=groups, eps=EPS) for pair in widths)
        last = widths[-1][1]
        self.resample = None if resample is None else ConvResample(last, resample, corner=True)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, h, w) -> (B, D, h', w')"""
        for block in self.blocks:
            x = block(x)
        return x if self.resample is None else self.resample(x)


class Middle(nn.Module):
    """Two residual blocks, and between them attention over all cells where the config has it."""

    def __init__(self, width: int, config: AutoencoderConfig):
        super().__init__()
        self.blocks = nn.ModuleList(ResBlock(width, width, 0, groups=config.groups, eps=EPS) for _ in "ab")
        self.attention = (
            KeyedAttention(width, width, 0, groups=config.groups, eps=EPS) if config.attention else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, h, w) -> the same shape"""
        x = self.blocks[0](x)
        if self.attention is not None:
            x = self.attention(x)
        return self.blocks[1](x)


class Encoder(nn.Module):
    """Pixels to the numbers that the moments are read from."""

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        self.patch = config.patch
        widths, top = config.widths, len(config.widths) - 1
        self.stem = conv(3 * config.patch**2, widths[0], 3)
        self.levels = nn.ModuleList()
        for i, width in enumerate(widths):
            pairs = [(widths[max(i - 1, 0)], width)] + [(width, width)] * (config.depth - 1)
            self.levels.append(Level(pairs, config.groups, "down" if i < top else None))
        self.middle = Middle(widths[-1], config)
        self.norm = GroupNorm(config.groups, widths[-1], EPS)
        self.out = conv(widths[-1], 2 * config.channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, 3, H, W) -> (B, 2 C, h, w)"""
        h = F.pixel_unshuffle(x, self.patch) if self.patch > 1 else x
        h = self.stem(h.to(self.stem.weight.dtype).contiguous(memory_format=torch.channels_last))
        for level in self.levels:
            h = level(h)
        return self.out(F.silu(self.norm(self.middle(h))))


class Decoder(nn.Module):
    """The way back, by default the encoder's mirror."""

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        drawn = config.drawn
        self.patch = drawn.patch
        widths, top = drawn.widths[::-1], len(drawn.widths) - 1
        self.stem = conv(config.channels, widths[0], 3)
        self.middle = Middle(widths[0], config)
        self.levels = nn.ModuleList()  # the coarsest first
        for i, width in enumerate(widths):
            pairs = [(widths[max(i - 1, 0)], width)] + [(width, width)] * (drawn.depth - 1)
            self.levels.append(Level(pairs, config.groups, "up" if i < top else None))
        self.norm = GroupNorm(config.groups, widths[-1], EPS)
        self.out = conv(widths[-1], 3 * self.patch**2, 3)

    def forward(self, latent: Tensor, beside: Tensor | None = None) -> Tensor:
        """latent (B, C, h, w) -> (B, 3, H, W)

        beside: (B, D, H / patch, W / patch), joins what enters the finest level
        """
        h = self.middle(self.stem(latent.contiguous(memory_format=torch.channels_last)))
        for level in self.levels[:-1]:
            h = level(h)
        h = self.levels[-1](h if beside is None else h + beside)
        h = self.out(F.silu(self.norm(h)))
        return F.pixel_shuffle(h, self.patch) if self.patch > 1 else h
