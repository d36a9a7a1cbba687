"""What the judge reads in pictures: things with their boxes and colours, style, background, sign.

The rule for "left of" and its sisters is GenEval's (arXiv:2310.11513, appendix): the middles lie further
apart than a tenth of both sizes together, mostly in that direction.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from armchair.core.bundle import Bundle
from armchair.core.config import from_json
from armchair.core.errors import BadInput, BundleError
from armchair.core.packing import fill_module
from armchair.data.world.concepts import load_concepts
from armchair.data.world.layout import Box
from armchair.data.world.scene import BACKGROUNDS, SIGN_WORDS, STYLES, TINTS
from armchair.data.world.shapes import shape_of
from armchair.judge.config import JudgeConfig
from armchair.judge.network import Judge, Maps

MOST = 12  # things read of a picture at most
SAME = 0.5  # overlap from which two boxes of one concept are one thing
TWIN = 0.75  # and two boxes of different concepts: one thing under two names
BATCH = 50  # pictures that go through the network at once
APART = 0.1  # of the sizes: how far middles must lie apart to have a direction
MOSTLY = 0.5  # of the way between the middles must go in the direction


@dataclass(frozen=True)
class Found:
    """One thing in a picture."""

    concept: str
    score: float  # 0..1: that there is a thing, times that it is this one
    box: Box
    colour: str  # of TINTS: one of eight colours, or "natural"


@dataclass(frozen=True)
class Reading:
    """What a picture shows."""

    found: tuple[Found, ...]  # best first
    style: str  # of STYLES
    background: str  # of BACKGROUNDS
    sign: str | None  # the word on a board; "" where it cannot be read; None without a board

    def of(self, concept: str) -> tuple[Found, ...]:
        """The things of one concept, best first."""
        return tuple(f for f in self.found if f.concept == concept)


class Reader:
    """A judge, ready to read."""

    def __init__(self, net: Judge, names: Iterable[str] | None = None):
        """names: of the concepts, in the network's order; None: the first of concepts.json."""
        self.net = net.eval()
        table = (c.name for c in load_concepts()) if names is None else names
        self.names = tuple(table)[: net.config.concepts]

    @classmethod
    def from_bundle(cls, bundle: Bundle, device: torch.device | str = "cpu") -> Reader:
        """The judge of a bundle. Raises BundleError for a damaged one or one of another kind."""
        if bundle.kind != "judge":
            raise BundleError(f"{bundle.folder} is a {bundle.kind} bundle; a judge is needed")
        config = from_json(JudgeConfig, bundle.config("judge"), f"{bundle.folder}: judge")
        with torch.device("meta"):
            net = Judge(config)
        fill_module(net, bundle.tensors("judge"), "judge")
        return cls(net.to(device=device, memory_format=torch.channels_last))  # type: ignore[call-overload]

    @torch.no_grad()
    def read(self, images: Tensor) -> list[Reading]:
        """images (B, 3, H, W) in [0, 1], any size -> B readings. Raises BadInput for other shapes."""
        readings: list[Reading] = []
        for maps in self._maps(images):
            readings += readings_of(maps, self.net.config, self.names)
        return readings

    @torch.no_grad()
    def name(self, images: Tensor) -> list[str]:
        """The concept of each picture's surest thing, however unsure. images as for `read`."""
        names: list[str] = []
        for maps in self._maps(images):
            best = scores(maps).amax(dim=(2, 3)).argmax(dim=1)  # (B,)
            names += [self.names[i] for i in best.tolist()]
        return names

    def _maps(self, images: Tensor) -> Iterable[Maps]:
        if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape[2:]:
            raise BadInput(f"pictures are (B, 3, H, W) in 0..1, not {tuple(images.shape)}")
        device = next(self.net.parameters()).device
        for part in images.split(BATCH) if len(images) else ():
            yield self.net(part.to(device, torch.float32))


def scores(maps: Maps) -> Tensor:
    """(B, K, g, g) in 0..1: that a thing's middle lies in the cell, times that it is this concept."""
    return maps.middle.sigmoid().unsqueeze(1) * maps.concept.softmax(dim=1)


