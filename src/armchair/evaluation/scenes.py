"""What a prompt asks for, drawn by the renderer: the ceiling of every score that a judge gives.

Scenes are composed as those of training are: the same layouts, the same mix of styles and backgrounds where
the prompt leaves them open, and colours that stand out.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from armchair.data.world import layout
from armchair.data.world.art import Art
from armchair.data.world.captions import caption
from armchair.data.world.layout import Box
from armchair.data.world.render import render
from armchair.data.world.scene import (
    OPPOSITE,
    PAINTED,
    PLAIN,
    STYLES,
    Dice,
    Relation,
    Scene,
    Thing,
    WorldConfig,
    stands_out,
)
from armchair.data.world.shapes import shape_of
from armchair.data.world.source import words_rng
from armchair.evaluation.prompts import Prompt, Wanted

NEUTRAL = PLAIN[:3]  # as common as the eight colours together


def compose(prompt: Prompt, seed: int) -> Scene:
    """A scene that shows what the prompt asks for; the same for the same seed on every machine."""
    dice = Dice("geneval", prompt.id, seed)
    style = _style(prompt, dice)
    background = prompt.background
    while background is None or (prompt.background is None and not _fits(prompt, style, background)):
        plain = dice.chance(WorldConfig.plain)
        background = dice.pick(NEUTRAL if plain and dice.chance(0.5) else PLAIN if plain else PAINTED)
    boxes, relation = _places(prompt, style, dice)
    things = tuple(
        Thing(w.concept, style, "natural" if w.colour is None else w.colour, tuple(b))
        for w, b in zip(prompt.things, boxes, strict=True)
    )
    relations = () if relation is None else (Relation(0, relation, 1),)
    return Scene(int(dice.random() * 2**31), things, relations, background, None)


def single(concept: str, style: str, seed: int) -> Scene:
    """One thing in its own colours that fills the frame, on a background that it stands out from."""
    prompt = Prompt(
        id=f"{concept}/{style}", task="single", en="", ko="", things=(Wanted(concept=concept),), style=style
    )
    return compose(prompt, seed)


def pictures(scenes: list[Scene], size: int, art: Art) -> Tensor:
    """(N, 3, size, size) float 0..1"""
    pixels = np.stack([render(scene, size, art) for scene in scenes])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255


def said(scene: Scene, kind: str, language: str) -> str:
    """The caption of a scene as its source gives it."""
    return caption(scene, kind, language, words_rng(scene.index, kind, language))


def _style(prompt: Prompt, dice: Dice) -> str:
    if prompt.style is not None:
        return prompt.style
    weights = WorldConfig().styles
    black = any(w.colour == "black" for w in prompt.things)  # line drawings are black by themselves
    names = [s for s in STYLES if not (black and s == "line")]
    return dice.weighted(names, np.cumsum([weights[s] for s in names]).tolist())


def _fits(prompt: Prompt, style: str, background: str) -> bool:
    colours = [
        w.colour if w.colour is not None else shape_of(w.concept, style).colour
        for w in prompt.things
        if w.colour is not None or style != "line"
    ]
    return all(stands_out(colour, background) for colour in colours)


def _places(prompt: Prompt, style: str, dice: Dice) -> tuple[list[list[Box]], str | None]:
    """Boxes of each thing, and the relation of the first to the second of two."""
    shapes = [shape_of(w.concept, style) for w in prompt.things]
    frame = layout.frame(False, 0)
    if len(shapes) == 1:
        count = prompt.things[0].count
        placed = (
            layout.single(shapes, frame, dice) if count == 1 else layout.several(shapes, count, frame, dice)
        )
        return placed[0], None
    wanted = dice.pick(tuple(OPPOSITE)) if prompt.relation is None else prompt.relation
    turned = wanted in ("right of", "below")  # the layout puts its first thing to the left or above
    first = OPPOSITE[wanted] if turned else wanted
    while True:  # thrown until the layout, which also knows "on" and "in front of", is the wanted one
        boxes, relations = layout.pair(shapes[::-1] if turned else shapes, (False, False), frame, dice)
        subject, kind, _, _ = relations[0]
        if first == (kind if subject == 0 else OPPOSITE[kind]):
            return boxes[::-1] if turned else boxes, wanted
