"""The suites of captioners and writers: a perfect one scores its ceiling, a useless one nothing."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from armchair.data.world.reading import read
from armchair.data.world.scene import sample_scene
from armchair.evaluation import caption_suite, writer_suite
from armchair.evaluation.caption_suite import WORLD, captions, overlap
from armchair.evaluation.scenes import said
from armchair.evaluation.session import Session
from armchair.evaluation.suites import suites_of
from armchair.evaluation.writer_suite import writing
from tests.evaluation.worlds import ART
from tests.writer.tiny import saying


class Captioner:
    """Knows the scenes in the order in which they are shown: all of them for each language and kind."""

    languages = ("en", "ko")
    device = torch.device("cpu")
    config = SimpleNamespace(clip=SimpleNamespace(image_size=16))

    def __init__(self, right: bool):
        self.right = right

    def caption(self, images: torch.Tensor, kind: str, language: str) -> list[str]:
        assert images.shape[1:] == (3, 16, 16)
        if not self.right:
            return ["a volcano on a plain red background"] * len(images)
        return [said(sample_scene(i, WORLD), "long", language) for i in range(len(images))]


def session(**changes) -> Session:
    found = object.__new__(Session)
    found.__dict__.update(
        {"quick": True, "device": "cpu", "bundle": None, "_art": ART, "uses": {}, **changes}
    )
    found.__dict__["tell"] = lambda *_: None
    return found


@pytest.mark.parametrize("right", [True, False])
def test_captions(monkeypatch: pytest.MonkeyPatch, right: bool):
    """By things, colours, counts and relations, with the scenes' own captions as the ceiling."""
    monkeypatch.setattr(caption_suite, "SCENES", {True: 12})
    model = SimpleNamespace(from_bundle=lambda *_: Captioner(right))
    monkeypatch.setattr(caption_suite, "CaptionerModel", model)
    found = captions(session())
    value = found.values["overall"]
    assert value.ceiling == pytest.approx(1, abs=0.02)
    if right:
        assert value.value == pytest.approx(value.ceiling)
        assert found.values[f"long: {caption_suite.OVERLAP}"].value == 1
    else:
        assert found.values["long: objects"].value == 0 == found.values["short: main"].value


def test_captions_in_languages_that_nobody_told(monkeypatch: pytest.MonkeyPatch):
    """A captioner of somebody's folder knows no languages: it is asked in both, and one scene of which it
    says nothing leaves the rest comparable.
    """
    monkeypatch.setattr(caption_suite, "SCENES", {True: 12})

    class Silent(Captioner):
        languages = ()

        def caption(self, images: torch.Tensor, kind: str, language: str) -> list[str]:
            texts = super().caption(images, kind, language)
            return ["", *texts[1:]] if language == "ko" else texts

    monkeypatch.setattr(caption_suite, "CaptionerModel", SimpleNamespace(from_bundle=lambda *_: Silent(True)))
    found = captions(session())
    assert found.values["English"].value > found.values["Korean"].value > 0.7
    assert found.paired["Korean - English"].value < 0


def test_overlap():
    assert overlap("A red cat.", "a red dog") == pytest.approx(2 / 3)
    assert overlap("", "a") == 0


def test_writing(monkeypatch: pytest.MonkeyPatch):
    """What the network says by itself and what people get are told apart: repairs must not flatter it."""
    monkeypatch.setattr(writer_suite, "PAIRS", {True: 16})
    model = SimpleNamespace(from_bundle=lambda *_: saying(lambda *_: ["a volcano"] * 4))
    monkeypatch.setattr(writer_suite, "WriterModel", model)
    found = writing(session())
    assert found.values["overall"].value == 0 == found.values["network: other frames"].value
    assert found.values["writer: prompts"].value == 1
    assert found.values["writer: requests"].value > 0.8 and 0 < found.values["distinct-2"].value < 1
    assert {"network: trained frames", "network: requests"} <= set(found.scores)


def test_names():
    assert suites_of("captioner", None) == ["captions"] and suites_of("writer", "all") == ["writing"]
    assert read("a cat").things
