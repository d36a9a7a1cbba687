"""Durable files: a crash or a full disk must never cost what was there before."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from armchair.core import files
from armchair.core.errors import ArmchairError, BadInput


def full(*_: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_full_disk_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str):
    """Saving over a good file on a full disk: the old bytes stay, one line says why, no litter is left."""
    path = tmp_path / "a.json"
    files.write_json(path, {"old": 1})
    before = path.read_bytes()
    monkeypatch.setattr(os, call, full)
    with pytest.raises(ArmchairError, match="no space left") as caught:
        files.write_json(path, {"new": 2})
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.json"]


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """os.write may write less than asked; the rest must follow."""
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, bytes(data[:3])))
    files.write_bytes(tmp_path / "a", b"0123456789")
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_write_new_never_overwrites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A picture on disk is somebody's: also where the file system has no hard links."""
    assert files.write_new(tmp_path / "a", b"1")
    assert not files.write_new(tmp_path / "a", b"2")

    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", no_links)
    assert not files.write_new(tmp_path / "a", b"2")
    assert files.write_new(tmp_path / "b", b"3")
    assert (tmp_path / "a").read_bytes() == b"1"
    assert (tmp_path / "b").read_bytes() == b"3"
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]
    assert [files.write_beside(tmp_path / "c.png", b"4").name for _ in range(3)] == [
        "c.png",
        "c-2.png",
        "c-3.png",
    ]


def test_new_folder_appears_whole_or_not_at_all(tmp_path: Path):
    """A bundle half written must not look like a bundle."""
    with pytest.raises(ZeroDivisionError), files.new_folder(tmp_path / "b") as temp:
        (temp / "x").write_text("1")
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []
    with files.new_folder(tmp_path / "b") as temp:
        (temp / "x").write_text("1")
        assert not (tmp_path / "b").exists()
    assert os.listdir(tmp_path) == ["b"]


def test_new_folder_replaces_only_when_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Without `replace` an occupied name is refused; with it a failure in between keeps the old folder."""
    with files.new_folder(tmp_path / "b") as temp:
        (temp / "x").write_text("old")
    with pytest.raises(BadInput, match="exists"), files.new_folder(tmp_path / "b"):
        pass
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with (
            pytest.raises(ArmchairError, match="no space"),
            files.new_folder(tmp_path / "b", replace=True) as temp,
        ):
            (temp / "x").write_text("new")
    assert (tmp_path / "b" / "x").read_text() == "old"
    with files.new_folder(tmp_path / "b", replace=True) as temp:
        (temp / "y").write_text("new")
    assert os.listdir(tmp_path / "b") == ["y"]
    assert os.listdir(tmp_path) == ["b"]


def test_a_full_disk_inside_new_folder_is_one_line(tmp_path: Path):
    """ENOSPC may also come from a library that writes a component."""
    with pytest.raises(ArmchairError, match="no space left"), files.new_folder(tmp_path / "b"):
        full()
    assert os.listdir(tmp_path) == []
