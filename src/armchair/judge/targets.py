"""A scene as the maps that the judge should answer with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from armchair.core.errors import BadInput
from armchair.core.task import Sample
from armchair.data.world.layout import Box, sign_box
from armchair.data.world.scene import BACKGROUNDS, SIGN_WORDS, STYLES, TINTS, Scene
from armchair.judge.config import JudgeConfig
from armchair.judge.soften import within

SPREAD = 0.11  # of a thing's smaller side: standard deviation of the bump around its middle
LEAST = 0.55  # cells: the least standard deviation
REACH = 1.25  # cells around the middle whose maps tell of the thing


class Thing(NamedTuple):
    """One object of a scene, of one concept."""

    concept: int
    colour: int  # of TINTS
    box: Box


def truth_of(sample: Sample, labels: Mapping[str, int]) -> Scene:
    """The scene behind a sample. Raises BadInput where nobody knows it or it holds an unknown concept."""
    scene = sample.truth
    if not isinstance(scene, Scene):
        raise BadInput(f"sample {sample.key} is no scene of Emoji World, whose truth is known")
    if scene.ratio != "1:1":
        raise BadInput(f"sample {sample.key} is {scene.ratio}; say --set data.wide=0 --set data.tall=0")
    for thing in scene.things:
        if thing.concept not in labels:
            known = len(labels)
            raise BadInput(
                f"sample {sample.key} shows {thing.concept!r}, which is not among the first {known} concepts "
                f"that task.net.concepts keeps apart: say --set data.concepts={known} too"
            )
    return scene


def things_of(scene: Scene, labels: Mapping[str, int]) -> list[Thing]:
    """Every object, the furthest first."""
    things = [scene.things[i] for i in scene.draw_order]
    return [Thing(labels[t.concept], TINTS.index(t.tint), box) for t in things for box in t.boxes]


def boards(scene: Scene) -> list[Box]:
    """Where the scene's sign is: one box or none."""
    return [] if scene.sign is None else [sign_box(scene.index)]


def targets(scene: Scene, labels: Mapping[str, int], chosen: Box, config: JudgeConfig) -> dict[str, Tensor]:
    """What to answer for the part of a scene that a frame shows, on g x g cells:

    middle (g, g) 1 at the cell of each thing's middle, falling off around it · concept, colour (g, g) int64,
    -1 where no thing is near · box (4, g, g) as in Maps · style, background () int64 · sign (2,) int64, 0 for
    no board. A cell near two middles tells of the nearer thing.
    """
    g = config.grid
    own = torch.arange(g) + 0.5  # middles of the cells, in cells
    middle, nearest = torch.zeros(g, g), torch.full((g, g), math.inf)
    concept, colour = torch.full((g, g), -1), torch.full((g, g), -1)
    box = torch.zeros(4, g, g)
    for thing in things_of(scene, labels):
        part = within(thing.box, chosen)
        right, down = g * part.x - own, g * part.y - own  # (g,) each
        row, column = min(int(g * part.y), g - 1), min(int(g * part.x), g - 1)
        sigma = max(LEAST, SPREAD * g * min(part.w, part.h))
        bump = torch.exp(-((own - own[row])[:, None] ** 2 + (own - own[column]) ** 2) / (2 * sigma**2))
        middle = torch.maximum(middle, bump)
        apart = (down[:, None] ** 2 + right**2).sqrt()  # (g, g)
        near = (apart <= REACH) & (apart <= nearest)
        nearest = torch.where(near, apart, nearest)
        concept[near], colour[near] = thing.concept, thing.colour
        size = [math.log(max(v, 1 / (4 * g))) for v in (part.w, part.h)]
        wanted = torch.stack(
            [right.expand(g, g), down[:, None].expand(g, g), *(torch.full((g, g), v) for v in size)]
        )
        box = torch.where(near, wanted, box)
    sign = [0, 0]
    for board in boards(scene):
        assert scene.sign is not None
        sign[int(within(board, chosen).y > 0.5)] = 1 + SIGN_WORDS.index(scene.sign)
    return {
        "middle": middle,
        "concept": concept,
        "colour": colour,
        "box": box,
        "style": torch.tensor(STYLES.index(scene.things[0].style)),
        "background": torch.tensor(BACKGROUNDS.index(scene.background)),
        "sign": torch.tensor(sign),
    }
