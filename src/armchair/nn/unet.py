"""The U-Net of ADM (arXiv:2105.05233) and GLIDE (arXiv:2112.10741), over a list of levels.

    x ─ stem ─► level 0 ─ down ─► level 1 ─ ... ─► level n ─► middle ─► level n ─ ... ─ up ─► level 0 ─► out
                   └───────────── every output on the way down is read on the way up ──────────┘

One skeleton for DALL·E 2's decoder, the upsamplers (no attention at all) and latent denoisers (that of
arXiv:2112.10752 with attention "cross", modulation "add" and resampling by "conv").
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armchair.nn.cross import CrossTransformer, KeyedAttention, Words, repeated
from armchair.nn.embeddings import TimeEmbedding
from armchair.nn.norm import GroupNorm
from armchair.nn.resnet import ConvResample, Modulation, Resample, ResBlock, conv

# keys: the tokens' keys stand beside the picture's own; cross: the picture's attention, then the tokens'
AttentionKind = Literal["keys", "cross"]


@dataclass(frozen=True, kw_only=True)
class LevelSpec:
    """One resolution; the next level has half of it."""

    width: int  # channels
    depth: int  # residual blocks on the way down; one more on the way up
    attention: AttentionKind | None = None  # after each residual block


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """The skeleton. The defaults are those of ADM and GLIDE."""

    channels_in: int = 3
    channels_out: int = 3
    levels: tuple[LevelSpec, ...]  # the finest first
    middle_attention: AttentionKind | None = None  # between the two middle blocks
    patch: int = (
        1  # squares of so many pixels a side become channels, so that the first level is as much smaller
    )
    time_width: int = 512  # of the timestep's sinusoid; its embedding is four times as wide
    times: int = 0  # timesteps that have a learned row each in place of a sinusoid; 0: none
    context_width: int = 0  # of the tokens that attention reads; 0: none
    head_width: int = 64  # channels of an attention head
    heads: int = 0  # attention heads at every level, in place of head_width; 0: head_width says it
    modulation: Modulation = "film"  # what the timestep does to a block
    resample: Literal["block", "conv"] = "block"  # by residual blocks, or by single convolutions
    groups: int = 32  # of the group norms
    dropout: float = 0.0  # in the residual blocks
    qk_norm: bool = False  # RMS-normalise queries and keys: not in the papers
    places: int = 0  # octaves of the cells' coordinates that attention is told; 0: none, as in the papers

    def __post_init__(self) -> None:
        if not self.levels:
            raise ValueError("levels is empty; a U-Net has one or more")
        if self.time_width % 2:
            raise ValueError(f"time_width {self.time_width} is odd: half of it are cosines")
        for index, level in enumerate(self.levels):
            if level.depth < 1:
                raise ValueError(f"levels[{index}] has depth {level.depth}; at least 1 block is needed")
            if level.width % self.groups:
                raise ValueError(
                    f"levels[{index}] has width {level.width}, no multiple of groups {self.groups}"
                )
            heads = self.heads if self.heads > 0 else self.head_width
            if level.attention is not None and level.width % heads:
                word = "heads" if self.heads > 0 else "head_width"
                raise ValueError(f"levels[{index}] has width {level.width}, no multiple of {word} {heads}")
        if self.context_width == 0 and "cross" in {level.attention for level in self.levels}:
            raise ValueError('attention "cross" looks at tokens, and context_width is 0')

    @property
    def stride(self) -> int:
        """Pixels per cell of the coarsest level: what height and width must be multiples of."""
        return self.patch * 2 ** (len(self.levels) - 1)

    @property
    def emb_width(self) -> int:
        """Width of the timestep's embedding, and of what is added to it."""
        return 4 * self.time_width

    def head_width_at(self, width: int) -> int:
        """Channels of an attention head of a level of so many channels."""
        return width // self.heads if self.heads > 0 else self.head_width


class Stage(nn.Module):
    """The blocks of one level on one way: residual blocks, each with its attention, then the resampling."""

    def __init__(
        self,
        config: UNetConfig,
        widths: list[tuple[int, int]],
        attention: AttentionKind | None,
        resample: Resample | None,
    ):
        """widths: channels in and out of each block"""
        super().__init__()
        self.blocks = nn.ModuleList(block_of(config, *pair) for pair in widths)
        self.attentions = nn.ModuleList(
            attention_of(config, pair[1], attention) for pair in widths if attention is not None
        )
        self.places = nn.ModuleList(
            Places(pair[1], config.places) for pair in widths if attention is not None and config.places > 0
        )
        last = widths[-1][1]
        if resample is None:
            self.resample = None
        elif config.resample == "conv":
            self.resample = ConvResample(last, resample)
        else:
            self.resample = block_of(config, last, last, resample)

    def block(
        self, index: int, x: Tensor, emb: Tensor, words: Iterator[Words], keep: Tensor | None
    ) -> Tensor:
        """Residual block `index` and its attention, which takes the next of `words`."""
        x = self.blocks[index](x, repeated(emb, len(x)))
        if self.places:
            x = self.places[index](x)
        return self.attentions[index](x, next(words), keep) if self.attentions else x


