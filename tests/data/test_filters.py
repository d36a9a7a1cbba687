"""DALL·E 1's filters: what they drop, what they must not, and that every drop is counted."""

import sys

import numpy as np
import pytest

from armchair.core.errors import BadInput, DataError, MissingDependency
from armchair.core.task import Caption, Sample
from armchair.data import filters
from armchair.data.filters import (
    AspectRatio,
    Boilerplate,
    Filtered,
    InLanguage,
    ShortCaption,
    boilerplate_share,
    language_of,
    paper_filters,
)
from armchair.data.pictures import Entry


class Listed:
    """A source from a list of (key, (width, height), captions)."""

    def __init__(self, *rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        key, (width, height), texts = self.rows[index]
        captions = tuple(text if isinstance(text, Caption) else Caption(text) for text in texts)
        return Sample(key, np.zeros((height, width, 3), np.uint8), captions)

    def describe(self):
        return {"kind": "list"}


def keeps(filter, *texts) -> list[str]:
    captions = tuple(text if isinstance(text, Caption) else Caption(text) for text in texts)
    left = filter(Entry("k", captions, lambda: (1, 1)), captions)
    return [caption.text for caption in left]


@pytest.mark.parametrize(
    "text",
    [
        "photographed on 3 May 2014",
        "Photographed on Monday, 12 June 2006 12:33 by John Smith",
        "IMG_2031.jpg",
        "DSC00012",
        "stock photo",
        "www.example.com/cat",
        "© 2011 Getty Images",
        "2014년 5월 3일 촬영",
        "Untitled",
        "!!!",
    ],
)
def test_boilerplate_is_dropped(text):
    """The paper's example and its kin, in both languages."""
    assert keeps(Boilerplate(), text) == []


@pytest.mark.parametrize(
    "text",
    [
        "march of the penguins",
        "a may pole",
        "photo of a man on a horse",
        "a dog on the beach in march 2014 with friends",
        "빨간 사과 사진",
        "three dogs on 5th avenue",
        "an august ceremony in a marble hall",
    ],
)
def test_captions_that_only_look_like_boilerplate_stay(text):
    """A filter that drops good captions costs more than one that lets junk through."""
    assert keeps(Boilerplate(), text) == [text]
    assert boilerplate_share(text) <= 0.5


def test_short_captions():
    """Counted in words; scripts without spaces count by character."""
    assert keeps(ShortCaption(), "apple", "red apple", "don't", "사과", "빨간 사과", "赤い花", "…") == [
        "red apple",
        "빨간 사과",
        "赤い花",
    ]
    assert keeps(ShortCaption(words=3), "red apple", "a red apple") == ["a red apple"]


def test_language():
    """English and Korean stay, also short and ambiguous ones; a label is believed."""
    kept = ["a red apple", "빨간 사과", "koala", "two cats, flat style", "IMG_2031 빨간 apple"]
    lost = ["un chat noir sur une table", "ein roter Apfel auf dem Tisch", "赤いりんご", "красное яблоко"]
    assert keeps(InLanguage(), *kept, *lost) == kept
    assert keeps(InLanguage(languages=("en",)), *kept[:2]) == kept[:1]
    assert keeps(InLanguage(languages=("fr",)), *lost) == lost[:1]
    assert keeps(InLanguage(), Caption("un chat noir sur une table", "alt", "en")) == [
        "un chat noir sur une table"
    ]
    texts = ("빨간 사과", "a photo of a dog riding a skateboard", "123")
    assert [language_of(text) for text in texts] == ["ko", "en", ""]
    with pytest.raises(BadInput, match="'klingon'"):
        keeps(InLanguage(languages=("klingon",)), "a red apple")


def test_language_without_its_package(monkeypatch):
    """py3langid belongs to an extra; its absence names the extra."""
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    filters._identifier.cache_clear()
    with pytest.raises(MissingDependency, match=r"armchair\[train\]"):
        keeps(InLanguage(), "a red apple")


def test_every_drop_is_counted():
    """Samples and captions by the filter that removed them, duplicates by key."""
    source = Listed(
        ("a", (4, 4), ["a red apple on a table", "apple", "stock photo"]),
        ("b", (9, 4), ["a red apple on a table"]),
        ("c", (8, 4), ["a red apple on a table"]),
        ("d", (4, 4), ["apple", "photographed on 3 May 2014"]),
        ("a", (4, 4), ["a second one of this key"]),
        ("e", (4, 4), []),
    )
    kept = Filtered(source, paper_filters())
    assert [kept[index].key for index in range(len(kept))] == ["a", "c", "e"]
    assert [caption.text for caption in kept[0].captions] == ["a red apple on a table"]
    assert [caption.text for caption in kept.peek(0).captions] == ["a red apple on a table"]
    assert kept.dropped == {
        "aspect ratio outside [1/2, 2]": 1,
        "caption mostly boilerplate": 1,
        "duplicate key": 1,
    }
    assert kept.skipped["duplicate key"] == ["a"]
    assert kept.captions_dropped == {"caption too short": 2, "caption mostly boilerplate": 2}
    described = kept.describe()
    assert described["kind"] == "list" and described["samples"] == 3
    assert described["skipped"]["aspect ratio outside [1/2, 2]"] == 1
    with pytest.raises(IndexError):
        kept[3]


def test_filters_that_leave_nothing():
    """An empty training set must not start a run."""
    with pytest.raises(DataError, match="none of 1 samples.*1 aspect ratio outside"):
        Filtered(Listed(("a", (4, 9), ["words and words"])), [AspectRatio()])
    assert len(Filtered(Listed(("a", (4, 9), ["words"])), [AspectRatio(most=3)])) == 1


def test_unreadable_files_under_a_filter(tmp_path):
    """A broken header is counted while filtering, a broken body while reading, and neither ends a run."""
    from PIL import Image

    from armchair.data.folder import Folder

    for name in "abcd":
        Image.effect_noise((64, 64), 50).save(tmp_path / f"{name}.png")
    (tmp_path / "a.png").write_bytes(b"no")
    data = (tmp_path / "b.png").read_bytes()
    (tmp_path / "b.png").write_bytes(data[: len(data) // 2])
    kept = Filtered(Folder(tmp_path), [AspectRatio()])
    assert kept.skipped == {"not a picture": ["a.png"]}
    assert [kept[index].key for index in range(3)] == ["c.png", "c.png", "d.png"]
    assert kept.skipped["truncated or damaged"] == ["b.png"]
