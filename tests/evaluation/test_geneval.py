"""GenEval's rules, on readings written by hand."""

from __future__ import annotations

import pytest

from armchair.data.world.layout import Box
from armchair.evaluation.geneval import fulfils, scored, shuffled
from armchair.evaluation.prompts import Prompt, Wanted
from armchair.judge.reading import Found, Reading

LEFT, RIGHT, TOP = Box(0.25, 0.5, 0.4, 0.4), Box(0.75, 0.5, 0.4, 0.4), Box(0.25, 0.1, 0.4, 0.2)


def seen(*found: tuple[str, Box, str], style: str = "flat", background: str = "white") -> Reading:
    rows = tuple(Found(name, 0.9 - 0.1 * i, box, colour) for i, (name, box, colour) in enumerate(found))
    return Reading(rows, style, background, None)


def asked(task: str, *things: Wanted, **more) -> Prompt:
    return Prompt(id=f"{task}/x", task=task, en="", ko="", things=things, **more)  # type: ignore[arg-type]


CAT, DOG = ("cat", LEFT, "natural"), ("dog", RIGHT, "red")
ONE, TWO = asked("single", Wanted(concept="cat")), asked("two", Wanted(concept="cat"), Wanted(concept="dog"))
PAIR = asked("counting", Wanted(concept="cat", count=2))
BLUE = asked("colours", Wanted(concept="cat", colour="blue"))
BESIDE = asked("position", Wanted(concept="cat"), Wanted(concept="dog"), relation="left of")
BOTH = asked("attribution", Wanted(concept="cat", colour="blue"), Wanted(concept="dog", colour="red"))
STYLED = asked("style", Wanted(concept="cat"), style="flat", background="snow")


@pytest.mark.parametrize(
    ("prompt", "reading", "right"),
    [
        (ONE, seen(CAT), True),
        (ONE, seen(DOG, CAT), True),  # other things do no harm
        (ONE, seen(DOG), False),
        (ONE, seen(), False),
        (TWO, seen(CAT, DOG), True),
        (TWO, seen(CAT, ("cat", RIGHT, "red")), False),
        (PAIR, seen(CAT, ("cat", RIGHT, "red")), True),
        (PAIR, seen(CAT), False),
        (PAIR, seen(CAT, ("cat", RIGHT, "red"), ("cat", TOP, "red")), False),  # exactly as many
        (BLUE, seen(("cat", LEFT, "blue")), True),
        (BLUE, seen(CAT), False),  # natural is no colour
        (BLUE, seen(CAT, ("cat", RIGHT, "blue")), False),  # the surest one counts
        (BLUE, seen(CAT, ("dog", RIGHT, "blue")), False),  # the colour of the thing that was named
        (BESIDE, seen(CAT, DOG), True),
        (BESIDE, seen(("cat", RIGHT, "red"), ("dog", LEFT, "red")), False),
        (BESIDE, seen(CAT, ("dog", TOP, "red")), False),
        (BESIDE, seen(CAT, ("dog", Box(0.3, 0.5, 0.4, 0.4), "red")), False),  # nearly the same place
        (BESIDE, seen(CAT), False),
        (BOTH, seen(("cat", LEFT, "blue"), DOG), True),
        (BOTH, seen(("cat", LEFT, "red"), ("dog", RIGHT, "blue")), False),  # swapped
        (STYLED, seen(CAT, background="snow"), True),
        (STYLED, seen(CAT, background="white"), False),
        (STYLED, seen(CAT, style="line", background="snow"), False),
        (STYLED, seen(DOG, background="snow"), False),
    ],
)
def test_rules(prompt: Prompt, reading: Reading, right: bool):
    """One rule a line; a judge's table is worth what these say."""
    assert fulfils(prompt, reading) is right


def test_scores_and_their_floor():
    """Every picture scores for its own prompt; the floor scores it for the others of the task."""
    cat, dog, cow = (
        Prompt(id=name, task="single", en=name, ko=name, things=(Wanted(concept=name),))
        for name in ("cat", "dog", "cow")
    )
    readings = {
        ("cat", "en"): [seen(CAT), seen(CAT, DOG)],
        ("dog", "ko"): [seen(CAT)],
        ("cow", "en"): [seen()],
    }
    prompts = [cat, dog, cow, TWO]
    assert scored(prompts, readings) == {
        "single": {"cat": {"en": [1, 1]}, "dog": {"ko": [0]}, "cow": {"en": [0]}}
    }
    assert shuffled(prompts, readings) == {
        "single": {"cat": {"en": [0, 0.5]}, "dog": {"ko": [0.5]}, "cow": {"en": [0]}}
    }
