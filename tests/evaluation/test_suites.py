"""Suites from end to end, with an artist, a judge and a clip that know what they do in place of networks."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from armchair.artist.scores import load_clip
from armchair.core.errors import BadInput, Unsupported
from armchair.data.world.scene import sample_scene
from armchair.evaluation import clip_suites, drawing
from armchair.evaluation.drawing import WORLD, flat_colours
from armchair.evaluation.prompts import SIX, STRATA
from armchair.evaluation.scenes import pictures, said
from armchair.evaluation.session import Session, at_side
from armchair.evaluation.suites import NAMES, SUITES, evaluate, suites_of
from armchair.judge.reading import Reading
from tests.evaluation.worlds import ART, Drawn, Towers, session


def test_which_suites():
    """By default all of the kind's own; a wrong name, another kind's suite, a kind without any."""
    assert suites_of("dalle1", None) == ["reconstruction", "distance", "clipscore", "geneval"]
    assert suites_of("clip", "all") == ["retrieval", "zeroshot"]
    assert suites_of("judge", "judge") == ["judge"]
    with pytest.raises(BadInput, match="no suite 'genval'. Did you mean 'geneval'"):
        suites_of("dalle1", "genval")
    with pytest.raises(
        Unsupported, match="prior is no suite of dalle1 bundles; theirs are reconstruction, dist"
    ):
        suites_of("dalle1", "prior")
    with pytest.raises(Unsupported, match="no suite for text bundles; there are for dalle1, dalle2, "):
        suites_of("text", None)
    assert all(name in NAMES for own in SUITES.values() for name in own)


def test_geneval(shipped: Path, tmp_path: Path):
    """English all right, Korean half; the ceiling one, since this judge errs never; the floor far below;
    pictures of each prompt asked for once, also where a second suite needs them.
    """
    made = session(shipped / "toy", save=tmp_path)
    result = drawing.geneval(made)
    value = result.values["overall"]
    assert value.value == 0.75 and value.ceiling == 1.0
    assert value.floor is not None and value.floor < 0.1
    assert value.n == 12
    assert (result.values["English"].value, result.values["Korean"].value) == (1.0, 0.5)
    assert result.paired["Korean - English"].value == -0.5
    assert result.paired["Korean - English"].interval == (-0.5, -0.5)
    assert list(result.scores) == list(STRATA)
    assert result.headline == SIX
    assert result.n == 16 * 2 * 4 == len(list(tmp_path.glob("*.png")))
    drawing.clipscore(made)
    assert len(made.artist.asked) == len(set(made.artist.asked)) == 32  # type: ignore[attr-defined]
    assert made.uses == {"clip": "c" * 64, "judge": "d" * 64}


def test_clipscore(shipped: Path):
    """A picture's own text, in its own language: this clip gives every picture of a text the same score."""
    made = session(shipped / "toy", few=2)

    class Same(Towers):
        def image_emb(self, images: Tensor) -> Tensor:
            return torch.nn.functional.one_hot(torch.zeros(len(images), dtype=torch.int64), 12).float()

        def text_emb(self, texts):
            first = torch.tensor([p.en in texts for p in made.prompts])
            cosine = torch.where(
                first.any(), torch.linspace(0.2, 0.8, len(texts)), 0.1 * torch.ones(len(texts))
            )
            rest = (1 - cosine**2).sqrt()
            return torch.stack([cosine, rest, *[torch.zeros(len(texts))] * 10], dim=1)

    made.__dict__["_clip"] = (Same(), SimpleNamespace(digest="c"))
    result = drawing.clipscore(made)
    expected = 100 * torch.linspace(0.2, 0.8, len(made.prompts)).mean().item()
    assert result.values["English"].value == pytest.approx(expected, abs=0.01)
    assert result.values["Korean"].value == pytest.approx(10.0, abs=0.01)
    assert result.values["English"].ceiling == pytest.approx(expected, abs=0.01)
    single = result.values["single"]
    assert single.floor == pytest.approx(single.value, abs=0.01)  # two prompts: each has the other's


