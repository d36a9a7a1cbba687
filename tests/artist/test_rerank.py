"""Drawing many and keeping the best, and scores of pictures against texts, with a clip that likes red."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import armchair
from armchair.artist import artist as artist_module
from armchair.artist import scores
from armchair.artist.artist import BATCH
from armchair.artist.redo import redo, same_pixels
from armchair.core.errors import BadInput, Unsupported
from armchair.core.picture import Picture


class LikesRed:
    """The score of a picture is its mean red, of text "blue" its mean blue."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def score(self, images: Sequence[Image.Image], texts: Sequence[str]) -> torch.Tensor:
        self.texts += texts
        mean = [np.array(image, float).mean(axis=(0, 1)) / 255 for image in images]
        return torch.tensor([[rgb[2 if text == "blue" else 0] for text in texts] for rgb in mean])


@pytest.fixture
def clip(monkeypatch: pytest.MonkeyPatch) -> LikesRed:
    model = LikesRed()
    for module in (artist_module, scores):
        monkeypatch.setattr(
            module, "load_clip", lambda name, device, need="": (model, SimpleNamespace(digest="c" * 64))
        )
    return model


def red(picture: Picture) -> float:
    return float(np.array(picture.image, float)[..., 0].mean())


def test_the_best_of_many(shipped: Path, clip: LikesRed):
    """Twenty drawn, three kept: the reddest, in order, each the same as drawn alone with its seed."""
    artist = armchair.load("toy")
    every = artist.generate("a red apple", n=20, seed=7)
    best = artist.generate("a red apple", n=3, seed=7, rerank=20)
    expected = sorted(every, key=lambda p: -red(p))[:3]
    assert [p.seed for p in best] == [p.seed for p in expected]
    assert all(same_pixels(a.image, b.image) for a, b in zip(best, expected, strict=True))
    assert clip.texts == ["a red apple"]


def test_the_recipe_tells_the_rank_and_redo_needs_no_clip(shipped: Path, clip: LikesRed):
    """The chosen seed draws the picture; ranking again could choose another one."""
    best = armchair.load("toy").generate("x", n=2, seed=1, rerank=9)
    told = [p.recipe["rerank"] for p in best]
    assert [(row["of"], row["rank"], row["clip"]) for row in told] == [(9, 1, "c" * 64), (9, 2, "c" * 64)]
    assert told[0]["score"] >= told[1]["score"]
    clip.texts.clear()
    for picture in best:
        assert picture.recipe["seed"] == picture.seed
        assert same_pixels(redo(picture.recipe).image, picture.image)
    assert clip.texts == []


def test_at_least_as_many_are_drawn_as_kept(shipped: Path, clip: LikesRed):
    """rerank below n: all n, best first. rerank 1 ranks nothing and needs no clip."""
    artist = armchair.load("toy")
    assert [red(p) for p in artist.generate("x", n=5, seed=1, rerank=2)] == sorted(
        [red(p) for p in artist.generate("x", n=5, seed=1)], reverse=True
    )
    clip.texts.clear()
    assert [p.seed for p in artist.generate("x", n=2, seed=1, rerank=1)] == [1, 2]
    assert clip.texts == []


def test_previews_count_all_batches_and_show_nothing(shipped: Path, clip: LikesRed):
    """Whoever shows previews one a picture must not be handed twenty for one that is kept."""
    artist = armchair.load("toy")
    job = artist.job("x", seed=1, rerank=BATCH + 2, options={})
    assert job.count == 1
    events = list(artist.draw(job))
    assert isinstance(events[-1], Picture) and len(events) == 5
    previews = [event for event in events if not isinstance(event, Picture)]
    assert [(p.index, p.total) for p in previews] == [(i, 4) for i in range(4)]
    assert all(p.images.shape == (0, 3, 16, 16) for p in previews)


@pytest.mark.parametrize("rerank", [0, 513, 2.0, True])
def test_how_many_can_be_drawn(shipped: Path, rerank: object):
    with pytest.raises(BadInput, match=f"rerank is {rerank!r}; 1 to 512"):
        armchair.load("toy").generate("x", rerank=rerank)  # type: ignore[arg-type]


def test_a_bundle_of_another_kind(shipped: Path):
    with pytest.raises(Unsupported, match="rerank needs a clip bundle; toy is a toy bundle"):
        armchair.load("toy").generate("x", rerank=4, clip="toy")


def test_score(shipped: Path, clip: LikesRed, tmp_path: Path):
    """Pictures and paths, in rows of texts."""
    rgb = {"red": (255, 0, 0), "blue": (0, 0, 255), "grey": (51, 51, 51)}
    pictures = {name: Image.new("RGB", (9, 5), colour) for name, colour in rgb.items()}
    pictures["grey"].save(tmp_path / "grey.png")
    rows = armchair.score([pictures["red"], pictures["blue"], tmp_path / "grey.png"], ["red", "blue"])
    assert list(itertools.chain(*rows)) == pytest.approx([1, 0, 0, 1, 0.2, 0.2])


@pytest.mark.parametrize(
    ("images", "texts", "words"),
    [
        ([], ["x"], "no pictures"),
        (["a.png"], [], "no texts"),
        (["a.png"], "x", "texts is one text, 'x'"),
        ("a.png", ["x"], "images is one picture"),
        (["missing.png"], ["x"], "missing.png: no such file"),
        ([Image.new("RGB", (2, 2))], ["x", " "], "a text is empty"),
    ],
)
def test_what_cannot_be_scored(shipped: Path, images, texts, words: str):
    """Told before a network is loaded."""
    with pytest.raises(BadInput, match=words):
        armchair.score(images, texts)
