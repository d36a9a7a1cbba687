"""WebDataset tars: random access, keys, and what a damaged tar leaves."""

import io
import json
import pickle
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from armchair.core.errors import DataError
from armchair.data.webdataset import Tars, expand, find_tars


def png(value: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (4, 4), (value, 0, 0)).save(out, "PNG")
    return out.getvalue()


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def test_samples_by_number(tmp_path):
    """As img2dataset writes them; the same key in two tars is two samples; any order of reading."""
    for shard in range(2):
        members = {}
        for number in (1, 0):
            members[f"{number:03}.png"] = png(10 * shard + number)
            members[f"{number:03}.txt"] = f"shard {shard} number {number}".encode()
            members[f"{number:03}.json"] = b'{"caption": "not this one", "status": "success"}'
        write_tar(tmp_path / f"{shard:05}.tar", members)
    source = Tars(find_tars(str(tmp_path / "{00000..00001}.tar")), "shards")
    assert source.keys == ["00000.tar/000.png", "00000.tar/001.png", "00001.tar/000.png", "00001.tar/001.png"]
    assert [source[i].captions[0].text for i in (3, 0)] == ["shard 1 number 1", "shard 0 number 0"]
    assert [int(source[i].image[0, 0, 0]) for i in range(4)] == [0, 1, 10, 11]
    assert pickle.loads(pickle.dumps(source))[2].captions[0].text == "shard 1 number 0"
    assert source.skipped == {}


def test_captions_from_json(tmp_path):
    """Without a text member, or with an empty one, the JSON speaks."""
    long = {"text": "긴 설명", "kind": "long", "language": "ko"}
    tar = write_tar(
        tmp_path / "a.tar",
        {
            "x/1.jpg": png(1),
            "x/1.json": json.dumps({"caption": "from json"}).encode(),
            "x/2.jpg": png(2),
            "x/2.txt": b" \n",
            "x/2.json": json.dumps({"captions": [long]}).encode(),
        },
    )
    source = Tars([str(tar)], "a")
    assert [source[i].captions[0].text for i in range(2)] == ["from json", "긴 설명"]
    assert source[1].captions[0].kind == "long"


def test_everything_left_out_has_a_reason(tmp_path):
    """Nothing is dropped silently, whatever a tar holds."""
    tar = write_tar(
        tmp_path / "a.tar",
        {
            "1.jpg": png(1),
            "1.txt": b"words",
            "2.txt": b"no picture",
            "3.jpg": png(3),
            "4.jpg": png(4),
            "4.png": png(4),
            "4.txt": b"words",
            "5.mp4": b"film",
            "1.TXT": b"again",
            "6.jpg": b"not a picture",
            "6.txt": b"words",
            "7.jpg": png(7),
            "7.json": b"{}",
        },
    )
    source = Tars([str(tar)], "a")
    assert source.skipped == {
        "no picture": ["a.tar/2"],
        "no caption": ["a.tar/3.jpg"],
        "second picture of a key": ["a.tar/4.png"],
        "not a picture or caption": ["a.tar/5.mp4"],
        "member stored twice": ["a.tar/1.TXT"],
    }
    assert [source[i].key[6] for i in range(len(source))] == ["1", "4", "1", "1"]
    assert source.skipped["not a picture"] == ["a.tar/6.jpg"]
    assert source.skipped["no caption"] == ["a.tar/3.jpg", "a.tar/7.jpg"]


def test_a_truncated_tar_gives_what_it_has(tmp_path):
    """A download that broke off is common; what lies before the break is good."""
    tar = write_tar(
        tmp_path / "a.tar",
        {f"{i}.{end}": png(i) if end == "png" else b"w" for i in range(3) for end in ("png", "txt")},
    )
    data = tar.read_bytes()
    tar.write_bytes(data[: 512 * 8 + 512 + 20])  # in the picture of sample 2
    write_tar(tmp_path / "b.tar", {"1.png": png(9), "1.txt": b"w"})
    (tmp_path / "c.tar").write_bytes(b"this is no tar" * 100)
    source = Tars(find_tars(str(tmp_path / "*.tar")), "t")
    assert source.keys == ["a.tar/0.png", "a.tar/1.png", "b.tar/1.png"]
    assert source.skipped["cut off with its tar"] == ["a.tar/2.png"]
    assert source.skipped["damaged or truncated tar"] == ["a.tar", "c.tar"]
    with pytest.raises(DataError, match="1 damaged or truncated tar"):
        Tars([str(tmp_path / "c.tar")], "c")


def test_pictures_without_words(tmp_path):
    """As for folders: the image tokenizer takes all pictures."""
    tar = str(write_tar(tmp_path / "a.tar", {"1.png": png(1), "2.png": png(2), "2.txt": b"words"}))
    assert len(Tars([tar], "a")) == 1
    assert len(Tars([tar], "a", need_captions=False)) == 2
    bare = str(write_tar(tmp_path / "b.tar", {"1.png": png(1)}))
    assert Tars([bare], "b")[0].captions == ()
    tags = str(write_tar(tmp_path / "c.tar", {"1.png": png(1), "1.json": b'{"width": 4}'}))
    assert Tars([tags], "c")[0].captions == ()
    with pytest.raises(DataError, match="no pictures with captions in b"):
        Tars([bare], "b", need_captions=True)


def test_addresses_go_through_fsspec(tmp_path):
    """The same tars behind an address, here fsspec's own memory file system."""
    import fsspec

    data = write_tar(tmp_path / "a.tar", {"1.png": png(5), "1.txt": b"words"}).read_bytes()
    memory = fsspec.filesystem("memory")
    try:
        for name in ("/bucket/00.tar", "/bucket/01.tar"):
            memory.pipe_file(name, data)
        for pattern in ("memory://bucket/", "memory://bucket/{00..01}.tar", "memory://bucket/*.tar"):
            source = Tars(find_tars(pattern), "bucket")
            assert source.keys == ["00.tar/1.png", "01.tar/1.png"]
            assert source[1].captions[0].text == "words" and source[1].image[0, 0, 0] == 5
    finally:
        memory.rm("/bucket", recursive=True)
    with pytest.raises(DataError, match="nowhere://x.tar"):
        Tars(["nowhere://x.tar"], "x")


def test_patterns(tmp_path):
    """Braces as a shell reads them, and a missing shard is an error, not silently less data."""
    assert expand("s/{08..10}.tar") == ["s/08.tar", "s/09.tar", "s/10.tar"]
    assert expand("{a,b}{1..2}") == ["a1", "a2", "b1", "b2"]
    assert expand("plain.tar") == ["plain.tar"]
    write_tar(tmp_path / "0.tar", {})
    with pytest.raises(DataError, match=r"1\.tar: no such file"):
        find_tars(str(tmp_path / "{0..1}.tar"))
    with pytest.raises(DataError, match="nothing matches"):
        find_tars(str(tmp_path / "*.none"))
