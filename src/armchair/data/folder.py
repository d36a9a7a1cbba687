"""A folder of pictures with words: .txt beside each, metadata.csv or metadata.jsonl, or no words at all; and
with small pictures beside large ones.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from armchair.core.errors import DataError, nearest
from armchair.core.task import Caption, Sample
from armchair.data.pictures import (
    FILE_FIELDS,
    PICTURES,
    RECAPTIONS,
    TEXT_FIELDS,
    Pictures,
    Skipped,
    Unreadable,
    decode,
    ending,
    fields,
    json_object,
    lines,
    read_text,
    tell,
)

TABLES = ("metadata.jsonl", "metadata.csv", "captions.jsonl", "captions.csv", RECAPTIONS)


class Folder(Pictures):
    """Pictures below one folder, keyed by their path relative to it, in sorted order.

    Captions come from tables (a row's file name is relative to the table's folder; several rows for one
    picture are several captions) and from NAME.txt beside NAME.jpg (a caption a line). If no picture has any,
    all are kept without. NAME.small.png beside NAME.png is its `Sample.small`.
    """

    def __init__(self, root: str | Path, table: str | Path | None = None, need_captions: bool | None = None):
        """table: the one .csv or .jsonl in `root` to read; None reads all metadata and captions tables below.
        need_captions: None keeps the pictures that have words, or all when none has; True demands words;
        False keeps all pictures and ignores words.

        Raises DataError when nothing is left, or for a table without its columns.
        """
        self.root = Path(root)
        skipped: Skipped = {}
        files = _files(self.root, skipped)
        if table is not None:
            tables = [Path(table).relative_to(self.root).as_posix()]
        else:
            tables = [name for name in files if PurePosixPath(name).name in TABLES]
        known = set(files)
        pictures = [name for name in files if ending(name) in PICTURES]
        self._small = {name: small for name in pictures if (small := _small(name)) in known}
        pictures = sorted({*pictures} - {*self._small.values()})
        beside = {name: text for name in pictures if (text := _beside(name)) in known}
        self._table: dict[str, tuple[Caption, ...]] = {}
        if need_captions is not False:
            for name in tables:
                self._read_table(name, set(pictures), skipped)
        worded = [name for name in pictures if name in beside or name in self._table]
        captioned = need_captions is True or (need_captions is None and bool(worded))
        used = {*pictures, *self._small.values(), *beside.values(), *tables}
        for name in files:
            if name not in used:
                reason = "caption without picture" if name.endswith(".txt") else "not a picture or caption"
                skipped.setdefault(reason, []).append(name)
        if captioned:
            have = set(worded)
            left = [name for name in pictures if name not in have]
            if left:
                skipped.setdefault("no caption", []).extend(left)
            pictures = worded
        if not pictures:
            raise DataError(_nothing(self.root, captioned, skipped))
        self._beside = beside
        super().__init__("folder", self.root.resolve().name, pictures, captioned, skipped)

    def picture(self, index: int) -> bytes:
        return (self.root / self.keys[index]).read_bytes()

    def read(self, index: int) -> Sample:
        sample, key = super().read(index), self.keys[index]
        if key not in self._small:
            return sample
        small = self._small[key]
        try:
            data = (self.root / small).read_bytes()
        except OSError as error:
            raise Unreadable(small, f"unreadable ({error.strerror})") from error
        return replace(sample, small=decode(data, small))

    def captions(self, index: int) -> tuple[Caption, ...]:
        key = self.keys[index]
        found = self._table.get(key, ())
        if key in self._beside:
            found += lines(read_text((self.root / self._beside[key]).read_bytes(), key))
        return found

    def _read_table(self, name: str, pictures: set[str], skipped: Skipped) -> None:
        """Add the captions of one table; rows that name no picture of ours are counted."""
        folder = PurePosixPath(name).parent
        for number, row in _rows(self.root / name, name, skipped):
            file = next((row[field] for field in FILE_FIELDS if row.get(field)), None)
            where = f"{name}:{number}"
            if not isinstance(file, str):
                skipped.setdefault("row without a file name", []).append(where)
                continue
            key = os.path.normpath((folder / file.replace("\\", "/")).as_posix())
            if key not in pictures:
                skipped.setdefault("no picture", []).append(f"{where} {file}")
                continue
            try:
                captions = fields(row, where)
            except Unreadable as error:
                skipped.setdefault(error.reason, []).append(where)
                continue
            if captions:
                self._table[key] = self._table.get(key, ()) + captions


def _files(root: Path, skipped: Skipped) -> list[str]:
    """Every visible file below `root` as a relative posix path, sorted; links are followed, a loop is not."""

    def refused(error: OSError) -> None:
        skipped.setdefault("unreadable folder", []).append(str(error.filename))

    found: list[str] = []
    seen: set[tuple[int, int]] = set()
    for folder, inner, names in os.walk(root, onerror=refused, followlinks=True):
        status = os.stat(folder)
        place = Path(folder).relative_to(root)
        if (status.st_dev, status.st_ino) in seen:
            skipped.setdefault("link to a folder seen before", []).append(place.as_posix())
            inner.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        inner[:] = sorted(name for name in inner if not (name.startswith(".") or name == "__MACOSX"))
        for name in names:
            key = (place / name).as_posix()
            if name.startswith("."):
                skipped.setdefault("hidden file", []).append(key)
            else:
                found.append(key)
    return sorted(found)


def _beside(picture: str) -> str:
    return PurePosixPath(picture).with_suffix(".txt").as_posix()


def _small(picture: str) -> str:
    return PurePosixPath(picture).with_suffix(".small.png").as_posix()


def _rows(path: Path, name: str, skipped: Skipped) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and content of each row of a table. Raises DataError for a .csv without the columns."""
    try:
        text = read_text(path.read_bytes(), name)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if ending(name) == "csv":
        reader = csv.DictReader(io.StringIO(text, newline=""))
        columns = list(reader.fieldnames) if reader.fieldnames is not None else []
        for wanted in (FILE_FIELDS, TEXT_FIELDS):
            if not set(columns) & set(wanted):
                hint = next((hint for column in columns if (hint := nearest(column, wanted))), "")
                have = ", ".join(map(repr, columns))
                raise DataError(f"{name} has the columns {have}, but none of {', '.join(wanted)}.{hint}")
        while True:
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error:  # a field of 128 kB: a quote that never ends
                skipped.setdefault("unreadable row", []).append(f"{name}:{reader.line_num}")
                continue
            yield reader.line_num, row
    # not splitlines: U+2028 may stand inside a JSON string
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                row = json_object(line, f"{name}:{number}")
            except Unreadable as error:
                skipped.setdefault(error.reason, []).append(f"{name}:{number}")
                continue
            yield number, row


def _nothing(root: Path, captioned: bool, skipped: Skipped) -> str:
    what = "pictures with captions" if captioned else "pictures"
    return (
        f"no {what} in {root} ({tell(skipped)}). Give pictures ({', '.join(sorted(PICTURES))}) with "
        "NAME.txt beside each, or a metadata.jsonl or metadata.csv with file_name and text."
    )
