"""Scenes of drawn shapes under the names of the first concepts: no icon set is needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from armchair.core.task import Batch, Sample
from armchair.data.world.concepts import load_concepts
from armchair.data.world.layout import Box
from armchair.data.world.render import TINT_RGB
from armchair.data.world.scene import Relation, Scene, Thing
from armchair.judge.config import JudgeConfig
from armchair.judge.task import JudgeTask

NET = JudgeConfig(
    image_size=32, concepts=4, widths=(16, 32), blocks=(1, 1), merged=32, head=32, letters=8, found=0.3
)
NAMES = [concept.name for concept in load_concepts()[:6]]
PAPER = {"white": (255, 255, 255), "cream": (250, 240, 215)}


def shape(kind: int, size: int, colour: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A disc, a ring, a bar or a cross: its mask (size, size) and its colour."""
    y, x = np.mgrid[:size, :size] + 0.5 - size / 2
    r, a = np.hypot(x, y), size / 2
    mask = (
        r < a,
        (r < a) & (r > 0.55 * a),
        abs(y) < 0.4 * a,
        (abs(x) < 0.3 * a) | (abs(y) < 0.3 * a),
    )[kind]
    return mask, np.array(colour, np.uint8)


def draw(scene: Scene, size: int) -> np.ndarray:
    """(size, size, 3) uint8: things as shapes in the colours of their tints, natural ones brown."""
    canvas = np.full((size, size, 3), PAPER[scene.background], np.uint8)
    for thing in scene.things:
        for box in thing.boxes:
            side = round(box.w * size)
            colour = (120, 80, 50) if thing.tint == "natural" else TINT_RGB[thing.tint]
            mask, ink = shape(NAMES.index(thing.concept) % 4, side, colour)
            top, left = round((box.y - box.h / 2) * size), round((box.x - box.w / 2) * size)
            canvas[top : top + side, left : left + side][mask] = ink
    return canvas


def scene_of(index: int, names: list[str] = NAMES) -> Scene:
    """One large thing, two side by side, or two of the same, in turn; everything by the index."""
    rng = np.random.default_rng(index)
    style, background = "flat", ("white", "cream")[int(rng.integers(2))]
    kinds = [int(k) for k in rng.permutation(4)[:2]]
    tints = [str(t) for t in rng.permutation(["natural", "red", "blue", "green"])[:2]]
    if index % 3 == 0:
        box = Box(0.5 + float(rng.uniform(-0.1, 0.1)), 0.5, 0.75, 0.75)
        return Scene(index, (Thing(names[kinds[0]], style, tints[0], (box,)),), (), background, None)
    places = [Box(x, 0.5 + float(rng.uniform(-0.1, 0.1)), 0.4375, 0.4375) for x in (0.25, 0.75)]
    if index % 3 == 1:
        things = tuple(Thing(names[k], style, t, (b,)) for k, t, b in zip(kinds, tints, places, strict=True))
        return Scene(index, things, (Relation(0, "left of", 1),), background, None)
    return Scene(index, (Thing(names[kinds[0]], style, tints[0], tuple(places)),), (), background, None)


class Shapes:
    """Drawn scenes; `names` says what each shape is called."""

    def __init__(self, size: int = 32, names: list[str] = NAMES):
        self.size = size
        self.names = names

    def __len__(self) -> int:
        return 3000

    def __getitem__(self, index: int) -> Sample:
        scene = scene_of(index, self.names)
        return Sample(str(index), draw(scene, self.size), truth=scene)

    def describe(self) -> dict[str, Any]:
        return {}


def made(task: JudgeTask, source: Shapes, indices: list[int]) -> Batch:
    """The examples of a batch."""
    examples = [task.example(source[i], torch.Generator().manual_seed(i)) for i in indices]
    data = {name: torch.stack([e[name] for e in examples]) for name in examples[0]}
    return Batch(data, indices, 0, task.counts(data))
