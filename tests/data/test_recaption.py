"""Captions beside a data set's own: every format, stopped and gone on with, in several processes."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from armchair.core.errors import BadInput
from armchair.core.task import Caption
from armchair.data.open import open_source
from armchair.data.recaption import recaption
from tests.dalle1.tiny import write_pictures


def brightness(images: Sequence[np.ndarray], keys: Sequence[str]) -> list[tuple[Caption, ...]]:
    return [
        (Caption(f"{key} is {image.mean():.0f}", "short", "en"), Caption("밝다", "long", "ko"))
        for image, key in zip(images, keys, strict=True)
    ]


def make():
    return brightness


run = partial(recaption, make=make, by="me")


def texts(path: Path) -> dict[str, list[str]]:
    source = open_source(path)
    return {source.key(i): [c.text for c in source.captions(i) + source.added.get(source.key(i), ())]
            for i in range(len(source))}  # fmt: skip


def test_a_folder(tmp_path: Path):
    """The words that were there stay, in their own files; the new ones come with them when it is opened."""
    folder = write_pictures(tmp_path / "pictures", 5)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    report = run(folder)
    assert (report.total, report.done, report.before) == (5, 5, 0) and report.rate > 0
    assert report.table == folder / "recaptions.jsonl"
    assert {path: path.read_bytes() for path in before} == before
    for key, said in texts(folder).items():
        assert said[0].startswith(f"{key} is ") and said[1] == "밝다" and len(said) == 3
    captions = open_source(folder)[0].captions
    assert [(c.kind, c.language) for c in captions][:2] == [("short", "en"), ("long", "ko")]


def test_pictures_without_words(tmp_path: Path):
    """What has no caption gets one, and then counts as captioned."""
    folder = write_pictures(tmp_path / "pictures", 3)
    for path in folder.glob("*.txt"):
        path.unlink()
    assert not open_source(folder).captioned
    run(folder)
    assert open_source(folder, need_captions=True).captioned and len(texts(folder)) == 3


@pytest.mark.parametrize("kind", ["table", "tar", "tars"])
def test_other_formats(tmp_path: Path, kind: str):
    """A table and tars cannot hold a new file: it lies beside them, and training finds it."""
    folder = write_pictures(tmp_path / "pictures", 4)
    if kind == "table":
        path = folder / "mine.jsonl"
        rows = [{"file_name": f"{i:03d}.png", "text": f"number {i}"} for i in range(4)]
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        (tmp_path / "tars").mkdir()
        with tarfile.open(tmp_path / "tars" / "a.tar", "w") as tar:
            for file in sorted(folder.iterdir()):
                tar.add(file, file.name)
        path = tmp_path / "tars" / "a.tar" if kind == "tar" else tmp_path / "tars"
    own = texts(path)
    report = run(path)
    assert report.done == 4 and report.table.name.endswith("recaptions.jsonl")
    found = texts(path)
    assert found.keys() == own.keys()
    assert all(
        found[key][: len(own[key])] == own[key] and len(found[key]) == len(own[key]) + 2 for key in own
    )
    assert run(path).done == 0


def test_stopped_and_gone_on_with(tmp_path: Path):
    """Killed in the middle of a line: that picture is captioned again, the others are not."""
    folder = write_pictures(tmp_path / "pictures", 6)
    whole = run(folder).table.read_bytes()
    lines = whole.splitlines(keepends=True)
    table = folder / "recaptions.jsonl"
    table.write_bytes(b"".join(lines[:3]) + lines[3][:20])
    calls: list[int] = []
    report = run(folder, batch=2, progress=lambda r: calls.append(r.done))
    assert (report.before, report.done) == (3, 3) and calls == [2, 3]
    assert table.read_bytes() == whole


@pytest.mark.slow
def test_several_processes_write_the_same(tmp_path: Path):
    """Who works does not matter to what is written."""
    one, two = (write_pictures(tmp_path / name, 5) for name in ("one", "two"))
    run(one, batch=2)
    run(two, batch=2, processes=2)
    assert (one / "recaptions.jsonl").read_bytes() == (two / "recaptions.jsonl").read_bytes()


def test_damaged_pictures_are_counted(tmp_path: Path):
    """One bad file must not end a night's work."""
    folder = write_pictures(tmp_path / "pictures", 4)
    (folder / "002.png").write_bytes(b"\x89PNG")
    report = run(folder, batch=2)
    assert report.done == 3 and sum(map(len, report.skipped.values())) == 1


def test_mistakes(tmp_path: Path):
    """Captions of two captioners in one table could not be told apart afterwards."""
    folder = write_pictures(tmp_path / "pictures", 2)
    run(folder)
    with pytest.raises(BadInput, match="holds captions of me, these would be of you: move it away"):
        run(folder, by="you")
    with pytest.raises(BadInput, match="batch 0 and processes 1"):
        run(folder, batch=0)
    other = tmp_path / "other.jsonl"
    assert run(folder, by="you", out=other).table == other
