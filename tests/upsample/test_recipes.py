"""The recipes of the upsamplers: they load, say what they need, and are of the sizes that the paper gives."""

from __future__ import annotations

import ast
import json
from typing import Any

import pytest
from torch import nn

from armchair.cli.recipe_names import load_recipe, recipe_names
from armchair.core.config import fill, to_json
from armchair.core.packing import pack
from armchair.train import Recipe, build_task
from armchair.upsample.config import PAPER_256, PAPER_1024
from armchair.weights.kinds import network_on_meta

NAMES = [name for name in recipe_names() if name.startswith("dalle2_upsample")]


@pytest.mark.parametrize("name", NAMES)
def test_recipe(name: str):
    """It survives the JSON of a run folder, and its lab card is whole."""
    recipe = load_recipe(name)
    assert isinstance(recipe, Recipe) and recipe.name == name
    assert fill(recipe, json.loads(json.dumps(to_json(recipe)))) == recipe
    card = ast.get_docstring(ast.parse(recipe_names()[name].read_text(encoding="utf-8")))
    assert card is not None
    for word in ("Run ", "Needs ", "Takes ", "Reaches "):
        assert sum(line.startswith(word) for line in card.splitlines()) == 1, f"{name}: {word}"
    assert f"armchair train {name}" in card


@pytest.mark.parametrize(("config", "millions"), [(PAPER_256, 730), (PAPER_1024, 282)])
def test_paper_sizes(config: Any, millions: int):
    """SPEC 4.2: ADM without attention and six input channels has these parameters; appendix C says 700M and
    300M.
    """
    net = network_on_meta(config)
    assert round(sum(p.numel() for p in net.parameters()) / 1e6) == millions
    assert not any("attention" in name for name, _ in net.named_parameters())
    inputs = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
    assert inputs[0].in_channels == 6


def test_paper_sampling():
    """27 steps in five sections on the cosine schedule, 15 on the linear one."""
    for config, count in ((PAPER_256, 27), (PAPER_1024, 15)):
        assert len(config.levels().respace(config.steps)) == count
    assert PAPER_256.schedule == "cosine" and PAPER_1024.schedule == "linear"


def test_both_shipped_ones_fit_in_4_mib():
    """Their weights as stored, together."""
    total = 0
    for name in ("dalle2_upsample256_emoji", "dalle2_upsample1024_emoji"):
        recipe = load_recipe(name)
        stored = pack(build_task(recipe).net.state_dict(), recipe.task.storage)
        total += sum(value.numel() * value.element_size() for value in stored.values())
    assert total < 4 * 2**20