class Copier:
    """An artist that draws the very scene that a caption is of."""

    name, sizes, device = "toy", ["64x64"], torch.device("cpu")

    def __init__(self, captions: int):
        scenes = [sample_scene(i, WORLD) for i in range(captions)]
        self.scenes = {said(s, "short", ("en", "ko")[i % 2]): s for i, s in enumerate(scenes)}

    def generate(self, prompt: str, *, n: int, seed: int):
        from armchair.core.images import to_image

        image = to_image(pictures([self.scenes[prompt]], 64, ART)[0])
        return [Drawn(image, seed + i, prompt) for i in range(n)]


def test_distance(shipped: Path, monkeypatch: pytest.MonkeyPatch):
    """Pictures that follow their captions lie as near to real ones as real ones do, flat colours far away."""
    monkeypatch.setitem(drawing.CAPTIONS, True, 24)
    monkeypatch.setitem(drawing.REAL, True, 120)
    made = session(shipped / "toy")
    made.__dict__["artist"] = Copier(24)
    result = drawing.distance(made)
    value = result.values["Frechet distance, CLIP"]
    assert value.ceiling is not None and value.floor is not None and value.interval is not None
    assert value.value < 3 * value.ceiling < value.floor
    assert value.interval[0] < value.value < value.interval[1]
    precision = result.values["precision, CLIP"]
    assert precision.ceiling is not None
    assert abs(precision.value - precision.ceiling) < 0.2
    assert result.n == 96


def test_reconstruction(shipped: Path, monkeypatch: pytest.MonkeyPatch):
    """A pipeline that keeps four pixels in one: much better than another scene's reconstruction."""
    monkeypatch.setitem(drawing.RECONSTRUCTED, True, 25)

    def reconstruct(x: Tensor) -> Tensor:
        assert x.shape[2:] == (32, 32), "the size that the codes hold, whatever it is enlarged to"
        return torch.nn.functional.interpolate(torch.nn.functional.avg_pool2d(x, 2), scale_factor=2)

    made = session(shipped / "toy")
    pipeline = SimpleNamespace(side=32, reconstruct=reconstruct)
    made.__dict__["artist"] = SimpleNamespace(pipeline=pipeline, sizes=["128x128"], device="cpu")
    values = drawing.reconstruction(made).values
    assert list(values) == ["PSNR", "SSIM"]
    for value in values.values():
        assert value.floor is not None and value.interval is not None
        assert value.interval[0] > value.floor


class Seeing(Towers):
    """Texts embed as the pictures of their scenes in English; a third of the Korean ones as black."""

    def __init__(self, known: dict[str, Tensor]):
        self.known = known

    def text_emb(self, texts):
        return torch.cat([self.known[text] for text in texts])


def test_retrieval(shipped: Path, monkeypatch: pytest.MonkeyPatch):
    """Right captions are found in both directions; what embeds to nothing is not."""
    monkeypatch.setitem(clip_suites.SCENES, True, 30)
    known: dict[str, Tensor] = {}
    made = session(shipped / "toy")
    for i in range(30):
        scene = sample_scene(i, clip_suites.WORLD)
        emb = Towers().image_emb(pictures([scene], 16, ART))
        for kind in ("long", "short"):
            known.setdefault(said(scene, kind, "en"), emb)
            known[said(scene, kind, "ko")] = emb if i % 3 else -emb
    monkeypatch.setattr(clip_suites, "own_clip", lambda session: Seeing(known))
    result = clip_suites.retrieval(made)
    assert result.values["English"].value == 1.0
    assert result.values["Korean"].value == pytest.approx(2 / 3, abs=0.05)
    assert result.values["overall"].floor == pytest.approx(1 / 30, abs=1e-4)
    assert result.paired["Korean - English"].interval is not None
    assert result.paired["Korean - English"].interval[1] < 0


