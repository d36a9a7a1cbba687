"""The drawings of Emoji World as pixels: rasterised once with resvg, trimmed, mapped from a cache."""

import hashlib
import io
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from armchair.core.errors import BadInput, DataError, MissingDependency
from armchair.data.world.concepts import Concept, load_concepts
from armchair.data.world.packages import PACKAGES, cache_folder, drawings

BASE = 128  # pixels of the longer side of a cached drawing
LARGE = {256: 1024, 512: 128, 1024: 32}  # sides beyond -> how many are kept in memory, 128 to 256 MB each
HALO = 3  # pixels of paper around strokes, of BASE
FORMAT = 2  # of the cache files: counted up when what they hold changes

Progress = Callable[[str, int, int], None]  # style, drawings done, drawings in all


class Art(Protocol):
    """Where drawings come from; tests draw their own."""

    def picture(self, concept: str, style: str, side: int) -> np.ndarray:
        """(h, w, 4) uint8 premultiplied RGBA, trimmed to what is visible, at least about `side` pixels on its
        longer side where the drawing has so many."""
        ...


class EmojiArt:
    """The five icon sets. Cheap to make and to pickle: files are fetched, built and opened when needed.

    folder: where packages and pixels are kept; None = `world` in the user's cache.
    """

    def __init__(self, concepts: Sequence[Concept] | None = None, folder: Path | None = None):
        self.concepts = tuple(load_concepts() if concepts is None else concepts)
        self.folder = cache_folder() / "world" if folder is None else folder
        self._index = {concept.name: i for i, concept in enumerate(self.concepts)}
        self._sheets: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._svgs: dict[str, list[str]] = {}
        self._large = {side: lru_cache(maxsize=kept)(self._rasterised) for side, kept in LARGE.items()}

    def __reduce__(self):
        return EmojiArt, (self.concepts, self.folder)

    @cached_property
    def key(self) -> str:
        """Names the cache files: changes with the packages, the concepts and the format."""
        pins = [(p.name, p.version, p.integrity) for p in PACKAGES.values()]
        what = [FORMAT, BASE, pins, [(c.name, c.icon) for c in self.concepts]]
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]

    def picture(self, concept: str, style: str, side: int) -> np.ndarray:
        """See Art. Drawings above BASE pixels are rasterised from the vectors, at 256, 512 or 1024.

        Raises BadInput for an unknown concept or style, DataError when the drawings cannot be had.
        """
        if concept not in self._index:
            raise BadInput(f"Emoji World has no concept {concept!r}")
        if style not in PACKAGES:
            raise BadInput(f"Emoji World has no style {style!r}: choose from {', '.join(PACKAGES)}")
        i = self._index[concept]
        if side <= BASE:
            sheet, sizes = self._sheet(style)
            h, w = sizes[i]
            return sheet[i, :h, :w]
        large = next((s for s in LARGE if s >= side), max(LARGE))
        return self._large[large](i, style, large)

    def prepare(self, progress: Progress | None = None) -> None:
        """Fetch and build whatever is not in the cache; progress(style, drawings done, drawings in all)."""
        for style in PACKAGES:
            self._sheet(style, progress)

    def _rasterised(self, i: int, style: str, side: int) -> np.ndarray:
        if style not in self._svgs:
            self._svgs[style] = self._read_svgs(style)
        return rasterise(self._svgs[style][i], side, PACKAGES[style].strokes)

    def _file(self, style: str, ending: str) -> Path:
        return self.folder / f"{style}-{self.key}{ending}"

    def _read_svgs(self, style: str) -> list[str]:
        """SVG documents in the order of the concepts. Parsing a whole set takes a second: they are kept."""
        path = self._file(style, ".json")
        if not path.is_file():
            svgs = drawings(style, self.concepts, self.folder)
            text = json.dumps([svgs[c.name] for c in self.concepts]).encode()
            _write(path, lambda file: file.write(text))
        return json.loads(path.read_bytes())

    def _sheet(self, style: str, progress: Progress | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(N, BASE, BASE, 4) uint8, mapped, drawings in the upper left corner; (N, 2) heights, widths."""
        if style in self._sheets:
            return self._sheets[style]
        pixels, sizes = self._file(style, f"-{BASE}.npy"), self._file(style, f"-{BASE}-sizes.npy")
        if not (pixels.is_file() and sizes.is_file()):
            self._build(style, pixels, sizes, progress)
        try:
            pair = np.load(pixels, mmap_mode="r"), np.load(sizes)
        except (ValueError, OSError, EOFError) as error:
            raise DataError(f"cannot read {pixels}: {error}; delete it and try again") from error
        self._sheets[style] = pair
        return pair

    def _build(self, style: str, pixels: Path, sizes: Path, progress: Progress | None) -> None:
        svgs = self._read_svgs(style)
        sheet = np.zeros((len(svgs), BASE, BASE, 4), np.uint8)
        found = np.zeros((len(svgs), 2), np.int32)
        for i, svg in enumerate(svgs):
            picture = rasterise(svg, BASE, PACKAGES[style].strokes)
            found[i] = picture.shape[:2]
            sheet[i, : picture.shape[0], : picture.shape[1]] = picture
            if progress is not None:
                progress(style, i + 1, len(svgs))
        _write(pixels, lambda file: np.save(file, sheet))
        _write(sizes, lambda file: np.save(file, found))  # last: both files there means both whole


def _write(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Write beside the target, then rename: other processes see a whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temp = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "wb") as file:
            fill(file)
        os.replace(temp, path)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}") from error
    finally:
        Path(temp).unlink(missing_ok=True)


def rasterise(svg: str, side: int, strokes: bool = False) -> np.ndarray:
    """An SVG document as (h, w, 4) uint8 premultiplied RGBA, cut to what is visible, `side` pixels on its
    longer side (to a hundredth). strokes: it is drawn in lines, which get paper of their outline.

    Raises MissingDependency without resvg-py.
    """
    left, top, right, bottom = _visible(_pixels(svg, 256))
    edge = -(-side * HALO // BASE) if strokes else 0
    width = max(1, round((side - 2 * edge) * 256 / max(right - left, bottom - top)))
    picture = _pixels(svg, width)
    left, top, right, bottom = _visible(picture)
    picture = picture[top:bottom, left:right][: side - 2 * edge, : side - 2 * edge]
    if not strokes:
        return np.ascontiguousarray(picture)
    return on_paper(np.pad(picture, ((edge, edge), (edge, edge), (0, 0))))


def on_paper(picture: np.ndarray) -> np.ndarray:
    """Strokes (h, w, 4) premultiplied, with a margin of HALO in BASE -> the same on white paper, which covers
    what they enclose (gaps of a few pixels ignored) and a thin rim around them."""
    height, width = picture.shape[:2]
    scale = min(1.0, BASE / max(height, width))  # the paper's outline needs no more detail
    small_size = max(1, round(width * scale)), max(1, round(height * scale))
    small = Image.fromarray(picture[..., 3]).resize(small_size)
    grown = Image.fromarray(np.where(np.asarray(small) > 80, 255, 0).astype(np.uint8))
    grown = grown.filter(ImageFilter.MaxFilter(2 * HALO - 1))
    outside = Image.new("L", (grown.width + 2, grown.height + 2), 0)
    outside.paste(grown, (1, 1))
    ImageDraw.floodfill(outside, (0, 0), 128)
    paper = Image.fromarray(np.where(np.asarray(outside)[1:-1, 1:-1] != 128, 255, 0).astype(np.uint8))
    alpha = np.asarray(paper.resize((width, height), Image.Resampling.BICUBIC)).astype(np.uint16)
    shown = alpha * (255 - picture[..., 3].astype(np.uint16)) // 255
    return np.minimum(picture + shown[..., None], 255).astype(np.uint8)


def _pixels(svg: str, width: int) -> np.ndarray:
    try:
        import resvg_py
    except ImportError as error:
        raise MissingDependency("resvg-py", "train") from error
    image = Image.open(io.BytesIO(resvg_py.svg_to_bytes(svg_string=svg, width=width, skip_system_fonts=True)))
    pixels = np.asarray(image.convert("RGBA")).astype(np.uint16)  # (h, w, 4) straight alpha
    pixels[..., :3] = (pixels[..., :3] * pixels[..., 3:] + 127) // 255
    return pixels.astype(np.uint8)


def _visible(picture: np.ndarray) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of what is not transparent."""
    alpha = picture[..., 3] > 16
    columns, rows = np.flatnonzero(alpha.any(0)), np.flatnonzero(alpha.any(1))
    if len(rows) == 0:
        raise DataError("a drawing of Emoji World is empty")
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


@lru_cache(maxsize=1)
def emoji_art() -> EmojiArt:
    """The drawings of all concepts, shared by every source of this process."""
    return EmojiArt()


class ShapeArt:
    """Simple shapes that we draw ourselves, for machines without the icon sets and for tests.

    What a concept looks like is chosen by its name: one of four outlines in one of six colours. Styles differ
    in how dark they are.
    """

    OUTLINES = ("disc", "box", "diamond", "cross")
    RGB = ((208, 40, 44), (60, 160, 70), (44, 92, 210), (240, 190, 40), (150, 90, 60), (120, 120, 128))

    def picture(self, concept: str, style: str, side: int) -> np.ndarray:
        """See Art."""
        digest = hashlib.sha256(concept.encode()).digest()
        v = (np.arange(side, dtype=np.float32) + 0.5) * 2 / side - 1
        x, y = np.abs(v)[None, :], np.abs(v)[:, None]
        inside = (
            np.hypot(x, y) < 1,
            np.maximum(x, y) < 1,
            x + y < 1,
            (np.minimum(x, y) < 0.35) & (np.maximum(x, y) < 1),
        )[digest[0] % 4]
        rgb = np.array(self.RGB[digest[1] % 6], np.float32) * (1 - 0.1 * list(PACKAGES).index(style))
        shade = rgb[None, None] * (1 - 0.25 * (v[:, None, None] + 1) / 2)  # (side, 1, 3) darker below
        picture = np.zeros((side, side, 4), np.uint8)
        picture[..., :3] = np.where(inside[..., None], shade, 0)
        picture[..., 3] = 255 * inside
        return picture
