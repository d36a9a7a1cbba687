"""Where the things of a caption stand: drawn from the caption before the U-Net begins, and laid on its cells.
Not in the papers.

    caption ─ sketch's reading ─► LayoutPrior ─► spots ─► Laid ─► cells of the U-Net
                                                           ▲
    the caption's states ──────────────────────────────────┘

A U-Net that reads the words of two things must find out, at every step and from noise, which of them a blob
is to become. Told it, two things are as easy as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armchair.core.errors import BadInput
from armchair.core.rng import SeedBatch, mix
from armchair.core.task import Spot
from armchair.nn.cross import KeyedBlock

# of a spot: a token's place, counted from 1, then x, y, w, h in bins; where looks have names, the row after
# all spots has no place, and the picture's look, counted from 1, in the place of x; 0 is unknown
NUMBERS = 5
NOWHERE = 0  # the place of no spot
LOOK = 1


@dataclass(frozen=True, kw_only=True)
class LayoutConfig:
    """What draws a layout, and what lays it on cells."""

    width: int = 192  # of the prior
    depth: int = 2  # blocks
    heads: int = 3
    most: int = 8  # spots of a caption; more are left out
    bins: int = 32  # of each of x, y, w and h
    hidden: int = 96  # numbers of a cell of a thing, before they are added up
    octaves: int = 3  # of a cell's coordinates in its thing's box
    temperature: float = 1.0  # that boxes are drawn at; which words have one is not left to chance
    looks: tuple[str, ...] = ()  # manners that pictures are drawn in, see Caption.look
    look_temperature: float = 1.0  # that looks are drawn at
    candidates: int = 4  # layouts that are drawn for a picture; the likeliest is taken

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"layout.width {self.width} is no multiple of layout.heads {self.heads}")
        if self.most < 1 or self.bins < 2:
            raise ValueError(f"layout.most {self.most} is at least 1, and layout.bins {self.bins} at least 2")
        if self.candidates < 1 or self.temperature <= 0 or self.look_temperature <= 0:
            raise ValueError(
                f"layout.candidates {self.candidates} is at least 1, layout.temperature above 0, looks' too"
            )

    def nothing(self, rows: int) -> Tensor:
        """(rows, M, 5) int64, no spots, and no look"""
        return torch.full((rows, self.most + bool(self.looks), NUMBERS), NOWHERE)


def check_layout(layout: LayoutConfig | None, sketch: object | None, width: int, patch: int) -> None:
    """Raises ValueError where a network of this sketch, with so many channels at its first level and squares
    of so many cells, can have no such layout.
    """
    if layout is None:
        return
    if sketch is None:
        raise ValueError("a layout is drawn from what a sketch reads, and sketch is null")
    if width % patch**2:
        raise ValueError(f"a layout needs levels[0] of a multiple of {patch**2} channels, cells of a square")


def check_dropout(layout: LayoutConfig | None, bpe_dropout: float) -> None:
    """Raises BadInput where captions would be cut into other tokens than those that a layout points to."""
    if layout is not None and bpe_dropout > 0:
        raise BadInput(f"task.bpe_dropout={bpe_dropout}: 0 is needed, since a layout points to tokens")


def spots_tensor(spots: Sequence[tuple[int, Spot]], config: LayoutConfig, look: str = "") -> Tensor:
    """Tokens' places, counted from 0, and where what they name stands -> (M, 5) int64, the first `most` of
    them, then no spots; and the look
    """
    rows = config.nothing(1)[0]
    if look in config.looks:
        rows[-1, LOOK] = 1 + config.looks.index(look)
    for row, (place, spot) in zip(rows[: config.most], spots, strict=False):
        shares = torch.tensor(spot[1:]) * config.bins
        row[0], row[1:] = place + 1, shares.long().clamp(0, config.bins - 1)
    return rows


def unstretched(spots: Tensor, height: int, width: int) -> Tensor:
    """spots (B, M, 5) as they are drawn for a square -> (B, M, 5) for h x w cells: things keep their middles'
    shares and their own proportions. A caption does not say which shape its picture will have.
    """
    made, short = spots.clone(), min(height, width)
    for number, cells in ((3, width), (4, height)):
        made[..., number] = spots[..., number] * short // cells
    return made


def example_of(
    spots: Sequence[tuple[int, Spot]],
    config: LayoutConfig,
    look: str,
    drop: float,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """What a training example says of its layout: spots (M, 5), and shows_layout () bool, False in the share
    `drop` of examples, whose spots the prior alone learns from
    """
    return {
        "spots": spots_tensor(spots, config, look),
        "shows_layout": torch.rand((), generator=generator) >= drop,
    }


class Layout(nn.Module):
    """The priors of spots and of looks, and what lays spots on the cells of a U-Net."""

    def __init__(self, config: LayoutConfig, text_width: int, width: int, patch: int):
        """width: of the U-Net's first level; patch: cells a side of the squares that it works on"""
        super().__init__()
        self.config = config
        self.patch = patch
        self.prior = LayoutPrior(config, text_width)
        self.look = LookPrior(config, text_width) if config.looks else None
        self.laid = Laid(config, 2 * text_width, width // patch**2)

    def forward(self, text_seq: Tensor, context: Tensor, spots: Tensor, height: int, width: int) -> Tensor:
        """text_seq (B, L, W), the text encoder's, context (B, L, W), what a sketch makes of them, spots
        (B, M, 5) -> (B, D, h / patch, w / patch), what joins the first level
        """
        cells = self.laid(torch.cat([text_seq, context], dim=2), spots, height, width)
        return F.pixel_unshuffle(cells, self.patch)

    @property
    def priors(self) -> nn.ModuleList:
        """What is drawn with: where things stand, and the look."""
        return nn.ModuleList([self.prior] if self.look is None else [self.prior, self.look])

    @torch.no_grad()
    def draw(self, context: Tensor, seeds: Sequence[int]) -> Tensor:
        """context (1, L, W) of one caption -> spots (B, M, 5), a look too where there are any, a seed each"""
        count = self.config.candidates
        rng = SeedBatch([mix(seed, "layout") for seed in seeds], context.device)
        uniform = rng.uniform(count, NUMBERS * self.config.most)  # (B, K, 5 M)
        made = self.prior.draw(context[0], uniform.flatten(0, 1))  # (B K, M, 5)
        words = context.expand(len(made), -1, -1)
        keep = torch.ones(words.shape[:2], dtype=torch.bool, device=words.device)
        numbers = NUMBERS * (made[..., 0] != NOWHERE).sum(dim=1) + 1
        nats = (self.prior(words, keep, made) * numbers).unflatten(0, (-1, count))  # (B, K)
        rows = torch.arange(len(seeds), device=words.device)
        spots = made.unflatten(0, (-1, count))[rows, nats.argmin(dim=1)]
        if self.look is None:
            return spots
        whole = self.config.nothing(len(spots)).to(spots)
        whole[:, :-1] = spots
        uniform = SeedBatch([mix(seed, "look") for seed in seeds], context.device).uniform()
        whole[:, -1, LOOK] = 1 + self.look.draw(context, uniform)
        return whole

    def errors(self, context: Tensor, keep: Tensor, spots: Tensor) -> Tensor:
        """(B,) nats a number, as the prior's, 0 where no spot is known; and those of the look"""
        nats = self.prior(context, keep, spots) * (spots[..., 0] != NOWHERE).any(dim=1)
        return nats if self.look is None else nats + self.look(context, keep, spots[:, -1, LOOK])


class LookPrior(nn.Module):
    """How often each look goes with a caption, by the words that say so: what each token makes of it, weighed
    by the token. B batch, L tokens of width W.
    """

    def __init__(self, config: LayoutConfig, text_width: int):
        super().__init__()
        self.config = config
        self.read = nn.Linear(text_width, config.width)
        self.weigh = nn.Linear(config.width, 1, bias=False)
        self.out = nn.Linear(config.width, len(config.looks))

    def forward(self, context: Tensor, keep: Tensor, looks: Tensor) -> Tensor:
        """context (B, L, W), keep (B, L) bool: False is no token, looks (B,) counted from 1 -> (B,) nats; 0
        where the look is unknown
        """
        logits = self._logits(context, keep)
        return F.cross_entropy(logits, looks - 1, ignore_index=-1, reduction="none")

    def draw(self, context: Tensor, uniform: Tensor) -> Tensor:
        """context (1, L, W) of one caption, uniform (B,) in 0..1, which choose -> (B,) counted from 0"""
        keep = torch.ones(context.shape[:2], dtype=torch.bool, device=context.device)
        logits = self._logits(context, keep) / self.config.look_temperature
        share = logits.softmax(dim=1).cumsum(dim=1)  # (1, looks)
        return (share < uniform[:, None]).sum(dim=1).clamp(max=share.shape[1] - 1)

    def _logits(self, context: Tensor, keep: Tensor) -> Tensor:
        """-> (B, looks)"""
        h = F.gelu(self.read(context))  # (B, L, H)
        weights = self.weigh(h).float().masked_fill(~keep.unsqueeze(2), -torch.inf).softmax(dim=1)
        return self.out((h * weights.to(h)).sum(dim=1)).float()


class Laid(nn.Module):
    """Each cell that a thing covers learns its word's state and where in its box the cell lies; cells of
    several things the sum. Untrained it is zero.

    B batch, L tokens of width W, M spots, h, w cells.
    """

    def __init__(self, config: LayoutConfig, text_width: int, channels: int):
        super().__init__()
        self.config = config
        axis = 2 * config.octaves + 1
        self.word = nn.Linear(text_width, config.hidden)
        self.rows = nn.Linear(axis, config.hidden, bias=False)
        self.columns = nn.Linear(axis, config.hidden, bias=False)
        self.out = nn.Linear(config.hidden, channels, bias=False)
        nn.init.zeros_(self.out.weight)

    def forward(self, text_seq: Tensor, spots: Tensor, height: int, width: int) -> Tensor:
        """text_seq (B, L, W), spots (B, M, 5) -> (B, channels, h, w)"""
        which, slot = (spots[..., 0] != NOWHERE).nonzero(as_tuple=True)  # each (N,)
        places, box = spots[which, slot, 0], (spots[which, slot, 1:] + 0.5) / self.config.bins
        words = self.word(text_seq[which, places - 1])  # (N, H)
        down, covers_down = self._axis(box[:, 1], box[:, 3], height)
        across, covers_across = self._axis(box[:, 0], box[:, 2], width)
        down = self.rows(down.to(words)) + words[:, None]  # (N, h, H)
        across = self.columns(across.to(words))  # (N, w, H)
        inside = F.gelu(down[:, :, None] + across[:, None])  # (N, h, w, H)
        inside = inside * (covers_down[:, :, None] * covers_across[:, None])[..., None].to(inside)
        cells = inside.new_zeros(len(spots), height, width, self.config.hidden)
        return self.out(cells.index_add(0, which, inside)).permute(0, 3, 1, 2)

    def _axis(self, middle: Tensor, extent: Tensor, cells: int) -> tuple[Tensor, Tensor]:
        """middle, extent (N,) in 0..1 -> (N, cells, 2 octaves + 1), where each cell lies in the box and how
        large that is; (N, cells) how much of the cell it covers
        """
        at = (torch.arange(cells, device=middle.device) + 0.5) / cells
        off, half = at - middle[:, None], extent[:, None] / 2
        pitch = 2.0 ** torch.arange(self.config.octaves, device=middle.device) * (torch.pi / 2)
        angle = (off / half).clamp(-1, 1)[..., None] * pitch
        size = extent[:, None, None].expand(-1, cells, 1)
        covers = ((half - off.abs()) * cells + 0.5).clamp(0, 1)
        return torch.cat([angle.sin(), angle.cos(), size], dim=2), covers


class LayoutPrior(nn.Module):
    """Draws spots one number after the other: the place of a word among the caption's tokens, by a pointer,
    then the bins of its box; the place of none ends them.

    B batch, L tokens of width W, M spots, S = 5 M numbers, D width.
    """

    def __init__(self, config: LayoutConfig, text_width: int):
        super().__init__()
        self.config = config
        width = config.width
        self.position_embedding = nn.Parameter(torch.empty(NUMBERS * config.most, width))
        self.position_embedding.no_muon = True  # type: ignore[attr-defined]
        self.number_embedding = nn.Embedding((NUMBERS - 1) * config.bins, width)
        self.place_projection = nn.Linear(text_width, width)
        self.blocks = nn.ModuleList(
            KeyedBlock(width, config.heads, text_width, qk_norm=True) for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(width)
        self.pointer = nn.Linear(width, width)
        self.keys = nn.Linear(text_width, width)
        self.end = nn.Parameter(torch.empty(width))  # the key of no place
        self.numbers = nn.Linear(width, (NUMBERS - 1) * config.bins)
        for weight in (self.number_embedding.weight, self.position_embedding, self.end):
            nn.init.normal_(weight, std=0.02)

    def forward(self, context: Tensor, keep: Tensor, spots: Tensor) -> Tensor:
        """context (B, L, W), keep (B, L) bool: False is no token, spots (B, M, 5) -> (B,) nats a number"""
        given = int((spots[..., 0] != NOWHERE).sum(dim=1).max())
        count = min(NUMBERS * given + 1, NUMBERS * self.config.most)  # and the place that ends them
        row = spots.flatten(1)[:, :count]
        inputs = [self._input(context, row[:, i], i) for i in range(count - 1)]
        h = torch.stack([context.new_zeros(len(row), self.config.width), *inputs], dim=1)
        h = h + self.position_embedding[:count]
        causal = torch.ones(count, count, dtype=torch.bool, device=h.device).tril()
        mask = torch.cat(
            [keep[:, None, None, :].expand(-1, -1, count, -1), causal.expand(len(row), 1, -1, -1)], dim=3
        )
        for block in self.blocks:
            assert isinstance(block, KeyedBlock)
            h, _ = block(h, block.context(context), mask)
        h = self.norm(h)
        error = torch.zeros(row.shape, device=h.device)
        at = torch.arange(count, device=h.device)
        points = at % NUMBERS == 0
        logits = self._places(h[:, points], context, keep).float()
        error[:, points] = F.cross_entropy(logits.transpose(1, 2), row[:, points], reduction="none")
        logits = self.numbers(h[:, ~points]).unflatten(2, (NUMBERS - 1, -1)).float()  # (B, S', 4, bins)
        kind = (at[~points] % NUMBERS - 1)[None, :, None, None].expand(len(row), -1, 1, self.config.bins)
        chosen = logits.gather(2, kind).squeeze(2)  # (B, S', bins)
        error[:, ~points] = F.cross_entropy(chosen.transpose(1, 2), row[:, ~points], reduction="none")
        ends = NUMBERS * (spots[..., 0] != NOWHERE).sum(dim=1)  # (B,) the number that ends them
        counts = at <= ends[:, None]
        return (error * counts).sum(dim=1) / counts.sum(dim=1)

    @torch.no_grad()
    def draw(self, context: Tensor, uniform: Tensor) -> Tensor:
        """context (L, W) of one caption, uniform (B, 5 M) numbers in 0..1 that choose -> spots (B, M, 5)"""
        rows, config = len(uniform), self.config
        words = context.expand(rows, -1, -1)
        keep = torch.ones(words.shape[:2], dtype=torch.bool, device=words.device)
        found = torch.zeros(rows, NUMBERS * config.most, dtype=torch.int64, device=words.device)
        h = words.new_zeros(rows, config.width)
        before = [block.context(words) for block in self.blocks]  # type: ignore[operator]
        open_ = torch.ones(rows, dtype=torch.bool, device=words.device)
        for i in range(found.shape[1]):
            kind = i % NUMBERS
            x = (h + self.position_embedding[i])[:, None]
            for n, block in enumerate(self.blocks):
                x, before[n] = block(x, before[n])
            x = self.norm(x)
            if kind == 0:  # the caption says it
                number = self._places(x, words, keep)[:, 0].argmax(dim=1)
                open_ = open_ & (number != NOWHERE)
                if not bool(open_.any()):
                    break
            else:
                logits = self.numbers(x)[:, 0].unflatten(1, (NUMBERS - 1, -1))[:, kind - 1]
                share = (logits.float() / config.temperature).softmax(dim=1).cumsum(dim=1)
                number = (share < uniform[:, i : i + 1]).sum(dim=1).clamp(max=config.bins - 1)
            found[:, i] = number * open_
            h = self._input(words, found[:, i], i)
        return found.unflatten(1, (config.most, NUMBERS))

    def _input(self, context: Tensor, numbers: Tensor, index: int) -> Tensor:
        """context (B, L, W), numbers (B,), the spots' number `index` -> (B, D)"""
        kind = index % NUMBERS
        if kind:
            return self.number_embedding(numbers + (kind - 1) * self.config.bins)
        rows = torch.arange(len(numbers), device=numbers.device)
        return self.place_projection(context[rows, (numbers - 1).clamp(min=0)])

    def _places(self, h: Tensor, context: Tensor, keep: Tensor) -> Tensor:
        """h (B, S, D), context (B, L, W), keep (B, L) -> (B, S, 1 + L) logits"""
        keys = torch.cat([self.end.expand(len(h), 1, -1).to(h), self.keys(context)], dim=1)
        logits = self.pointer(h) @ keys.mT / self.config.width**0.5
        return logits.masked_fill(~F.pad(keep, (1, 0), value=True)[:, None], -torch.inf)
