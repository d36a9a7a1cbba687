"""A picture carries its recipe, and saving one never costs another."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from armchair.core.errors import ArmchairError, BadInput
from armchair.core.picture import Picture, file_name, read_recipe

PICTURE = Picture(
    image=Image.new("RGB", (4, 4), "red"),
    seed=7,
    prompt="빨간 사과, a red apple!",
    recipe={"seed": 7, "prompt": "빨간"},
)


def test_the_recipe_travels_in_the_png(tmp_path: Path):
    """redo needs the recipe, Hangul and all, and the pixels unchanged."""
    path = PICTURE.save(tmp_path)
    assert path.name == "7-빨간-사과-a-red-apple.png"
    assert read_recipe(path) == {"seed": 7, "prompt": "빨간"}
    with Image.open(path) as image:
        assert np.array_equal(np.array(image), np.array(PICTURE.image))


def test_save_never_overwrites(tmp_path: Path):
    """The same prompt and seed twice: two files."""
    names = [PICTURE.save(tmp_path / "a.png").name for _ in range(3)]
    assert names == ["a.png", "a-2.png", "a-3.png"]
    with pytest.raises(BadInput, match="saved as .png"):
        PICTURE.save(tmp_path / "a.jpg")


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Issue 2, section 8: nothing is lost and nothing half-written stays."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(ArmchairError, match="no space left"):
        PICTURE.save(tmp_path / "a.png")
    assert os.listdir(tmp_path) == []


def test_pictures_without_a_recipe_say_so(tmp_path: Path):
    """redo of somebody else's picture."""
    PICTURE.image.save(tmp_path / "x.png")
    with pytest.raises(BadInput, match="holds no recipe"):
        read_recipe(tmp_path / "x.png")
    PICTURE.image.save(tmp_path / "x.jpg")
    with pytest.raises(BadInput, match="holds no recipe"):
        read_recipe(tmp_path / "x.jpg")


def test_file_names_are_safe():
    """Paths, dots and emoji in a prompt must not leave the folder or break a file system."""
    assert file_name(1, "../../etc/passwd") == "1-etc-passwd.png"
    assert file_name(2, "!!! 🍎") == "2.png"
    assert file_name(3, "가" * 300) == f"3-{'가' * 60}.png"
    assert file_name(4, "a_b") == "4-a-b.png"
