"""One path in, pictures with words out: what lies there is recognised, never declared."""

from __future__ import annotations

from pathlib import Path

from armchair.core.errors import DataError
from armchair.data.folder import Folder
from armchair.data.pictures import PICTURES, RECAPTIONS, Pictures, ending
from armchair.data.webdataset import REMOTE, Tars, find_tars

TABLE_ENDINGS = ("csv", "jsonl")
SHOULD_BE = (
    "Give a folder of pictures (NAME.txt beside each, or metadata.jsonl, or metadata.csv), a .csv or .jsonl, "
    'or WebDataset tars (a folder of .tar, one .tar, or a pattern such as "shards/{000..123}.tar").'
)


def open_source(path: str | Path, need_captions: bool | None = None) -> Pictures:
    """The samples at `path`, sorted by key, decoded when read; `.skipped` tells what was left out and why.

    path: a folder of pictures with .txt captions, metadata.csv or metadata.jsonl, or without words; a .csv or
        .jsonl itself; a folder of .tar, one .tar, a brace or * pattern of them, here or at an address that
        fsspec knows.
    need_captions: None keeps the pictures with words, or all where none has any; True demands words (for a
        text-to-image network); False keeps every picture and ignores words (for an image tokenizer).
    Raises DataError naming the path and what was looked for.
    """
    source = _opened(str(path), need_captions)
    table = sidecar(path)
    # a folder of pictures reads its own tables
    native = isinstance(source, Folder) and Path(path).expanduser().is_dir()
    if need_captions is not False and not native and table is not None and table.is_file():
        source.add(table)
    return source


def sidecar(path: str | Path) -> Path | None:
    """Where the synthetic captions of a data set lie: in its folder, or beside its table or tars. None for
    data on another machine.
    """
    text = str(path)
    if REMOTE in text:
        return None
    place = Path(text).expanduser()
    if place.is_dir():
        return place / RECAPTIONS
    if place.is_file():
        return place.with_name(f"{place.stem}.{RECAPTIONS}")
    while any(sign in str(place) for sign in "{*?"):
        place = place.parent
    return place / RECAPTIONS


def _opened(text: str, need_captions: bool | None) -> Pictures:
    place = Path(text).expanduser()
    if REMOTE in text:
        address = text if "{" in text or "*" in text or text.endswith((".tar", "/")) else f"{text}/"
        return Tars(find_tars(address), address.rstrip("/").rpartition("/")[2], need_captions)
    if place.is_dir():
        return _open_folder(place, need_captions)
    end = ending(text)
    if place.is_file() and end in TABLE_ENDINGS:
        return Folder(place.parent, place, need_captions)
    if text.lower().endswith((".tar.gz", ".tgz", ".tar.zst", ".tar.bz2", ".tar.xz")):
        raise DataError(
            f"{text}: a compressed tar cannot be read in random order. Unpack it to a plain .tar first."
        )
    if end == "tar" or (not place.exists() and ("{" in text or "*" in text)):
        return Tars(find_tars(str(place)), place.name, need_captions)
    if place.is_file():
        what = "is one picture" if end in PICTURES else "is not a data set that we know"
        raise DataError(f"{text} {what}. {SHOULD_BE}")
    raise DataError(f"{text}: no such file or folder. {SHOULD_BE}")


def _open_folder(place: Path, need_captions: bool | None) -> Pictures:
    """Tars or pictures, whichever are more; the others are counted."""
    files = [file for file in place.rglob("*") if not file.name.startswith(".")]
    tars = sorted(str(file) for file in files if ending(file.name) == "tar")
    loose = sorted(file.relative_to(place).as_posix() for file in files if ending(file.name) in PICTURES)
    if len(tars) <= len(loose) or not tars:
        return Folder(place, None, need_captions)
    source = Tars(tars, place.resolve().name, need_captions)
    if loose:
        source.skipped["loose picture among tars"] = loose
    return source
