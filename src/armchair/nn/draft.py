"""What a picture is to look like, painted from the caption and its layout before the U-Net begins. Not in the
papers.

    a word's states, its box ─► canvas of its thing ─► laid in its box ─┐
    another word's           ─► canvas              ─► laid             ─┼─► compose ─► draft
    sketch of the whole picture ────────────────────────────────────────┘

The mean of all pictures that a caption with this layout may mean. A thing is painted in a frame of its own,
the same wherever it stands and however large it is, so that what is learned of large ones holds for small
ones; and once for all steps, so that it costs next to nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armchair.nn.embeddings import mean_state
from armchair.nn.layout import LOOK, NOWHERE, LayoutConfig
from armchair.nn.resnet import ResBlock, conv


@dataclass(frozen=True, kw_only=True)
class DraftConfig:
    """What paints things, and what puts them together."""

    widths: tuple[int, ...] = (128, 96, 64)  # channels of a canvas, from the coarsest; twice the side each
    side: int = 4  # cells per side of the coarsest canvas
    hidden: int = 256  # numbers of a thing
    depth: int = 2  # residual blocks that put things together
    groups: int = 16  # of the group norms

    def __post_init__(self) -> None:
        if not self.widths or self.side < 1 or self.depth < 1:
            raise ValueError("a draft needs draft.widths, and draft.side and draft.depth of at least 1")
        for width in self.widths:
            if width % self.groups:
                raise ValueError(f"draft.widths has {width}, no multiple of draft.groups {self.groups}")


def check_draft(draft: DraftConfig | None, layout: object | None) -> None:
    """Raises ValueError where a network without a layout is to have a draft."""
    if draft is not None and layout is None:
        raise ValueError("a draft is painted where a layout says, and layout is null")


class Draft(nn.Module):
    """Untrained it is the sketch, enlarged.

    B batch, L tokens of width W, M spots, N of them taken, C channels and h, w cells of a picture, S cells a
    side of a sketch.
    """

    def __init__(self, config: DraftConfig, layout: LayoutConfig, text_width: int, channels: int):
        """layout: whose spots and looks it is told"""
        super().__init__()
        self.config, self.bins = config, layout.bins
        first, last, hidden = config.widths[0], config.widths[-1], config.hidden
        self.thing = nn.Sequential(
            nn.Linear(3 * text_width + 2, 2 * hidden), nn.GELU(), nn.Linear(2 * hidden, hidden)
        )
        looks = len(layout.looks)  # and the first: nobody says
        self.look = nn.Embedding(looks + 1, hidden) if looks else None
        self.canvas = nn.Linear(hidden, first * config.side**2)
        pairs = zip((first, *config.widths[:-1]), config.widths, strict=True)
        self.blocks = nn.ModuleList(
            ResBlock(*pair, hidden, groups=config.groups, resample="up" if index else None)
            for index, pair in enumerate(pairs)
        )
        self.stem = conv(last + channels + 1, last, 3)
        self.compose = nn.ModuleList(
            ResBlock(last, last, 0, groups=config.groups) for _ in range(config.depth)
        )
        self.out = conv(last, channels, 1, zero=True)

    def forward(
        self,
        text_seq: Tensor,
        context: Tensor,
        keep: Tensor,
        spots: Tensor,
        sketch: Tensor,
        height: int,
        width: int,
    ) -> Tensor:
        """text_seq (B, L, W), the text encoder's, context (B, L, W), what a sketch makes of them, keep (B, L)
        bool: False is no token, spots (B, M, 5), sketch (B, C, S, S) -> (B, C, h, w)
        """
        large = F.interpolate(sketch, (height, width), mode="bilinear")
        which, slot = (spots[..., 0] != NOWHERE).nonzero(as_tuple=True)  # each (N,)
        places, box = spots[which, slot, 0] - 1, (spots[which, slot, 1:] + 0.5) / self.bins
        states = torch.cat(
            [text_seq[which, places], context[which, places], mean_state(context, keep)[which]], dim=1
        )
        thing = self.thing(torch.cat([states, box[:, 2:].to(states)], dim=1))  # (N, H)
        if self.look is not None:
            thing = thing + self.look(spots[which, -1, LOOK])
        painted = self._paint(thing)
        down = laid(box[:, 1], box[:, 3], painted.shape[2], height).to(painted)  # (N, h, s)
        across = laid(box[:, 0], box[:, 2], painted.shape[3], width).to(painted)  # (N, w, s)
        here = torch.einsum("nik,nckl,njl->ncij", down, F.pad(painted, (0, 0, 0, 0, 0, 1), value=1.0), across)
        all_ = here.new_zeros(len(spots), here.shape[1], height, width).index_add(0, which, here)
        h = self.stem(torch.cat([all_, large.to(all_)], dim=1).contiguous(memory_format=torch.channels_last))
        for block in self.compose:
            h = block(h)
        shown = (spots[..., 0] != NOWHERE).any(dim=1)[:, None, None, None]
        return large + self.out(F.silu(h)).to(large) * shown

    def _paint(self, thing: Tensor) -> Tensor:
        """thing (N, H) -> (N, D, s, s)"""
        side, emb = self.config.side, F.silu(thing)
        h = self.canvas(emb).unflatten(1, (-1, side, side)).contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            h = block(h, emb)
        return h


def laid(middle: Tensor, extent: Tensor, source: int, cells: int) -> Tensor:
    """middle, extent (N,) of boxes along an axis in 0..1 -> (N, cells, source), the share of each cell that
    each of `source` equal parts of the box covers: what lays a canvas on cells by their areas
    """
    edges = torch.arange(source + 1, device=middle.device) / source - 0.5
    edges = (middle[:, None] + extent[:, None] * edges) * cells  # (N, source + 1)
    at = torch.arange(cells, device=middle.device)[:, None]
    start, end = edges[:, None, :-1], edges[:, None, 1:]
    return (torch.minimum(end, at + 1.0) - torch.maximum(start, at * 1.0)).clamp_min(0)