class Places(nn.Module):
    """Where a cell lies: sines and cosines of its coordinates, projected and added. Not in the papers, whose
    networks know it from the zeros around their convolutions. Untrained it changes nothing.
    """

    def __init__(self, width: int, octaves: int):
        super().__init__()
        self.octaves = octaves
        self.projection = nn.Linear(4 * octaves, width, bias=False)
        nn.init.zeros_(self.projection.weight)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) -> (B, C, H, W); coordinates run from -1 to 1 whatever the shape is"""
        pitch = 2.0 ** torch.arange(self.octaves, device=x.device) * (torch.pi / 2)  # (F,)
        waves: list[Tensor] = []
        for cells in x.shape[2:]:
            at = (torch.arange(cells, device=x.device) + 0.5) * (2 / cells) - 1
            angle = at[:, None] * pitch
            waves.append(torch.cat([angle.sin(), angle.cos()], dim=1))  # (cells, 2 F)
        rows, columns = waves
        both = torch.cat(
            [rows[:, None].expand(-1, len(columns), -1), columns.expand(len(rows), -1, -1)], dim=2
        )
        return x + self.projection(both.to(self.projection.weight)).permute(2, 0, 1).to(x.dtype)


def block_of(
    config: UNetConfig, channels_in: int, channels_out: int, resample: Resample | None = None
) -> ResBlock:
    return ResBlock(
        channels_in,
        channels_out,
        config.emb_width,
        groups=config.groups,
        dropout=config.dropout,
        resample=resample,
        modulation=config.modulation,
    )


def attention_of(config: UNetConfig, width: int, kind: AttentionKind) -> nn.Module:
    make = CrossTransformer if kind == "cross" else KeyedAttention
    return make(
        width,
        config.head_width_at(width),
        config.context_width,
        groups=config.groups,
        qk_norm=config.qk_norm,
    )


class UNet(nn.Module):
    """B batch, C channels, H, W pixels (multiples of `config.stride`), E embedding width, L tokens."""

    def __init__(self, config: UNetConfig):
        super().__init__()
        self.config = config
        levels, folded = config.levels, config.patch**2
        self.time = TimeEmbedding(config.time_width, config.emb_width, config.times)
        self.stem = conv(config.channels_in * folded, levels[0].width, 3)

        width = levels[0].width
        skips = [width]  # channels of what the way up reads, in the order in which it is made
        self.down = nn.ModuleList()
        for index, level in enumerate(levels):
            widths = [(width, level.width)] + [(level.width, level.width)] * (level.depth - 1)
            last = index + 1 == len(levels)
            self.down.append(Stage(config, widths, level.attention, None if last else "down"))
            width = level.width
            skips += [width] * (level.depth + (not last))

        self.middle = nn.ModuleList(block_of(config, width, width) for _ in range(2))
        between = config.middle_attention
        self.middle_attention = None if between is None else attention_of(config, width, between)
        placed = between is not None and config.places > 0
        self.middle_places = Places(width, config.places) if placed else None

        self.up = nn.ModuleList()  # the coarsest first
        for index, level in reversed(list(enumerate(levels))):
            widths = []
            for _ in range(level.depth + 1):
                widths.append((width + skips.pop(), level.width))
                width = level.width
            self.up.append(Stage(config, widths, level.attention, "up" if index else None))

        self.norm = GroupNorm(config.groups, width)
        self.out = conv(width, config.channels_out * folded, 3, zero=True)

    def read(self, context: Tensor | None) -> tuple[Words, ...]:
        """context (B, L, context_width) -> what each attention reads of it, in the order of `forward`; where
        they read the picture alone, nothing
        """
        stages = cast(list[Stage], [*self.down, *self.up])
        found = [stage.attentions for stage in stages]
        if self.middle_attention is not None:
            found.insert(len(self.down), nn.ModuleList([self.middle_attention]))
        layers = cast(list[KeyedAttention | CrossTransformer], list(chain(*found)))
        if context is None:
            assert self.config.context_width == 0, "attention over tokens, and there are none"
            return tuple(() for _ in layers)
        return tuple(layer.read(context) for layer in layers)

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        *,
        extra: Tensor | None = None,
        context: Tensor | None = None,
        words: tuple[Words, ...] | None = None,
        keep: Tensor | None = None,
        beside: Tensor | None = None,
    ) -> Tensor:
        """x (B, C, H, W), t (B,) -> (B, channels_out, H, W)

        extra: (B, E) added to the timestep's embedding.  beside: (B, D, h, w) added to what enters the first
        level, of its width and size.  context: (B, L, context_width) tokens, or words:
        what `read` makes of them.  keep: (B, L) bool, False is no token; None keeps all.
        Words and keep may have a multiple of x's rows: each x is then drawn for several captions, see
        `repeated`, and so many rows come back.
        """
        if words is None:
            words = self.read(context)
        left = iter(words)
        emb = self.time(t)
        emb = F.silu(emb if extra is None else emb + extra)  # (B, E), activated once for all blocks
        h = F.pixel_unshuffle(x, self.config.patch) if self.config.patch > 1 else x
        h = self.stem(h.to(self.stem.weight.dtype).contiguous(memory_format=torch.channels_last))
        if beside is not None:
            h = h + beside.to(h)

        skips = [h]
        for stage in self.down:
            assert isinstance(stage, Stage)
            for index in range(len(stage.blocks)):
                h = stage.block(index, h, emb, left, keep)
                skips.append(h)
            if stage.resample is not None:
                h = stage.resample(h, repeated(emb, len(h)))
                skips.append(h)

        h = self.middle[0](h, repeated(emb, len(h)))
        if self.middle_places is not None:
            h = self.middle_places(h)
        if self.middle_attention is not None:
            h = self.middle_attention(h, next(left), keep)
        emb = repeated(emb, len(h))
        h = self.middle[1](h, emb)

        for stage in self.up:
            assert isinstance(stage, Stage)
            for index in range(len(stage.blocks)):
                skip = repeated(skips.pop(), len(h))
                h = stage.block(index, torch.cat([h, skip], dim=1), emb, left, keep)
            if stage.resample is not None:
                h = stage.resample(h, emb)

        h = self.out(F.silu(self.norm(h)))
        return F.pixel_shuffle(h, self.config.patch) if self.config.patch > 1 else h