def readings_of(maps: Maps, config: JudgeConfig, names: tuple[str, ...]) -> list[Reading]:
    """Maps of B pictures -> B readings."""
    sure = scores(maps)  # (B, K, g, g)
    best, concept = sure.max(dim=1)  # (B, g, g)
    peak = maps.middle == F.max_pool2d(maps.middle.unsqueeze(1), 3, stride=1, padding=1).squeeze(1)
    value, place = torch.where(peak, best, 0.0).flatten(1).topk(min(MOST, best[0].numel()))  # (B, n)
    boxes = frame_boxes(maps.box)  # (B, 4, g, g)
    colour = maps.colour.argmax(dim=1)  # (B, g, g)
    picked = place.tolist()
    values, kinds, tints = (
        x.flatten(1).gather(1, place).tolist() for x in (torch.where(peak, best, 0.0), concept, colour)
    )
    places = boxes.flatten(2).gather(2, place.unsqueeze(1).expand(-1, 4, -1)).mT.tolist()  # (B, n, 4)
    styles, backgrounds = maps.style.argmax(1).tolist(), maps.background.argmax(1).tolist()
    signs = _signs(maps.sign, config.legible)
    readings: list[Reading] = []
    for i in range(len(picked)):
        found: list[Found] = []
        for score, kind, box, tint in zip(values[i], kinds[i], places[i], tints[i], strict=True):
            if score < config.found:
                break
            thing = Found(names[kind], score, Box(*(round(v, 4) for v in box)), TINTS[tint])
            if not any(_is(thing, other) for other in found):
                found.append(thing)
        readings.append(Reading(tuple(found), STYLES[styles[i]], BACKGROUNDS[backgrounds[i]], signs[i]))
    return readings


def frame_boxes(box: Tensor) -> Tensor:
    """Maps.box (B, 4, g, g) -> centre x, y, width, height in fractions of the frame, clipped to it."""
    g = box.shape[-1]
    own = (torch.arange(g, device=box.device) + 0.5) / g  # the middles of the cells
    x = (own + box[:, 0] / g).clamp(0, 1)
    y = (own[:, None] + box[:, 1] / g).clamp(0, 1)
    w, h = box[:, 2].clamp(max=0).exp(), box[:, 3].clamp(max=0).exp()
    return torch.stack([x, y, w, h], dim=1)


def has_colour(found: Found, style: str, colour: str) -> bool:
    """Whether a thing has a colour, painted or by nature: a strawberry in its own colours is red.

    colour: of TINTS; style: the picture's, since own colours differ between the sets.
    """
    names = {found.colour, colour}
    return len(names) == 1 or names == {"natural", shape_of(found.concept, style).colour}


def overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    w = min(a.x + a.w / 2, b.x + b.w / 2) - max(a.x - a.w / 2, b.x - b.w / 2)
    h = min(a.y + a.h / 2, b.y + b.h / 2) - max(a.y - a.h / 2, b.y - b.h / 2)
    shared = max(w, 0.0) * max(h, 0.0)
    return shared / (a.w * a.h + b.w * b.h - shared) if shared else 0.0


def relations(a: Box, b: Box) -> frozenset[str]:
    """Which of "left of", "right of", "above", "below" hold of a with respect to b: none, one or two."""
    x, y = a.x - b.x, a.y - b.y
    far = math.hypot(x, y)
    names: set[str] = set()
    for offset, sizes, before, after in (
        (x, a.w + b.w, "left of", "right of"),
        (y, a.h + b.h, "above", "below"),
    ):
        beyond = abs(offset) - APART * sizes
        if beyond > MOSTLY * far:
            names.add(before if offset < 0 else after)
    return frozenset(names)


def _is(thing: Found, other: Found) -> bool:
    return overlap(thing.box, other.box) > (SAME if thing.concept == other.concept else TWIN)


def _signs(logits: Tensor, legible: float) -> list[str | None]:
    """(B, 2, 1 + words) -> the word of the strip that surely has a board; "" for one that is not legible."""
    p = logits.softmax(dim=2)
    strip = p[:, :, 0].argmin(dim=1)
    p = p[torch.arange(len(p)), strip]  # (B, 1 + words)
    value, word = p[:, 1:].max(dim=1)
    signs: list[str | None] = []
    for none, best, index in zip(p[:, 0].tolist(), value.tolist(), word.tolist(), strict=True):
        signs.append(None if none >= 0.5 else SIGN_WORDS[index] if best >= legible else "")
    return signs
