"""`check`: the report on a data set that a person reads before training."""

import json
from pathlib import Path

import pytest
from PIL import Image

from armchair.core.errors import DataError
from armchair.data.check import check


def picture(folder: Path, name: str, size: tuple[int, int], value: int, caption: str | None) -> None:
    Image.new("RGB", size, (value, 0, 0)).save(folder / name)
    if caption is not None:
        (folder / name).with_suffix(".txt").write_text(caption, encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    picture(tmp_path, "1.png", (64, 64), 1, "a photo of a red apple on a wooden table")
    picture(tmp_path, "2.png", (64, 64), 1, "빨간 사과가 나무 탁자 위에 있다")
    picture(tmp_path, "3.png", (400, 80), 3, "a very wide picture of the sea")
    picture(tmp_path, "4.png", (70, 64), 4, "apple")
    picture(tmp_path, "5.png", (30, 30), 5, "photographed on 3 May 2014")
    picture(tmp_path, "6.png", (64, 64), 6, None)
    picture(tmp_path, "7.png", (64, 64), 7, "a picture that cannot be read")
    (tmp_path / "7.png").write_bytes(b"no")
    return tmp_path


def test_the_report(folder):
    """Counts, every skipped file, what each filter would drop, histograms, duplicates and ten pairs."""
    report = check(folder)
    assert (report.kind, report.samples, report.examined) == ("folder", 6, 6)
    assert (report.readable, report.captions) == (5, 5)
    assert report.skipped == {"no caption": ["6.png"], "not a picture": ["7.png"]}
    assert report.filtered == {
        "caption too short": 1,
        "caption mostly boilerplate": 1,
        "language not en or ko": 0,
        "aspect ratio outside [1/2, 2]": 1,
    }
    assert report.passing == 2
    assert report.lengths == {"1": 1, "2": 0, "3-4": 0, "5-9": 3, "10-19": 1}
    assert report.languages["ko"] == 1
    assert report.sides == {"1-63": 1, "64-127": 4}
    assert (report.smallest, report.largest) == ((30, 30), (400, 80))
    assert report.duplicates == [["1.png", "2.png"]]
    assert [pair.key for pair in report.pairs] == ["1.png", "2.png", "3.png", "4.png", "5.png"]
    assert report.pairs[2].captions == ("a very wide picture of the sea",)
    assert report.sheet.width > 5 * 160
    told = json.loads(json.dumps(report.to_json()))
    assert "sheet" not in told and told["pairs"][0]["key"] == "1.png" and told["passing"] == 2


def test_a_part_of_a_large_set(tmp_path):
    """A limit looks at a random part, the same part for the same seed."""
    for number in range(30):
        picture(tmp_path, f"{number:02}.png", (8, 8), number, None)
    report, again, other = (
        check(tmp_path, limit=12),
        check(tmp_path, limit=12),
        check(tmp_path, limit=12, seed=1),
    )
    assert (report.samples, report.examined, len(report.pairs)) == (30, 12, 10)
    assert report.pairs == again.pairs != other.pairs
    assert report.captions == 0 and report.languages == {} and report.lengths == {} and report.passing == 12


def test_nothing_to_report(tmp_path):
    """A set of unreadable pictures is an error with its reasons, not an empty report."""
    (tmp_path / "1.png").write_bytes(b"no")
    with pytest.raises(DataError, match="none of the 1 pictures.*1 not a picture"):
        check(tmp_path)
    with pytest.raises(DataError, match="limit 0"):
        check(tmp_path, limit=0)
