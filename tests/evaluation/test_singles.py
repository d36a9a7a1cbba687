"""The score of single objects: the right prompts, the right judge, an interval that means what it says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from armchair.data.world.concepts import load_concepts
from armchair.evaluation.singles import FORTY, SEEDS, Drawn, draw_singles, prompts, summary

NAMES = [concept.name for concept in load_concepts()]
GREY = Image.new("RGB", (8, 8), (90, 90, 90))


def test_prompts():
    """Forty concepts in two languages, in the plainest words: what a person would type."""
    asked = prompts()
    assert len(FORTY) == 40 and len(set(asked)) == len(asked) == 80
    assert asked[:2] == [("a cat", "en", "cat"), ("고양이", "ko", "cat")]
    assert ("an apple", "en", "apple") in asked and ("사과", "ko", "apple") in asked
    assert {concept for _, _, concept in asked} == set(FORTY)
    assert all(text.startswith(("a ", "an ")) for text, language, _ in asked if language == "en")


def test_nouns_without_an_article():
    """ "rice" and "scissors" take none: a prompt of broken English would measure the wrong thing."""
    others = [concept for concept in load_concepts() if concept.number != "count"]
    assert others
    for concept in others:
        assert prompts([concept.name])[0][0] == concept.en[0]


class Painter:
    """Stands for an artist: a picture whose colour tells which prompt and seed it was."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, int]] = []

    def generate(self, prompt: str, *, n: int, seed: int, **options: Any) -> list[Any]:
        assert options == {"guidance": 2.0}
        self.asked.append((prompt, n, seed))
        number = [text for text, _, _ in prompts()].index(prompt)
        return [
            SimpleNamespace(seed=seed + i, image=Image.new("RGB", (8, 8), (number, seed + i, 0)))
            for i in range(n)
        ]


class Judge:
    """Knows English prompts of the seeds 1 and 2; takes all else for the last concept."""

    def name(self, images: Tensor) -> list[str]:
        numbers = (images[:, 0, 0, 0] * 255).round().long()
        seeds = (images[:, 1, 0, 0] * 255).round().long()
        right = [concept for _, _, concept in prompts()]
        known = ((numbers % 2 == 0) & (seeds <= 2)).tolist()
        return [right[n] if k else NAMES[-1] for n, k in zip(numbers.tolist(), known, strict=True)]


def test_every_prompt_is_drawn_and_named():
    """Four seeds a prompt, named by the judge, options passed on."""
    painter = Painter()
    drawn = list(draw_singles(painter, Judge(), guidance=2.0))  # type: ignore[arg-type]
    assert painter.asked == [(text, 4, 1) for text, _, _ in prompts()]
    assert [d.seed for d in drawn[:4]] == list(SEEDS)
    assert len(drawn) == 320
    assert all(d.right == (d.language == "en" and d.seed <= 2) for d in drawn)
    assert drawn[3].named == NAMES[-1] and drawn[0].named == drawn[0].concept == "cat"
    scores = summary(drawn)
    assert scores["n"] == 320
    assert [scores[group]["right"] for group in ("all", "en", "ko")] == [0.25, 0.5, 0.0]  # type: ignore[index]


def some(shares: list[list[bool]], language: str = "en") -> list[Drawn]:
    return [
        Drawn(
            prompt=f"{language} {number}",
            language=language,
            concept="cat",
            seed=seed,
            image=GREY,
            named="cat" if right else "dog",
        )
        for number, rights in enumerate(shares)
        for seed, right in enumerate(rights)
    ]


def test_interval_contains_the_share():
    """And is as wide as the binomial one where pictures of a prompt say nothing about each other."""
    rng = np.random.default_rng(0)
    drawn = some([[bool(x)] for x in rng.random(100) < 0.6]) + some([[True], [False]] * 20, "ko")
    scores = summary(drawn)
    for group in ("all", "en", "ko"):
        entry: Any = scores[group]
        low, high = entry["interval"]
        assert 0 <= low < entry["right"] < high <= 1
    english: Any = scores["en"]
    width = english["interval"][1] - english["interval"][0]
    p = english["right"]
    assert width == pytest.approx(2 * 1.96 * (p * (1 - p) / 100) ** 0.5, rel=0.15)


def test_pictures_of_a_prompt_are_not_independent():
    """Forty prompts always right or always wrong, four pictures each, tell no more than forty pictures: the
    interval over 160 independent ones would be half as wide.
    """
    rights = [[i % 2 == 0] for i in range(40)]
    once: Any = summary(some(rights) + some([[True]], "ko"))["en"]
    four: Any = summary(some([right * 4 for right in rights]) + some([[True]], "ko"))["en"]
    assert four == once
