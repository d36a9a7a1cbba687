"""The recipes of the writer and the captioner: they load, say what they need, and fit into the bundle."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from armchair.cli.recipe_names import load_recipe, recipe_names
from armchair.core.config import fill, to_json
from armchair.data.world.captions import FRAMES
from armchair.data.world.requests_en import REQUESTS_EN
from armchair.data.world.requests_en import UNSEEN as UNSEEN_EN
from armchair.data.world.requests_ko import REQUESTS_KO
from armchair.data.world.requests_ko import UNSEEN as UNSEEN_KO
from armchair.data.world.writing import SEEN
from armchair.train import Recipe, build_task, run
from armchair.weights.kinds import network_on_meta

NAMES = ["dalle3_captioner_emoji", "dalle3_captioner_tiny", "dalle3_writer_emoji", "dalle3_writer_tiny"]


@pytest.mark.parametrize("name", NAMES)
def test_recipe(name: str):
    """It loads, its network has a size, it survives the JSON of a run folder, and its lab card is whole."""
    recipe = load_recipe(name)
    assert isinstance(recipe, Recipe) and recipe.name == name and recipe.accumulate == 1
    assert sum(p.numel() for p in network_on_meta(recipe.task.net).parameters()) > 1_000
    assert fill(recipe, json.loads(json.dumps(to_json(recipe)))) == recipe
    card = ast.get_docstring(ast.parse(recipe_names()[name].read_text(encoding="utf-8")))
    assert card is not None and card.splitlines()[0].endswith(".") and f"armchair train {name}" in card
    for word in ("Run ", "Needs ", "Takes ", "Reaches "):
        assert sum(line.startswith(word) for line in card.splitlines()) == 1, f"{name}: {word}"


def test_the_shipped_size():
    """As int8, a byte a parameter, it shares 16 MiB with all that systems share."""
    recipe = load_recipe("dalle3_writer_emoji")
    assert recipe.task.storage == "int8"
    assert sum(p.numel() for p in network_on_meta(recipe.task.net).parameters()) < 3_000_000


def test_enough_frames():
    """At least forty sentence frames a language are trained on, of descriptions and of requests, and some are
    left for the test.
    """
    for language, requests, unseen in (("en", REQUESTS_EN, UNSEEN_EN), ("ko", REQUESTS_KO, UNSEEN_KO)):
        assert SEEN >= 40 and len(FRAMES[language]) >= SEEN + 10
        assert sum(len(rows) - unseen for rows in requests.values()) >= 40
        assert len({row for rows in requests.values() for row in rows}) == sum(map(len, requests.values()))


def test_the_tiny_writer_trains(tmp_path: Path):
    """Two updates of the real loop, and a bundle at the end."""
    recipe = fill(
        load_recipe("dalle3_writer_tiny"),
        {"steps": 2, "batch": 2, "evaluate_every": 0, "checkpoint_every": 2},
    )
    task = build_task(recipe)
    run(recipe, source=recipe.data.open(), task=task, out=tmp_path / "run", progress=False)
    manifest = json.loads((tmp_path / "run" / "bundle" / "bundle.json").read_text())
    assert manifest["kind"] == "writer" and manifest["languages"] == ["en", "ko"]
    assert {"writer", "text"} == set(manifest["components"])
