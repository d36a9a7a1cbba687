"""WebDataset tars, as img2dataset writes them: KEY.jpg, KEY.txt and KEY.json side by side in .tar files.

An index of where each member lies makes samples addressable by number, which is what a resumable order needs.
Reading the index costs one pass over the headers; a sample costs one read (one range request when remote).
"""

from __future__ import annotations

import glob
import importlib
import re
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from armchair.core.errors import DataError, MissingDependency
from armchair.core.task import Caption
from armchair.data.pictures import (
    PICTURES,
    Pictures,
    Skipped,
    Unreadable,
    fields,
    json_object,
    lines,
    read_text,
    tell,
)

TEXTS = ("txt", "text", "caption")
REMOTE = "://"
PROBED = 16  # JSON members read to see whether they hold captions

Member = tuple[int, int]  # offset and bytes inside its tar; (0, 0) is absent


class Tars(Pictures):
    """Samples of many tars, keyed TAR/MEMBER.jpg and sorted; local files, or addresses that fsspec knows."""

    def __init__(self, tars: Sequence[str], name: str, need_captions: bool | None = None):
        """tars: paths or addresses; need_captions: as for Folder.

        A damaged tar gives what comes before the damage and is counted. Raises DataError when nothing is
        left, and MissingDependency for an address without fsspec.
        """
        self.tars = sorted(set(tars))
        skipped: Skipped = {}
        found: list[tuple[str, int, Member, Member, Member]] = []
        for number, (tar, short) in enumerate(zip(self.tars, _short(self.tars), strict=True)):
            groups = _members(tar, short, skipped)
            for stem, parts in groups.items():
                pictures = [end for end in parts if end in PICTURES]
                if not pictures:
                    skipped.setdefault("no picture", []).append(f"{short}/{stem}")
                    continue
                text = next((parts[end] for end in TEXTS if end in parts), (0, 0))
                key = f"{short}/{stem}.{pictures[0]}"
                found.append((key, number, parts[pictures[0]], text, parts.get("json", (0, 0))))
                for end in pictures[1:]:
                    skipped.setdefault("second picture of a key", []).append(f"{short}/{stem}.{end}")
        worded = [row for row in found if row[3][1] or row[4][1]]
        if need_captions is None and not any(row[3][1] for row in found) and not self._json_speaks(worded):
            worded = []  # the JSON holds other things than captions
        captioned = need_captions is True or (need_captions is None and bool(worded))
        if captioned:
            left = [row[0] for row in found if not (row[3][1] or row[4][1])]
            if left:
                skipped.setdefault("no caption", []).extend(sorted(left))
            found = worded
        if not found:
            what = "pictures with captions" if captioned else "pictures"
            raise DataError(
                f"no {what} in {name} ({tell(skipped)}). "
                "WebDataset tars hold KEY.jpg (png, webp, ...) and KEY.txt or KEY.json."
            )
        found.sort(key=lambda row: row[0])
        # (N, 7) tar, picture offset and bytes, text offset and bytes, json offset and bytes
        self._index = np.array([(row[1], *row[2], *row[3], *row[4]) for row in found], np.int64)
        super().__init__("webdataset", name, [row[0] for row in found], captioned, skipped)

    def _json_speaks(self, rows: Sequence[tuple[str, int, Member, Member, Member]]) -> bool:
        """Whether any of the first JSON members has a caption."""
        for key, tar, _, _, place in rows[:PROBED]:
            try:
                if fields(json_object(self._bytes(tar, *place), key), key):
                    return True
            except (Unreadable, OSError):
                continue
        return False

    def picture(self, index: int) -> bytes:
        tar, offset, size = self._index[index, :3].tolist()
        return self._bytes(tar, offset, size)

    def captions(self, index: int) -> tuple[Caption, ...]:
        """The text member's lines; where there is none or it is empty, the fields of the JSON member."""
        tar, _, _, text_at, text_size, json_at, json_size = self._index[index].tolist()
        key = self.keys[index]
        found = lines(read_text(self._bytes(tar, text_at, text_size), key)) if text_size else ()
        if not found and json_size:
            found = fields(json_object(self._bytes(tar, json_at, json_size), key), key)
        return found

    def _bytes(self, tar: int, offset: int, size: int) -> bytes:
        """A part of a tar, opened for each read: nothing to share between threads or forked workers."""
        address = self.tars[tar]
        if REMOTE in address:
            system, path = _remote(address)
            return system.cat_file(path, start=offset, end=offset + size)
        with open(address, "rb") as file:
            file.seek(offset)
            return file.read(size)


