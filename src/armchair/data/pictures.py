"""The base of the sources that are made of files: lazy decoding, captions, and what was skipped and why."""

from __future__ import annotations

import hashlib
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
from PIL import Image

from armchair.core.errors import BadInput, DataError
from armchair.core.images import FORMATS, flat, open_image
from armchair.core.task import Caption, CaptionKind, Language, Sample, Spot

PICTURES = frozenset("jpg jpeg jpe jfif png webp gif bmp tif tiff ppm avif".split())  # file name endings
FILE_FIELDS = ("file_name", "filename", "file", "image", "image_path", "filepath", "path")
TEXT_FIELDS = ("captions", "caption", "text", "prompt", "description")
RECAPTIONS = "recaptions.jsonl"  # synthetic captions of a data set, beside it
ALLOWED_BAD = 20  # pictures that may turn out unreadable in any source
ALLOWED_BAD_SHARE = 0.1  # and in a large one

Skipped = dict[str, list[str]]  # reason -> keys

# what open_image says -> the reason under which we count it
REASONS = {
    "is empty": "empty file",
    "damaged or cut short": "truncated or damaged",
    "is not a picture": "not a picture",
    "pixels are read": "too large",
}


class Unreadable(DataError):
    """One sample cannot be read. `reason` is a few words that many such samples share."""

    def __init__(self, key: str, reason: str):
        super().__init__(f"{key}: {reason}. `armchair data check` lists all such files.")
        self.key = key
        self.reason = reason

    def __reduce__(self):
        return Unreadable, (self.key, self.reason)


class Entry:
    """What filters look at: a sample before its picture is decoded."""

    def __init__(self, key: str, captions: tuple[Caption, ...], measure: Callable[[], tuple[int, int]]):
        self.key = key
        self.captions = captions
        self._measure = measure

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels as stored, from the file's header. Raises Unreadable."""
        return self._measure()


class Steady(ABC):
    """A source in which one broken file never stops a run, and many do.

    In the place of an unreadable sample stands the next readable one, so that index i is the same sample in
    every process and after every resume. Each such file is noted once in `skipped`.
    """

    def __init__(self, skipped: Skipped):
        self.skipped = skipped  # everything left out, by reason; unreadable files join when they are met
        self._bad: dict[int, str] = {}

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def key(self, index: int) -> str:
        """The name of sample `index`."""

    @abstractmethod
    def read(self, index: int) -> Sample:
        """Sample `index` itself. Raises Unreadable where `[index]` would go on to the next."""

    @abstractmethod
    def peek(self, index: int) -> Entry:
        """Key, captions and size without decoding the picture. Raises Unreadable."""

    def __getitem__(self, index: int) -> Sample:
        """Sample `index`, or the next readable one. Raises DataError when a tenth turn out unreadable."""
        size = len(self)
        if not -size <= index < size:
            raise IndexError(f"sample {index} of {size}")
        for step in range(size):
            place = (index + step) % size
            if place in self._bad:
                continue
            try:
                return self.read(place)
            except Unreadable as error:
                self._note(place, error)
        raise DataError(f"none of the {size} pictures can be read. {self._complaint()}")

    def _note(self, place: int, error: Unreadable) -> None:
        if place in self._bad:
            return  # another thread met it too
        self._bad[place] = error.reason
        self.skipped.setdefault(error.reason, []).append(error.key)
        if len(self._bad) > max(ALLOWED_BAD, ALLOWED_BAD_SHARE * len(self)):
            raise DataError(f"{len(self._bad)} of {len(self)} pictures cannot be read. {self._complaint()}")

    def _complaint(self) -> str:
        place, reason = next(reversed(self._bad.items()))
        return f"The last: {self.key(place)} ({reason}). `armchair data check` lists all."


