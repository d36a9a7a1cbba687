"""Labels given by eye: does a generated picture show what its prompt asked for? The judge is checked by them.

A system's labels are two files in the folder `labels`: NAME.json says which pictures, what a person saw in
them and which bundle drew them; NAME.webp holds the pictures themselves, 64 px each, in rows of twenty.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from armchair.core.config import from_json, to_json
from armchair.core.errors import BadInput
from armchair.core.files import dump_json, write_bytes
from armchair.core.images import open_image, to_tensor
from armchair.evaluation.bootstrap import estimate
from armchair.evaluation.geneval import SIDE, fulfils
from armchair.evaluation.prompts import LANGUAGES, SEEDS, STRATA, Prompt, load_prompts
from armchair.evaluation.result import Value, as_value

if TYPE_CHECKING:
    from armchair.judge.reading import Reader

EACH = 25  # pictures a stratum: 200 in all
COLUMNS = 20  # pictures in a row of the sheet
SAVED: dict[str, object] = {"format": "WEBP", "quality": 90, "method": 6, "exact": True}


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """One picture; its number in the list is its place on the sheet."""

    prompt: str  # id
    language: str
    seed: int
    right: bool | None = None  # whether it shows what was asked for; None: not looked at yet


@dataclass(frozen=True, kw_only=True)
class Labels:
    system: str
    sha256: str  # of the bundle.json that drew them
    prompts: int  # version of prompts.json
    pictures: tuple[Labelled, ...]

    def save(self, folder: Path, sheet: bytes | None = None) -> None:
        write_bytes(folder / f"{self.system}.json", dump_json(to_json(self)))
        if sheet is not None:
            write_bytes(folder / f"{self.system}.webp", sheet)


def selection(prompts: Sequence[Prompt]) -> Iterator[tuple[Prompt, str, int]]:
    """Which pictures are labelled: 25 a stratum, over its prompts, languages and seeds in turn."""
    for stratum in STRATA:
        rows = [p for p in prompts if p.stratum == stratum]
        for i in range(EACH):
            yield rows[i % len(rows)], LANGUAGES[i // len(SEEDS) % 2], SEEDS[i % len(SEEDS)]


def pack(images: Sequence[Image.Image]) -> bytes:
    """Pictures of 64 px as one WebP file, in rows of twenty."""
    sheet = Image.new("RGB", (COLUMNS * SIDE, -(-len(images) // COLUMNS) * SIDE), "white")
    for i, image in enumerate(images):
        sheet.paste(image, (i % COLUMNS * SIDE, i // COLUMNS * SIDE))
    buffer = io.BytesIO()
    sheet.save(buffer, **SAVED)  # type: ignore[arg-type]
    return buffer.getvalue()


def unpack(sheet: bytes, count: int, name: str = "the sheet") -> list[Image.Image]:
    """The pictures again. Raises BadInput for a sheet that is too small for them."""
    image = open_image(sheet, name).convert("RGB")
    if image.width != COLUMNS * SIDE or image.height < -(-count // COLUMNS) * SIDE:
        raise BadInput(
            f"{name} is {image.width}x{image.height}, which does not hold {count} labelled pictures"
        )
    places = [(i % COLUMNS * SIDE, i // COLUMNS * SIDE) for i in range(count)]
    return [image.crop((x, y, x + SIDE, y + SIDE)) for x, y in places]


def read_labels(folder: Path, system: str) -> tuple[Labels, list[Image.Image]]:
    """A system's labels and pictures. Raises BadInput for files that are missing or damaged."""
    path = folder / f"{system}.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise BadInput(f"{path} is damaged: {error}") from error
    labels = from_json(Labels, data, str(path))
    sheet = folder / f"{system}.webp"
    return labels, unpack(sheet.read_bytes(), len(labels.pictures), str(sheet))


def known_labels(system: str | None = None) -> Iterator[tuple[Labels, list[Image.Image]]]:
    """The labels that ship with the package, of one system or of all."""
    folder = Path(str(files("armchair.evaluation") / "labels"))
    for path in sorted(folder.glob("*.json")):
        if system in (None, path.stem):
            yield read_labels(folder, path.stem)


def agreement(reader: Reader, found: tuple[Labels, list[Image.Image]]) -> dict[str, Value]:
    """How often the judge says of a labelled picture what the person said, and Cohen's kappa.

    Empty where nothing is labelled, or the prompts are of another version.
    """
    labels, images = found
    prompts = load_prompts()
    table = {p.id: p for p in prompts.prompts}
    looked = [i for i, row in enumerate(labels.pictures) if row.right is not None]
    if not looked or labels.prompts != prompts.version:
        return {}
    person = np.array([labels.pictures[i].right for i in looked], dtype=float)
    readings = reader.read(torch.stack([to_tensor(images[i]) for i in looked]))
    judge = np.array(
        [fulfils(table[labels.pictures[i].prompt], r) for i, r in zip(looked, readings, strict=True)],
        dtype=float,
    )
    chance = person.mean() * judge.mean() + (1 - person.mean()) * (1 - judge.mean())
    equal = (person == judge).astype(float)
    kappa = (equal.mean() - chance) / (1 - chance) if chance < 1 else 1.0
    n = len(looked)
    return {
        f"agrees with people: {labels.system}": as_value(estimate([equal])),
        f"kappa with people: {labels.system}": Value(value=round(float(kappa), 4), n=n),
        f"right by eye: {labels.system}": as_value(estimate([person])),
        f"right by the judge: {labels.system}": as_value(estimate([judge])),
    }
