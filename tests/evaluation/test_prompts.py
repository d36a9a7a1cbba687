"""The fixed prompts: what they promise of themselves, and that the renderer can draw every one of them."""

from __future__ import annotations

import hashlib
from collections import Counter
from importlib.resources import files

import pytest

from armchair.data.world.captions import unseen_words
from armchair.data.world.concepts import find_concept, load_concepts
from armchair.data.world.scene import BACKGROUNDS, COLOURS, STYLES, held_out
from armchair.data.world.shapes import shape_of
from armchair.evaluation.geneval import fulfils
from armchair.evaluation.prompts import SEEDS, STRATA, Prompt, chosen, load_prompts
from armchair.evaluation.scenes import compose
from tests.evaluation.worlds import reading

PROMPTS = load_prompts().prompts
SHA256 = {1: "7b34000156b12ddffb1c852a9b5cb0b09fb31d66908ad804551a48a0424e6ee3"}


def test_the_file_is_fixed():
    """Scores compare only on the same prompts: a changed file needs another version number."""
    data = (files("armchair.evaluation") / "prompts.json").read_bytes()
    assert hashlib.sha256(data).hexdigest() == SHA256[load_prompts().version]


def test_sizes():
    """Twenty prompts a stratum, in the table's order; the short version has six to eight of each."""
    assert Counter(p.stratum for p in PROMPTS) == dict.fromkeys(STRATA, 20)
    assert list(dict.fromkeys(p.stratum for p in PROMPTS)) == list(STRATA)
    assert set(Counter(p.stratum for p in chosen(quick=True)).values()) == {6, 8}
    assert len({p.id for p in PROMPTS}) == len({p.en for p in PROMPTS}) == len({p.ko for p in PROMPTS}) == 160


def pairs(prompt: Prompt) -> list[tuple[str, str]]:
    """Concepts that meet, and concepts with their colours."""
    names = [thing.concept for thing in prompt.things]
    met = [(names[0], names[1])] if len(names) == 2 else []
    return met + [(t.concept, t.colour) for t in prompt.things if t.colour is not None]


@pytest.mark.parametrize("stratum", STRATA)
def test_what_is_asked_for(stratum: str):
    """Everyday concepts that the judge knows, words that captions hold, a colour that is not the thing's own
    ("a red apple" says nothing), and pairs on the right side of the held-out split.
    """
    for prompt in (p for p in PROMPTS if p.stratum == stratum):
        check(prompt)


def check(prompt: Prompt) -> None:
    names = [concept.name for concept in load_concepts()[:64]]
    assert all(thing.concept in names for thing in prompt.things)
    assert unseen_words(prompt.en) == unseen_words(prompt.ko) == []
    for thing in prompt.things:
        if thing.colour is not None:
            assert thing.colour in COLOURS and find_concept(thing.concept).kind != "person"
            assert thing.colour not in {shape_of(thing.concept, style).colour for style in STYLES}
    assert any(held_out(*pair) for pair in pairs(prompt)) == prompt.held_out
    shape = (len(prompt.things), prompt.relation is not None, prompt.things[0].colour is not None)
    expected = {
        "single": (1, False, False), "two": (2, False, False), "counting": (1, False, False),
        "colours": (1, False, True), "position": (2, True, False), "attribution": (2, False, True),
        "style": (1, False, False),
    }  # fmt: skip
    assert shape == expected[prompt.task]
    assert (prompt.things[0].count > 1) == (prompt.task == "counting")
    assert (prompt.style in STYLES and prompt.background in BACKGROUNDS) == (prompt.task == "style")


def test_the_renderer_draws_what_is_asked_for():
    """A judge without a fault finds every render right: the ceiling falls short by the judge's faults alone.
    Composed as the prompt says, in any style, with every seed another scene.
    """
    for prompt in PROMPTS:
        scenes = [compose(prompt, seed) for seed in SEEDS]
        assert all(fulfils(prompt, reading(scene)) for scene in scenes), prompt.id
        assert len({scene.things for scene in scenes}) == len(SEEDS)
        assert compose(prompt, 1) == scenes[0]
        for scene in scenes:
            assert all(t.tint != scene.background for t in scene.things)
            assert not any(t.tint == "black" and t.style == "line" for t in scene.things)


def test_every_side_and_style_is_asked_for():
    """Five prompts a side, four a style: a model that always draws the first thing on the left scores a
    quarter.
    """
    rows = [p for p in PROMPTS if not p.held_out]
    assert set(Counter(p.relation for p in rows if p.relation).values()) == {5}
    assert Counter(p.style for p in rows if p.style) == dict.fromkeys(STYLES, 4)
    assert {p.background for p in rows if p.background} == set(BACKGROUNDS)
    assert set(Counter(p.things[0].count for p in rows if p.task == "counting")) == {2, 3, 4}
