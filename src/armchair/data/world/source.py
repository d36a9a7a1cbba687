"""Emoji World as a source of samples: any scene by its index, with all kinds of captions."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from armchair.core.errors import BadInput
from armchair.core.files import clear_errors, new_folder
from armchair.core.images import contact_sheet
from armchair.core.task import Caption, CaptionKind, Language, Sample
from armchair.data.pictures import Entry
from armchair.data.world.art import Art, emoji_art
from armchair.data.world.captions import caption
from armchair.data.world.mentions import spots
from armchair.data.world.packages import PACKAGES
from armchair.data.world.render import render
from armchair.data.world.scene import Dice, Scene, WorldConfig, sample_scene

KINDS: tuple[CaptionKind, ...] = ("alt", "short", "long")
LANGUAGES: tuple[Language, ...] = ("en", "ko")
PREVIEW = 100  # pictures on a contact sheet, at most


class World:
    """Scenes 0 .. length - 1. Cheap to make and to pickle; the drawings are opened at the first picture.

    art: where drawings come from; None = the icon sets in the user's cache.
    """

    def __init__(self, config: WorldConfig | None = None, art: Art | None = None):
        self.config = WorldConfig() if config is None else config
        self._art = art

    def __len__(self) -> int:
        return self.config.length

    def __getitem__(self, index: int) -> Sample:
        """Sample `index`: a picture (rows, columns, 3) uint8 and six captions.

        Raises IndexError outside the source, DataError when the drawings cannot be had.
        """
        scene = self.scene(index)
        return Sample(
            key=str(index),
            image=self.picture(scene),
            captions=captions(scene, self.config.unsaid),
            truth=scene,
        )

    def peek(self, index: int) -> Entry:
        """Key, captions and size of a scene that is not drawn."""
        scene = self.scene(index)
        return Entry(str(index), captions(scene, self.config.unsaid), lambda: scene.sides(self.config.size))

    @property
    def art(self) -> Art:
        return emoji_art() if self._art is None else self._art

    def scene(self, index: int) -> Scene:
        """The graph of scene `index`; needs no drawings. Raises IndexError outside the source."""
        if not 0 <= index < len(self):
            raise IndexError(f"scene {index} is outside 0..{len(self) - 1}")
        return sample_scene(index, self.config)

    def picture(self, scene: Scene, size: int | None = None) -> np.ndarray:
        """(rows, columns, 3) uint8 of any scene; size: of the shorter side, None = the config's."""
        return render(scene, self.config.size if size is None else size, self.art)

    def describe(self) -> dict[str, Any]:
        """The config and the icon sets, as JSON."""
        return {
            "source": "Emoji World",
            **asdict(self.config),
            "packages": {style: f"{p.name}@{p.version}" for style, p in PACKAGES.items()},
        }


def captions(scene: Scene, unsaid: float = 0.0) -> tuple[Caption, ...]:
    """Alt, short and long, in English and Korean. Each depends on the scene alone, not on the others.

    unsaid: share of the short ones that name the things and do not say how they stand to each other, where
    they stand apart: who asks for a cat and a dog wants to see both.
    """
    made: list[Caption] = []
    for kind in KINDS:
        for language in LANGUAGES:
            told = scene
            leaves_out = kind == "short" and scene.apart
            if leaves_out and Dice("unsaid", scene.index, language).chance(unsaid):
                told = replace(scene, relations=())
            text = caption(told, kind, language, words_rng(scene.index, kind, language))
            made.append(Caption(text, kind, language, spots(scene, text, language), scene.things[0].style))
    return tuple(made)


def _small(image: Image.Image) -> Image.Image:
    """Of at most 128 pixels a side."""
    share = 128 / max(image.size)
    if share >= 1:
        return image
    return image.resize((round(image.width * share), round(image.height * share)), Image.Resampling.LANCZOS)


def words_rng(index: int, kind: str, language: str) -> random.Random:
    """The choices of words for one caption of one scene."""
    digest = sha256(f"words/{index}/{kind}/{language}".encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))


def write_world(
    out: Path,
    n: int,
    size: int,
    start: int = 0,
    *,
    preview: bool = False,
    config: WorldConfig | None = None,
    kinds: Sequence[CaptionKind] = KINDS,
    art: Art | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write scenes start .. start + n - 1: INDEX.png, metadata.jsonl (file_name, captions, scene) and, with
    `preview`, a contact sheet preview.png of the first hundred. The same indices give the same files.

    config: everything but the size; None = the defaults. kinds: of captions that are written. progress(done,
    n) is called after each picture.
    Raises BadInput for a wrong number and for a folder that holds something; an ArmchairError when the disk
    is full. `out` appears whole or not at all.
    """
    world = World(replace(WorldConfig() if config is None else config, size=size), art)
    if n < 1:
        raise BadInput(f"n {n} is below 1")
    if start < 0 or start + n > len(world):
        raise BadInput(f"scenes {start}..{start + n - 1} are outside 0..{len(world) - 1}")
    shown: list[Image.Image] = []
    with new_folder(out) as folder, clear_errors(out):
        with (folder / "metadata.jsonl").open("w", encoding="utf-8") as lines:
            for done, index in enumerate(range(start, start + n), start=1):
                scene = world.scene(index)
                image = Image.fromarray(world.picture(scene))
                name = f"{index:08d}.png"
                image.save(folder / name)
                said = [asdict(c) for c in captions(scene, world.config.unsaid) if c.kind in kinds]
                row = {"file_name": name, "captions": said, "scene": scene.to_json()}
                lines.write(json.dumps(row, ensure_ascii=False) + "\n")
                if preview and len(shown) < PREVIEW:
                    shown.append(_small(image))
                if progress is not None:
                    progress(done, n)
        if preview:
            contact_sheet(shown, 10, cell=128).save(folder / "preview.png")
