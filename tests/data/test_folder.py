"""Folders: what counts as a sample, what is skipped and why, and how pictures are decoded."""

import csv
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from armchair.core.errors import DataError
from armchair.core.task import Caption
from armchair.data.folder import Folder


def picture(path: Path, colour=(200, 30, 40), size=(8, 6), **save) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGBA" if len(colour) == 4 else "RGB", size, colour).save(path, **save)


def test_keys_are_relative_paths(tmp_path):
    """An earlier project keyed files by their stem, so that of a/1.jpg and b/1.jpg one vanished."""
    for name in ("b/1.jpg", "a/1.jpg", "a/deep/2.WEBP", "a/x.y.png"):
        picture(tmp_path / name)
        (tmp_path / name).with_suffix(".txt").write_text(
            f"words of {name}\n\n  a second line \n", encoding="utf-8"
        )
    source = Folder(tmp_path)
    assert source.keys == ["a/1.jpg", "a/deep/2.WEBP", "a/x.y.png", "b/1.jpg"]
    assert source[3].key == "b/1.jpg"
    assert source[3].captions == (Caption("words of b/1.jpg"), Caption("a second line"))
    assert source.skipped == {}
    assert source.describe() == pickle.loads(pickle.dumps(source)).describe()
    assert str(tmp_path.parent) not in json.dumps(source.describe())


def test_small_pictures_beside_large_ones(tmp_path):
    """NAME.small.png is no picture of its own where there is a NAME of any kind."""
    for name in ("a.jpg", "b.png", "deep/c.png", "lone.small.png"):
        picture(tmp_path / name)
    for name in ("a.small.png", "deep/c.small.png"):
        picture(tmp_path / name, (0, 0, 255), (4, 3))
    source = Folder(tmp_path)
    assert source.keys == ["a.jpg", "b.png", "deep/c.png", "lone.small.png"] and source.skipped == {}
    sizes = [None if sample.small is None else sample.small.shape for sample in source]
    assert sizes == [(3, 4, 3), None, (3, 4, 3), None]
    (tmp_path / "deep/c.small.png").write_bytes(b"")
    assert source[2].key == "lone.small.png"
    assert source.skipped == {"empty file": ["deep/c.small.png"]}


