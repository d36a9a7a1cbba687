"""One PATH is recognised for what it is, and a wrong one gets a line that says what would do."""

import io
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from armchair.core.errors import DataError
from armchair.data.open import open_source


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path)


def tar(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = io.BytesIO()
    Image.new("RGB", (4, 4)).save(data, "PNG")
    with tarfile.open(path, "w") as file:
        for name, content in (("1.png", data.getvalue()), ("1.txt", b"words")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))


def test_every_layout_is_recognised(tmp_path):
    """Nobody should have to say which of the formats a path holds."""
    picture(tmp_path / "words" / "1.png")
    (tmp_path / "words" / "1.txt").write_text("words")
    picture(tmp_path / "table" / "1.png")
    (tmp_path / "table" / "metadata.jsonl").write_text('{"file_name": "1.png", "text": "words"}\n')
    picture(tmp_path / "named" / "1.png")
    (tmp_path / "named" / "flickr.csv").write_text("image,caption\n1.png,words\n")
    picture(tmp_path / "bare" / "1.png")
    tar(tmp_path / "tars" / "deep" / "00.tar")
    tar(tmp_path / "tars" / "deep" / "01.tar")
    kinds = {
        "words": ("folder", 1),
        "table": ("folder", 1),
        "table/metadata.jsonl": ("folder", 1),
        "named/flickr.csv": ("folder", 1),
        "tars": ("webdataset", 2),
        "tars/deep/00.tar": ("webdataset", 1),
        "tars/deep/{00..01}.tar": ("webdataset", 2),
        "tars/deep/*.tar": ("webdataset", 2),
    }
    for name, expected in kinds.items():
        source = open_source(tmp_path / name)
        assert (source.kind, len(source)) == expected, name
        assert source[0].captions[0].text == "words", name
        assert source.describe()["samples"] == expected[1]
    assert open_source(tmp_path / "bare")[0].captions == ()


def test_tars_beside_a_stray_picture(tmp_path):
    """A preview.png among the shards must not turn a WebDataset into a folder of one picture."""
    for shard in range(2):
        tar(tmp_path / f"{shard}.tar")
    picture(tmp_path / "preview.png")
    source = open_source(tmp_path)
    assert (source.kind, len(source)) == ("webdataset", 2)
    assert source.skipped == {"loose picture among tars": ["preview.png"]}


def test_wrong_paths(tmp_path):
    """Each names the path and what would do."""
    picture(tmp_path / "one.png")
    (tmp_path / "x.tar.gz").write_bytes(b"")
    (tmp_path / "x.parquet").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    for name, words in {
        "nothing": "no such file or folder",
        "one.png": "is one picture",
        "x.tar.gz": "Unpack",
        "x.parquet": "not a data set that we know",
        "empty": "it is empty",
        "gone.tar": "no such file",
    }.items():
        with pytest.raises(DataError, match=words) as caught:
            open_source(tmp_path / name)
        assert name in str(caught.value)
