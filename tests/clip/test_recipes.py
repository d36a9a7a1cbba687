"""CLIP's recipes: they load and say what they need, and the tiny one survives a kill."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import pytest

from armchair.cli.recipe_names import load_recipe, recipe_names
from armchair.core.config import fill, override, to_json
from armchair.core.errors import BadInput
from armchair.train import Recipe
from armchair.weights.kinds import network_on_meta
from tests.dalle1.tiny import write_pictures
from tests.train.kill import after_updates, killed_and_whole

NAMES = ["clip_emoji", "clip_paper", "clip_tiny"]


@pytest.mark.parametrize("name", NAMES)
def test_recipe(name: str):
    """It loads, its network has a size, it survives the JSON of a run folder, and its lab card is whole."""
    recipe = load_recipe(name)
    assert isinstance(recipe, Recipe) and recipe.name == name
    assert sum(p.numel() for p in network_on_meta(recipe.task.net).parameters()) > 1_000
    assert fill(recipe, json.loads(json.dumps(to_json(recipe)))) == recipe
    card = ast.get_docstring(ast.parse(recipe_names()[name].read_text(encoding="utf-8")))
    assert card is not None and card.splitlines()[0].endswith(".")
    for word in ("Run ", "Needs ", "Takes ", "Reaches "):
        assert sum(line.startswith(word) for line in card.splitlines()) == 1, f"{name}: {word}"
    assert f"armchair train {name}" in card
    assert recipe.accumulate == 1, "a contrastive loss needs its whole batch"


def test_the_papers_recipe():
    """DALL·E 2's CLIP: 986 million parameters, SAM of radius 0.1 over 64 samples a replica."""
    recipe = load_recipe("clip_paper")
    assert sum(p.numel() for p in network_on_meta(recipe.task.net).parameters()) == 986_339_841
    assert (recipe.optim.sam, recipe.optim.lr, recipe.batch // 512) == (0.1, 3e-4, 64)


def test_the_shipped_size():
    """As int8, a byte a parameter, it must fit beside the other shared components."""
    recipe = load_recipe("clip_emoji")
    assert recipe.task.storage == "int8"
    assert sum(p.numel() for p in network_on_meta(recipe.task.net).parameters()) < 5_000_000


def test_fields_of_the_towers_can_be_set():
    """The image tower's type is one of two: --set must find the fields of the one that is there."""
    recipe = override(load_recipe("clip_tiny"), ["task.net.image.depth=3", "task.net.text.length=20"])
    assert (recipe.task.net.image.depth, recipe.task.net.text.length) == (3, 20)
    with pytest.raises(BadInput, match="ViTConfig has no field 'layers'"):
        override(load_recipe("clip_tiny"), ["task.net.image.layers=1"])


@pytest.mark.timeout(600)
@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_kill_clip(tmp_path: Path):
    """20 updates of clip_tiny == 12 + kill + from 10 to the end, byte for byte, with SAM: the fitted BPE, its
    dropout, the clamped scale and the perturbed weights' return.
    """
    pictures = write_pictures(tmp_path / "pictures", size=40)

    def command(out: Path, resume: bool) -> list[str]:
        settings = "steps=20 checkpoint_every=5 evaluate_every=10 evaluate_samples=8 batch=8 optim.sam=0.05"
        return [
            *[sys.executable, "-m", "armchair", "train", "clip_tiny"],
            *["--data", str(pictures), "--out", str(out)],
            *[part for setting in settings.split() for part in ("--set", setting)],
            *(["--resume"] if resume else []),
        ]

    killed_and_whole(command, tmp_path, kills=[after_updates(12)])
