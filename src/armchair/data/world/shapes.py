"""What the layout must know of a drawing without drawing it: its proportions, its top, its colour.

shapes.json holds these numbers, measured once from the drawings, so that the same integer gives the same
scene on machines that have no drawings. `python benchmarks/world.py --measure` writes it anew when
concepts.json changes.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np

from armchair.core.files import write_bytes
from armchair.data.world.concepts import Concept

HUES = (  # degrees; red lies at both ends
    (2, "red"),
    (28, "orange"),
    (50, "yellow"),
    (120, "green"),
    (212, "blue"),
    (275, "purple"),
    (330, "pink"),
    (360, "red"),
)


class Shape(NamedTuple):
    """What a drawing needs to be placed.

    aspect: width over height · top: how far below its top edge its middle begins, as a share of its height ·
    colour: what most of it is, of the eight colours, white and grey; "" when it has no main colour ·
    peak: where its highest part is, as a share of its width (the head of most animals).
    """

    aspect: float = 1.0
    top: float = 0.0
    colour: str = ""
    peak: float = 0.5


@cache
def _table() -> dict[str, dict[str, Shape]]:
    path = files("armchair.data.world") / "shapes.json"
    if not path.is_file():
        return {}
    data = json.loads(path.read_text(encoding="utf-8"))
    return {
        name: {style: Shape(*row) for style, row in zip(data["styles"], rows, strict=True)}
        for name, rows in data["shapes"].items()
    }


def shape_of(concept: str, style: str) -> Shape:
    """The shape of a concept in a style; a square when it was never measured."""
    rows = _table().get(concept)
    return Shape() if rows is None else rows.get(style, Shape())


def measure(picture: np.ndarray) -> Shape:
    """The shape of a drawing: (h, w, 4) uint8 premultiplied RGBA, trimmed."""
    height, width = picture.shape[:2]
    alpha = picture[..., 3]
    middle = alpha[:, round(width * 0.35) : max(round(width * 0.65), round(width * 0.35) + 1)] > 127
    filled = middle.any(axis=0)
    top = float(np.median(middle.argmax(axis=0)[filled])) / height if filled.any() else 0.0
    highest = (alpha[: max(1, height // 12)] > 127).any(axis=0)
    peak = (float(np.flatnonzero(highest).mean()) + 0.5) / width if highest.any() else 0.5
    return Shape(round(width / height, 3), round(min(top, 0.6), 3), _main_colour(picture), round(peak, 3))


def _main_colour(picture: np.ndarray) -> str:
    """The colour word that half of the solid pixels bear, or ""."""
    solid = picture[picture[..., 3] > 200][:, :3].astype(np.float32)
    if len(solid) == 0:
        return ""
    high, low = solid.max(1), solid.min(1)
    spread = high - low
    red, green, blue = solid.T
    safe = np.maximum(spread, 1)
    sixths = [(green - blue) / safe % 6, (blue - red) / safe + 2, (red - green) / safe + 4]
    hue = np.select([high == red, high == green], sixths[:2], sixths[2]) * 60
    nearest = np.abs(hue[:, None] - np.array([degrees for degrees, _ in HUES])).argmin(1)
    names = np.array([name for _, name in HUES])[nearest]
    names = np.where(spread < 40, np.where(high < 90, "black", np.where(high > 225, "white", "grey")), names)
    names = np.where((high < 60) & (spread < 60), "black", names)
    words, counts = np.unique(names, return_counts=True)
    return str(words[counts.argmax()]) if counts.max() > 0.5 * len(solid) else ""


def made_for(concepts: Iterable[Concept]) -> str:
    """Stands for the drawings that a table was measured from."""
    return sha256(json.dumps([(c.name, c.icon) for c in concepts]).encode()).hexdigest()[:16]


def write_table(
    path: Path,
    concepts: Sequence[Concept],
    styles: Sequence[str],
    picture: Callable[[str, str], np.ndarray],
) -> None:
    """Measure every drawing (`picture(concept, style)`, (h, w, 4)) and write shapes.json."""
    shapes = {c.name: [list(measure(picture(c.name, style))) for style in styles] for c in concepts}
    rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in shapes.items())
    head = f'{{"made_for": "{made_for(concepts)}", "styles": {json.dumps(list(styles))}, "shapes": {{'
    write_bytes(path, f"{head}\n{rows}\n}}}}\n".encode())