class Pictures(Steady):
    """Picture files with captions, wherever they lie. A subclass says how to get the bytes."""

    def __init__(self, kind: str, name: str, keys: list[str], captioned: bool, skipped: Skipped):
        """kind: "folder" or "webdataset"; keys: sorted, unique; captioned: every sample must have words."""
        super().__init__(skipped)
        self.kind = kind
        self.name = name
        self.keys = keys
        self.captioned = captioned
        self.added: dict[str, tuple[Caption, ...]] = {}  # key -> captions of a table beside the data

    @abstractmethod
    def picture(self, index: int) -> bytes:
        """The picture's file. Raises OSError."""

    @abstractmethod
    def captions(self, index: int) -> tuple[Caption, ...]:
        """Its captions; raises Unreadable or OSError."""

    def __len__(self) -> int:
        return len(self.keys)

    def key(self, index: int) -> str:
        return self.keys[index]

    def add(self, table: Path) -> None:
        """Synthetic captions from a table beside the data, besides those that are there. Raises DataError
        where it cannot be read; rows that are damaged, or name no picture of ours, are counted.
        """
        try:
            rows = table.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{table} cannot be read: {error}") from error
        known = set(self.keys)
        for number, line in enumerate(rows, 1):
            if not line.strip():
                continue
            where = f"{table.name}:{number}"
            try:
                row = json_object(line, where)
                key, captions = row.get("file_name"), fields(row, where)
            except Unreadable as error:
                self.skipped.setdefault(error.reason, []).append(where)
                continue
            if key not in known:
                self.skipped.setdefault("no picture", []).append(f"{where} {key}")
            elif captions:
                self.added[str(key)] = self.added.get(str(key), ()) + captions
        self.captioned = self.captioned or bool(self.added)

    def read(self, index: int) -> Sample:
        key = self.keys[index]
        captions = self._words(index)
        try:
            data = self.picture(index)
        except OSError as error:
            raise Unreadable(key, f"unreadable ({error.strerror})") from error
        return Sample(key, decode(data, key), captions)

    def peek(self, index: int) -> Entry:
        return Entry(self.keys[index], self._words(index), lambda: self._size(index))

    def describe(self) -> dict[str, Any]:
        """Kind, name, count, what was skipped, and a fingerprint of the keys in order; no path."""
        fingerprint = hashlib.sha256("\n".join(self.keys).encode("utf-8", "surrogateescape")).hexdigest()[:16]
        return {
            "kind": self.kind,
            "name": self.name,
            "samples": len(self),
            "captioned": self.captioned,
            "skipped": {reason: len(keys) for reason, keys in sorted(self.skipped.items())},
            "fingerprint": fingerprint,
        }

    def _words(self, index: int) -> tuple[Caption, ...]:
        if not self.captioned:
            return ()
        try:
            captions = self.captions(index) + self.added.get(self.keys[index], ())
        except OSError as error:
            raise Unreadable(self.keys[index], f"unreadable caption ({error.strerror})") from error
        if not captions:
            raise Unreadable(self.keys[index], "no caption")
        return captions

    def _size(self, index: int) -> tuple[int, int]:
        try:
            with Image.open(io.BytesIO(self.picture(index)), formats=FORMATS) as image:
                return image.size
        except Exception as error:  # damaged headers raise anything
            raise Unreadable(self.keys[index], "not a picture") from error


def decode(data: bytes, key: str) -> np.ndarray:
    """A picture file as (H, W, 3) uint8, upright, transparency laid on white. Raises Unreadable."""
    try:
        return np.array(flat(open_image(data, key)))
    except BadInput as error:
        reason = next((reason for words, reason in REASONS.items() if words in str(error)), "unreadable")
        raise Unreadable(key, reason) from error


def read_text(data: bytes, key: str) -> str:
    """UTF-8, with or without its mark. Raises Unreadable for any other encoding."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(key, "caption is not UTF-8") from error


def lines(text: str) -> tuple[Caption, ...]:
    """A caption a line, as several earlier projects have it; empty lines do not count."""
    return tuple(Caption(line.strip()) for line in text.splitlines() if line.strip())


def fields(row: Mapping[str, Any], key: str) -> tuple[Caption, ...]:
    """The captions of one JSON object or table row.

    The first of TEXT_FIELDS that has words: a string, an object {"text", "kind", "language", "spots",
    "look"}, or a list of either; the row's own "kind", "language" and "look" hold for strings. spots: a list
    of [end, x, y, w, h] (core.task.Spot). Raises Unreadable for a wrong type.
    """
    for name in TEXT_FIELDS:
        value = row.get(name)
        found = [
            _caption(one if isinstance(one, dict) else {**row, "text": one}, key)
            for one in (value if isinstance(value, list) else [value])
            if one is not None
        ]
        if captions := tuple(caption for caption in found if caption.text):
            return captions
    return ()


def json_object(data: str | bytes, key: str) -> dict[str, Any]:
    """Raises Unreadable unless `data` is one JSON object."""
    try:
        value = json.loads(data)
    except ValueError as error:
        raise Unreadable(key, "unreadable JSON") from error
    if not isinstance(value, dict):
        raise Unreadable(key, "unreadable JSON")
    return value


def _caption(row: Mapping[str, Any], key: str) -> Caption:
    text, kind, language = row.get("text"), row.get("kind", "alt"), row.get("language", "")
    look = row.get("look")
    if not isinstance(text, str):
        raise Unreadable(key, "caption is not text")
    # strangers' tables use these two names for other things
    kind = cast(CaptionKind, kind if kind in get_args(CaptionKind) else "alt")
    language = cast(Language, language if language in get_args(Language) else "")
    spots, look = _spots(row.get("spots"), text, key), look if isinstance(look, str) else ""
    return Caption(" ".join(text.split()), kind, language, spots, look)


def _spots(value: object, text: str, key: str) -> tuple[Spot, ...]:
    """What stands where, its ends in the text with single spaces."""
    rows = value if isinstance(value, list) else []
    found: list[Spot] = []
    for row in rows:
        numbers = isinstance(row, list) and len(row) == 5 and all(isinstance(n, int | float) for n in row)
        if not numbers or not 0 < row[0] <= len(text) or not all(0 <= n <= 1 for n in row[1:]):
            raise Unreadable(key, "spots are not [end, x, y, w, h]")
        found.append(Spot(len(" ".join(text[: int(row[0])].split())), *map(float, row[1:])))
    return tuple(found)


def tell(skipped: Skipped) -> str:
    """For an error message: "3 no caption, 1 not a picture"."""
    counts = ", ".join(f"{len(keys)} {reason}" for reason, keys in sorted(skipped.items()))
    return counts if counts else "it is empty"


def ending(name: str) -> str:
    """The lower-case extension without its dot: "a/1.JPG" -> "jpg"."""
    return Path(name).suffix.lower().removeprefix(".")
