"""The prompts of Emoji-GenEval: a fixed, versioned file, each with what its picture must show.

Six tasks as GenEval has them (arXiv:2310.11513) and one of style with background, in English and Korean.
The prompts of the split "held out" ask for pairs that training never shows; all others avoid such pairs.
`scripts/geneval_prompts.py` made the file. Another file is another version: scores of two do not compare.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from armchair.core.config import from_json

SIX = (
    "single",
    "two",
    "counting",
    "colours",
    "position",
    "attribution",
)  # GenEval's; their mean is its score
TASKS = (*SIX, "style")
HELD_OUT = "held out"
STRATA = (*TASKS, HELD_OUT)
LANGUAGES = ("en", "ko")
SEEDS = (1, 2, 3, 4)  # of the pictures of every prompt


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What must be in the picture."""

    concept: str
    count: int = 1
    colour: str | None = None  # one of scene.COLOURS; None: any


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A prompt in two languages, and what it asks for."""

    id: str  # "position/a-cat-above-a-dog"
    task: Literal["single", "two", "counting", "colours", "position", "attribution", "style"]
    en: str
    ko: str
    things: tuple[Wanted, ...]
    relation: str | None = None  # of things[0] to things[1]: "left of", "right of", "above", "below"
    style: str | None = None  # of scene.STYLES
    background: str | None = None  # of scene.BACKGROUNDS
    held_out: bool = False
    quick: bool = False  # in the short version too

    @property
    def stratum(self) -> str:
        """The line of the score table that it counts in."""
        return HELD_OUT if self.held_out else self.task

    def text(self, language: str) -> str:
        return self.en if language == "en" else self.ko


@dataclass(frozen=True, kw_only=True)
class Prompts:
    version: int
    prompts: tuple[Prompt, ...]


@cache
def load_prompts() -> Prompts:
    """All prompts, in the order of STRATA."""
    text = (files("armchair.evaluation") / "prompts.json").read_text(encoding="utf-8")
    return from_json(Prompts, json.loads(text), "prompts.json")


def chosen(quick: bool) -> Sequence[Prompt]:
    """All prompts, or the fixed part of them that is drawn in minutes."""
    return [p for p in load_prompts().prompts if p.quick or not quick]