def find_tars(pattern: str) -> list[str]:
    """The tars that a pattern names: braces ({000..123}, {a,b}), * and ?, one tar, or a remote folder/.

    Braces name files that must exist; * and ? find them. Raises DataError for a pattern without a match.
    """
    found: list[str] = []
    for one in expand(pattern):
        if REMOTE in one:
            system, path = _remote(one)
            wild = path.rstrip("/") + "/*.tar" if one.endswith("/") else path
            if "*" in wild or "?" in wild:
                found += [system.unstrip_protocol(match) for match in system.glob(wild)]
            else:
                found.append(one)
        elif "*" in one or "?" in one:
            found += glob.glob(one, recursive=True)
        elif Path(one).is_file():
            found.append(one)
        else:
            raise DataError(
                f"{one}: no such file (from the pattern {pattern}). Name tars that exist, or use *."
            )
    if not found:
        raise DataError(f"nothing matches {pattern}. Name .tar files, or a folder that holds them.")
    return sorted(set(found))


def expand(pattern: str) -> list[str]:
    """Braces as the shell expands them: {8..10} -> 8 9 10; {08..10} -> 08 09 10; {a,b} -> a b."""
    match = re.search(r"\{([^{}]*)\}", pattern)
    if match is None:
        return [pattern]
    numbers = re.fullmatch(r"(\d+)\.\.(\d+)", match[1])
    if numbers is not None:
        low, high = int(numbers[1]), int(numbers[2])
        padded = any(len(end) > 1 and end.startswith("0") for end in numbers.groups())
        width = max(map(len, numbers.groups())) if padded else 0
        options = [str(number).zfill(width) for number in range(low, high + 1)]
    else:
        options = match[1].split(",")
    before, after = pattern[: match.start()], pattern[match.end() :]
    return [done for option in options for done in expand(before + option + after)]


def _members(tar: str, short: str, skipped: Skipped) -> dict[str, dict[str, Member]]:
    """Where each member of one tar lies: stem -> ending -> place. A stem ends at its name's first dot."""
    groups: dict[str, dict[str, Member]] = {}
    try:
        with _open(tar) as file:
            size = file.seek(0, 2)
            file.seek(0)
            archive: Any = tarfile.open(fileobj=file, mode="r:")
            while (member := archive.next()) is not None:
                archive.members = []  # tarfile would keep every header in memory
                if not member.isfile():
                    continue
                folder, _, base = member.name.removeprefix("./").rpartition("/")
                stem, _, end = base.partition(".")
                name = f"{folder}/{stem}" if folder else stem
                end = end.lower()
                reason = None
                if not stem or folder.split("/")[0] == "__MACOSX":
                    reason = "hidden file"
                elif end not in PICTURES and end not in TEXTS and end != "json":
                    reason = "not a picture or caption"
                elif end in groups.get(name, {}):
                    reason = "member stored twice"
                elif member.offset_data + member.size > size:
                    reason = "cut off with its tar"
                if reason is None:
                    groups.setdefault(name, {})[end] = (member.offset_data, member.size)
                else:
                    skipped.setdefault(reason, []).append(f"{short}/{member.name}")
    except tarfile.TarError:
        skipped.setdefault("damaged or truncated tar", []).append(short)
    except OSError as error:
        skipped.setdefault(f"unreadable tar ({error.strerror})", []).append(short)
    return groups


def _open(tar: str) -> IO[bytes]:
    if REMOTE in tar:
        system, path = _remote(tar)
        return system.open(path, "rb")
    return open(tar, "rb")


def _remote(address: str) -> tuple[Any, str]:
    """The fsspec file system of an address and the path in it; fsspec itself keeps the connections."""
    try:
        core = importlib.import_module("fsspec.core")
    except ImportError:
        raise MissingDependency("fsspec", "train") from None
    try:
        return core.url_to_fs(address)
    except (ImportError, ValueError) as error:  # a protocol without its package, or none at all
        raise DataError(f"{address} cannot be opened: {error}") from error


def _short(tars: Sequence[str]) -> list[str]:
    """Names of the tars without the folders that all of them share."""
    parts = [tar.replace("\\", "/").split("/") for tar in tars]
    shared = 0
    while all(len(part) > shared + 1 and part[shared] == parts[0][shared] for part in parts):
        shared += 1
    return ["/".join(part[shared:]) for part in parts]
