"""Stand-ins for the evaluation's partners: an art of plain shapes; an artist, a judge and a clip."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from armchair.core.images import to_image
from armchair.data.world.art import ShapeArt
from armchair.data.world.scene import Scene
from armchair.evaluation.prompts import Prompt, load_prompts
from armchair.evaluation.scenes import compose, pictures
from armchair.evaluation.session import Session
from armchair.judge.reading import Found, Reading

ART = ShapeArt()


def reading(scene: Scene) -> Reading:
    """What a judge without a fault reads in the render of a scene."""
    found = tuple(Found(t.concept, 0.9, box, t.tint) for t in scene.things for box in t.boxes)
    return Reading(found, scene.things[0].style, scene.background, scene.sign)


class Knowing:
    """A judge that recognises every picture it was shown before, by its pixels."""

    def __init__(self) -> None:
        self.seen: dict[bytes, Reading] = {}

    def show(self, images: Tensor, scenes: Sequence[Scene]) -> None:
        for image, scene in zip(images, scenes, strict=True):
            self.seen[self.key(image)] = reading(scene)

    def read(self, images: Tensor) -> list[Reading]:
        return [self.seen[self.key(image)] for image in images]

    def key(self, image: Tensor) -> bytes:
        return (image * 255).round().byte().numpy().tobytes()


class Painter:
    """An artist that draws what English prompts ask for, and of Korean ones only the seeds 1 and 2."""

    name = "toy"
    sizes = ["64x64"]
    device = torch.device("cpu")

    def __init__(self, judge: Knowing):
        self.judge = judge
        self.asked: list[str] = []
        self.prompts = {text: p for p in load_prompts().prompts for text in (p.en, p.ko)}

    def generate(self, prompt: str, *, n: int, seed: int) -> list[Any]:
        self.asked.append(prompt)
        asked = self.prompts[prompt]
        drawn = []
        for s in range(seed, seed + n):
            missed = prompt == asked.ko and s > 2
            scene = compose(another(asked) if missed else asked, s)
            image = pictures([scene], 64, ART)
            self.judge.show(image, [scene])
            drawn.append(Drawn(to_image(image[0]), s, prompt))
        return drawn


class Drawn(SimpleNamespace):
    def __init__(self, image: Image.Image, seed: int, prompt: str):
        super().__init__(image=image, seed=seed, prompt=prompt)

    def save(self, path: Path) -> None:
        self.image.save(path)


def another(prompt: Prompt) -> Prompt:
    """A prompt that asks for something else entirely."""
    concepts = {thing.concept for thing in prompt.things}
    return next(
        p for p in load_prompts().prompts if p.task == "single" and p.things[0].concept not in concepts
    )


class Towers:
    """A clip whose embeddings are mean colours, and of texts their hash."""

    config = SimpleNamespace(image_size=16)

    def image_emb(self, images: Tensor) -> Tensor:
        small = torch.nn.functional.adaptive_avg_pool2d(images, 2).flatten(1)  # (B, 12)
        return torch.nn.functional.normalize(small, dim=1)

    def text_emb(self, texts: Sequence[str]) -> Tensor:
        rows = [torch.tensor(list(hashlib.sha256(t.encode()).digest()[:12])).float() for t in texts]
        return torch.nn.functional.normalize(torch.stack(rows), dim=1)


def session(folder: Path, *, few: int = 2, **changes: Any) -> Session:
    """A session over the first prompts of each task, without a network in it."""
    made = Session(folder, art=ART, quick=True, **changes)
    made.prompts = [
        p
        for s in {p.stratum: 0 for p in made.prompts}
        for p in [q for q in made.prompts if q.stratum == s][:few]
    ]
    judge = Knowing()
    for p in made.prompts:
        for seed in (1, 2, 3, 4):
            scene = compose(p, seed)
            judge.show(pictures([scene], 64, ART), [scene])
    made.__dict__["artist"] = Painter(judge)
    made.__dict__["_clip"] = (Towers(), SimpleNamespace(digest="c" * 64))
    made.__dict__["_judge"] = (judge, SimpleNamespace(digest="d" * 64))
    return made