def test_zeroshot(shipped: Path, monkeypatch: pytest.MonkeyPatch):
    """Classes that are the drawings' own embeddings name them; the floor is chance over all concepts."""
    monkeypatch.setitem(clip_suites.EVERY, True, 60)
    made = session(shipped / "toy")
    drawn = {}
    for style in ("glossy", "soft", "flat", "line", "sticker"):
        for concept in clip_suites.load_concepts()[::60]:
            scene = clip_suites.single(concept.name, style, seed=0)
            drawn.setdefault(concept.name, []).append(Towers().image_emb(pictures([scene], 16, ART)))
    names = [c.name for c in clip_suites.load_concepts()]

    def classes(embed, prompts):
        rows = [drawn[n][0] if n in drawn else torch.zeros(1, 12) for n in names]
        return torch.cat(rows) if prompts[0][0] == "a cat" else torch.zeros(len(names), 12)

    monkeypatch.setattr(clip_suites, "class_embeddings", classes)
    monkeypatch.setattr(clip_suites, "own_clip", lambda session: Towers())
    result = clip_suites.zeroshot(made)
    assert result.n == 30 and result.values["overall"].n == 6
    assert result.scores["glossy"]["cat"]["en"] == [1.0]
    assert all(row["en"] == [1.0] for row in result.scores["glossy"].values())
    assert result.values["glossy"].floor == pytest.approx(1 / len(names), rel=1e-3)
    assert result.values["Korean"].value < result.values["English"].value


def test_a_result_names_its_yardsticks(shipped: Path, monkeypatch: pytest.MonkeyPatch):
    """Each result those that its own suite used, and no other suite's."""
    made = session(shipped / "toy")
    monkeypatch.setitem(SUITES, "toy", {k: SUITES["dalle1"][k] for k in ("geneval", "clipscore")})
    told: list[str] = []
    made.tell = lambda what, done, total: told.append(what)
    first, second = evaluate(made, ["geneval", "clipscore"])
    assert first.uses == {"judge": "d" * 64} and second.uses == {"clip": "c" * 64}
    assert (first.model, first.kind, first.quick, first.sha256) == ("toy", "toy", True, made.bundle.digest)
    assert {"drawing the prompts", "judging"} <= set(told)


def test_missing_yardsticks(shipped: Path):
    """Named, with what is here instead."""
    made = Session(shipped / "toy", art=ART)
    with pytest.raises(Unsupported, match="this suite needs a judge bundle: unknown model 'judge'"):
        _ = made.reader
    with pytest.raises(Unsupported, match="this suite needs a clip bundle: unknown model 'clip'"):
        _ = made.clip
    with pytest.raises(Unsupported, match="rerank needs a clip bundle; toy is a toy bundle"):
        load_clip(shipped / "toy", need="rerank")


def test_pictures_are_read_at_64_pixels(shipped: Path):
    """Whatever size they were drawn at: larger ones are scaled with care, so that lines do not break."""
    made, sizes = session(shipped / "toy"), []
    reader = SimpleNamespace(
        read=lambda x: sizes.append(tuple(x.shape)) or [Reading((), "flat", "sky", None)]
    )
    made.__dict__["_judge"] = (reader, SimpleNamespace(digest="d"))
    made.read(torch.zeros(1, 3, 256, 256, dtype=torch.uint8))
    assert sizes == [(1, 3, 64, 64)]
    stripes = (torch.arange(128) % 2).float().expand(1, 3, 128, 128)
    assert at_side(stripes, 64)[..., 8:-8].sub(0.5).abs().max() < 0.1
    assert at_side(stripes, 256, grow=False) is stripes


def test_a_thousand_prompts_make_no_notes(
    shipped: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """ "has never seen the word" for every caption would bury the table; drawing for people keeps it."""
    made = Session(shipped / "toy", art=ART)
    assert made.draw("a zebra", [1, 2], ["a.png", "b.png"]).shape == (2, 3, 16, 16)
    assert caplog.records == []
    made.artist.generate("a zebra", seed=1)
    assert "zebra" in caplog.text


def test_flat_colours():
    """The mean of each picture and channel, everywhere."""
    images = torch.tensor([[0, 100], [200, 100]], dtype=torch.uint8).expand(2, 3, 2, 2)
    assert (flat_colours(images) == 100).all()