def test_everything_left_out_has_a_reason(tmp_path):
    """Nothing is dropped silently."""
    for name in ("good.jpg", "wordless.png", "empty.jpg", "cut.png", "fake.jpg", "latin.png", "blank.png"):
        picture(tmp_path / name, size=(64, 64))
        if name != "wordless.png":
            (tmp_path / name).with_suffix(".txt").write_text("words")
    (tmp_path / "empty.jpg").write_bytes(b"")
    cut = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(cut[: len(cut) // 2])
    (tmp_path / "fake.jpg").write_text("<html>404</html>")
    (tmp_path / "latin.txt").write_bytes("café".encode("latin-1"))
    (tmp_path / "blank.txt").write_text("\n")
    (tmp_path / "lonely.txt").write_text("words")
    (tmp_path / "movie.mp4").write_bytes(b"\0")
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    source = Folder(tmp_path)
    assert source.skipped == {
        "no caption": ["wordless.png"],
        "caption without picture": ["lonely.txt"],
        "not a picture or caption": ["movie.mp4"],
        "hidden file": [".DS_Store"],
    }
    samples = [source[index] for index in range(len(source))]
    assert len(source) == 6
    assert {sample.key for sample in samples} == {
        "good.jpg"
    }  # the next readable one stands in, around the end
    assert source.skipped["empty file"] == ["empty.jpg"]
    assert source.skipped["truncated or damaged"] == ["cut.png"]
    assert source.skipped["not a picture"] == ["fake.jpg"]
    assert source.skipped["caption is not UTF-8"] == ["latin.png"]
    assert source.skipped["no caption"] == ["wordless.png", "blank.png"]


def test_a_broken_file_stands_for_the_same_sample_everywhere(tmp_path):
    """What replaces it may not depend on what was read before, or a resumed run would differ."""
    for number in range(5):
        picture(tmp_path / f"{number}.png", (number, 0, 0))
    (tmp_path / "2.png").write_bytes(b"no")
    forward, backward = Folder(tmp_path), Folder(tmp_path)
    assert [forward[i].key for i in range(5)] == [backward[i].key for i in reversed(range(5))][::-1]
    assert forward[2].key == "3.png"
    assert forward[-1].key == "4.png"
    with pytest.raises(IndexError):
        forward[5]


def test_many_broken_files_stop_the_run(tmp_path):
    """A lost disk looks like many unreadable files; training on what is left would hide it."""
    picture(tmp_path / "a.png")
    for number in range(30):
        (tmp_path / f"b{number:02}.png").write_bytes(b"no")
    source = Folder(tmp_path)
    with pytest.raises(DataError, match="21 of 31 pictures cannot be read.*b20.png"):
        [source[index] for index in range(1, 31)]
    (tmp_path / "a.png").write_bytes(b"")
    for number in range(10, 30):
        (tmp_path / f"b{number:02}.png").unlink()
    with pytest.raises(DataError, match="none of the 11"):
        Folder(tmp_path)[0]


def test_metadata_csv_and_jsonl(tmp_path):
    """Both tables of the field's habit, relative to their own folder; several rows are several captions."""
    for name in ("p/1.png", "p/2.png", "3.png", "4.png"):
        picture(tmp_path / name)
    with (tmp_path / "p" / "metadata.csv").open("w", newline="", encoding="utf-8-sig") as file:
        rows = csv.writer(file)
        rows.writerows(
            [["file_name", "text"], ["1.png", 'a "red", box'], ["2.png", "빨간 상자"], ["1.png", "again"]]
        )
        rows.writerows([["9.png", "gone"], ["", "nameless"], ["../3.png", "one up"]])
    world = [
        {"text": "long one", "kind": "long", "language": "en"},
        {"text": "사과", "kind": "alt", "language": "ko"},
    ]
    lines = [
        {"file_name": "3.png", "captions": world, "scene": {"index": 3}},
        {"file_name": "4.png", "caption": "  ", "text": "second field"},
    ]
    text = "\n".join(
        [json.dumps(lines[0]), "{broken", json.dumps(lines[1], ensure_ascii=False), '["list"]', ""]
    )
    (tmp_path / "metadata.jsonl").write_text(text, encoding="utf-8")
    source = Folder(tmp_path)
    assert [[caption.text for caption in source[index].captions] for index in range(4)] == [
        ["long one", "사과", "one up"],
        ["second field"],
        ['a "red", box', "again"],
        ["빨간 상자"],
    ]
    assert source[0].captions[0] == Caption("long one", "long", "en")
    assert source.skipped == {
        "unreadable JSON": ["metadata.jsonl:2", "metadata.jsonl:4"],
        "no picture": ["p/metadata.csv:5 9.png"],
        "row without a file name": ["p/metadata.csv:6"],
    }


def test_spots(tmp_path: Path):
    """Where things stand, for layouts; ends follow the text when its spaces are mended. What is no spot makes
    a row unreadable.
    """
    for number in range(3):
        picture(tmp_path / f"{number}.png")
    rows = [
        {
            "text": "a  cat and a dog",
            "look": "flat",
            "spots": [[6, 0.25, 0.5, 0.5, 0.5], [16, 0.75, 0.5, 0.5, 1]],
        },
        {"text": "a cat", "spots": [[9, 0.25, 0.5, 0.5, 0.5]]},
        {"text": "a cat", "spots": "none"},
    ]
    lines = [json.dumps({"file_name": f"{i}.png", "captions": [row]}) for i, row in enumerate(rows)]
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")
    source = Folder(tmp_path)
    caption = source[0].captions[0]
    assert [caption.text[: spot.end] for spot in caption.spots] == ["a cat", "a cat and a dog"]
    assert caption.spots[1][1:] == (0.75, 0.5, 0.5, 1.0)
    assert [source[i].captions[0].look for i in range(2)] == ["flat", ""]
    assert source[1].captions[0].spots == () and source[1].key == "2.png"
    assert source.skipped["spots are not [end, x, y, w, h]"] == ["metadata.jsonl:2"]


def test_a_table_without_its_columns_says_so(tmp_path):
    """The commonest mistake with a table is another column name."""
    picture(tmp_path / "1.png")
    (tmp_path / "metadata.csv").write_text("file_name,captoin\n1.png,words\n")
    with pytest.raises(DataError, match="'captoin'.*Did you mean 'caption'"):
        Folder(tmp_path)


def test_pictures_without_words(tmp_path):
    """The image tokenizer needs no words; a text-to-image network does and must say so."""
    picture(tmp_path / "1.png")
    picture(tmp_path / "2.png")
    source = Folder(tmp_path)
    assert len(source) == 2 and source[0].captions == ()
    with pytest.raises(DataError, match="no pictures with captions.*2 no caption"):
        Folder(tmp_path, need_captions=True)
    (tmp_path / "1.txt").write_text("words")
    assert len(Folder(tmp_path)) == 1
    everything = Folder(tmp_path, need_captions=False)
    assert len(everything) == 2 and everything[0].captions == () and everything.skipped == {}


def test_decoding(tmp_path):
    """EXIF rotation applied, transparency on white, grey and palettes as colour: (H, W, 3) uint8 always."""
    turned = Image.Exif()
    turned[0x0112] = 6  # shown rotated by 90 degrees
    picture(tmp_path / "a.jpg", size=(8, 4), exif=turned)
    picture(tmp_path / "b.png", (255, 0, 0, 0))
    picture(tmp_path / "c.webp", (10, 20, 30), lossless=True)
    Image.new("L", (3, 3), 77).save(tmp_path / "d.png")
    Image.new("CMYK", (3, 3)).save(tmp_path / "e.jpg")
    source = Folder(tmp_path)
    images = {source[index].key: source[index].image for index in range(len(source))}
    assert images["a.jpg"].shape == (8, 4, 3)
    assert (images["b.png"] == 255).all()
    assert (images["c.webp"] == (10, 20, 30)).all()
    assert (images["d.png"] == 77).all()
    assert (images["e.jpg"] > 250).all()
    assert all(image.dtype == np.uint8 and image.ndim == 3 for image in images.values())


def test_a_loop_of_links_ends(tmp_path):
    """Data folders are full of links; one that points at its parent must not be walked for ever."""
    picture(tmp_path / "real" / "1.png")
    (tmp_path / "real" / "loop").symlink_to(tmp_path / "real", target_is_directory=True)
    source = Folder(tmp_path)
    assert source.keys == ["real/1.png"]
    assert source.skipped == {"link to a folder seen before": ["real/loop"]}


def test_peek_reads_no_pixels(tmp_path):
    """Filters look at every entry of a data set: header and text only."""
    picture(tmp_path / "1.png", size=(64, 48))
    (tmp_path / "1.txt").write_text("words")
    data = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(data[:60])  # header and nothing else
    entry = Folder(tmp_path).peek(0)
    assert (entry.key, entry.captions, entry.size) == ("1.png", (Caption("words"),), (64, 48))
