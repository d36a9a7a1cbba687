"""What is in a data set, before a training run is spent on it: counts, problems, and ten pairs to look at."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from PIL import Image

from armchair.core.errors import DataError
from armchair.core.images import contact_sheet
from armchair.core.task import Sample
from armchair.data.filters import Filter, language_of, paper_filters
from armchair.data.open import open_source
from armchair.data.pictures import Entry, Skipped, Unreadable, tell

LENGTHS = (1, 2, 3, 5, 10, 20, 40, 80)  # lower ends of the bins of caption lengths, in words
SIDES = (1, 64, 128, 256, 512, 1024, 2048)  # lower ends of the bins of the short side, in pixels


@dataclass(frozen=True)
class Pair:
    """One picture's name, size and words."""

    key: str
    width: int
    height: int
    captions: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """The result of `check`. Counts are of samples unless they say otherwise."""

    path: str
    kind: str  # folder, webdataset
    samples: int  # that open_source gives
    examined: int  # of them, decoded here
    readable: int  # of the examined
    captions: int  # of the readable
    skipped: Skipped  # reason -> keys: what open_source left out, and what could not be decoded
    filtered: dict[str, int]  # reason -> readable samples that this filter alone would drop
    passing: int  # readable samples that pass all filters
    lengths: dict[str, int]  # words in a caption, "5-9" -> captions
    languages: dict[str, int]  # ISO 639-1, "" unknown -> captions
    sides: dict[str, int]  # short side in pixels, "256-511" -> pictures
    smallest: tuple[int, int]  # width and height of the picture with the smallest short side
    largest: tuple[int, int]
    duplicates: list[list[str]]  # keys of pictures that are equal pixel for pixel
    pairs: tuple[Pair, ...]  # at random
    sheet: Image.Image  # the pictures of `pairs`, labelled with the first caption, or the key

    def to_json(self) -> dict[str, Any]:
        """Everything but the sheet."""
        return {
            field.name: [asdict(pair) for pair in self.pairs]
            if field.name == "pairs"
            else getattr(self, field.name)
            for field in fields(self)
            if field.name != "sheet"
        }


def check(
    path: str | Path,
    *,
    limit: int | None = None,
    seed: int = 0,
    filters: Sequence[Filter] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Open `path` as training does, decode its pictures, and tell what is there.

    limit: examine at most so many samples, chosen at random by `seed`; None examines all.
    filters: None is DALL·E 1's.
    progress: called with the number of samples examined and their total.
    Raises DataError when nothing readable is there, and MissingDependency without py3langid.
    """
    if limit is not None and limit < 1:
        raise DataError(f"limit {limit} examines nothing. Give 1 or more.")
    filters = paper_filters() if filters is None else filters
    source = open_source(path)
    skipped = {reason: list(keys) for reason, keys in source.skipped.items()}
    rng = random.Random(seed)
    rows = range(len(source))
    if limit is not None and limit < len(source):
        rows = sorted(rng.sample(rows, limit))
    tally = _Tally(filters)
    readable: list[int] = []
    for done, row in enumerate(rows):
        if progress is not None:
            progress(done, len(rows))
        try:
            sample = source.read(row)
        except Unreadable as error:
            skipped.setdefault(error.reason, []).append(error.key)
            continue
        tally.add(sample)
        readable.append(row)
    if not readable:
        raise DataError(f"none of the {len(rows)} pictures examined in {path} can be read ({tell(skipped)}).")
    chosen = [source.read(row) for row in sorted(rng.sample(readable, min(10, len(readable))))]
    pairs = tuple(
        Pair(one.key, one.image.shape[1], one.image.shape[0], tuple(caption.text for caption in one.captions))
        for one in chosen
    )
    return Report(
        path=str(path),
        kind=source.kind,
        samples=len(source),
        examined=len(rows),
        readable=len(readable),
        captions=sum(tally.languages.values()),
        skipped=dict(sorted(skipped.items())),
        filtered=dict(tally.filtered),
        passing=tally.passing,
        lengths=_histogram(tally.lengths, LENGTHS),
        languages=dict(tally.languages.most_common()),
        sides=_histogram(Counter(min(size) for size in tally.sizes.elements()), SIDES),
        smallest=min(tally.sizes, key=lambda size: (min(size), size)),
        largest=max(tally.sizes, key=lambda size: (min(size), size)),
        duplicates=[keys for keys in tally.pixels.values() if len(keys) > 1],
        pairs=pairs,
        sheet=contact_sheet(
            [Image.fromarray(one.image) for one in chosen],
            columns=5,
            labels=[pair.captions[0] if pair.captions else pair.key for pair in pairs],
            cell=160,
        ),
    )


class _Tally:
    """Everything that is counted over the readable samples."""

    def __init__(self, filters: Sequence[Filter]):
        self.filters = filters
        self.filtered = Counter({filter.reason: 0 for filter in filters})
        self.passing = 0
        self.lengths: Counter[int] = Counter()  # words
        self.languages: Counter[str] = Counter()
        self.sizes: Counter[tuple[int, int]] = Counter()  # (width, height)
        self.pixels: dict[bytes, list[str]] = {}  # sha256 of size and pixels -> keys

    def add(self, sample: Sample) -> None:
        height, width = sample.image.shape[:2]
        self.sizes[width, height] += 1
        digest = hashlib.sha256(f"{width}x{height}".encode() + sample.image.tobytes()).digest()
        self.pixels.setdefault(digest, []).append(sample.key)
        for caption in sample.captions:
            self.lengths[len(caption.text.split())] += 1
            self.languages[caption.language if caption.language else language_of(caption.text)] += 1
        entry = Entry(sample.key, sample.captions, lambda: (width, height))
        self.passing += self._passes(entry)

    def _passes(self, entry: Entry) -> bool:
        """Ask every filter about the whole entry, so that the counts do not depend on their order."""
        passes = True
        left = entry.captions
        for filter in self.filters:
            alone = filter(entry, entry.captions)
            refused = alone is None or (bool(entry.captions) and not alone)
            self.filtered[filter.reason] += refused
            left = tuple(caption for caption in left if alone is not None and caption in alone)
            passes = passes and not refused
        return passes and (bool(left) or not entry.captions)


def _histogram(counts: Counter[int], lows: Sequence[int]) -> dict[str, int]:
    """Counts by bin, from the first bin that has any to the last: {"5-9": 12, "10-19": 0, "20-39": 3}."""
    bins = [0] * len(lows)
    for value, count in counts.items():
        bins[max((place for place, low in enumerate(lows) if value >= low), default=0)] += count
    used = [place for place, count in enumerate(bins) if count]
    if not used:
        return {}
    return {_label(lows, place): bins[place] for place in range(used[0], used[-1] + 1)}


def _label(lows: Sequence[int], place: int) -> str:
    if place + 1 == len(lows):
        return f"{lows[place]} or more"
    low, high = lows[place], lows[place + 1] - 1
    return str(low) if low == high else f"{low}-{high}"
