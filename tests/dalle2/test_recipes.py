"""The recipes: all of them load and say what they need, and the tiny ones fit the tiny CLIP."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
import torch

from armchair.cli.recipe_names import load_recipe, recipe_names
from armchair.core.bundle import Bundle
from armchair.core.config import fill, to_json
from armchair.core.unfilled import Unfilled
from armchair.dalle2.config import CaptionConfig
from armchair.train import Recipe, build_task, run
from armchair.weights.kinds import network_class
from tests.dalle2.tiny import Pictures

CARD = ("Run ", "Needs ", "Takes ", "Reaches ")
SHIPPED_MIB = {"decoder": 12.0, "prior": 1.5, "ar_prior": 1.0}  # 15 MiB a bundle with all else
BYTES = {"int8": 1.0, "int6": 0.75}  # of a weight
TABLE_3 = {  # arXiv:2204.06125: batch, updates, learning rate, beta 2, epsilon, weight decay, EMA
    "ar_prior": (4096, 1_000_000, 1.6e-4, 0.91, 1e-10, 4.0e-2, 0.999),
    "prior": (4096, 600_000, 1.1e-4, 0.96, 1e-6, 6.0e-2, 0.9999),
    "decoder": (2048, 800_000, 1.2e-4, 0.999, 1e-8, 0.0, 0.9999),
}
PARTS = tuple(TABLE_3)


@pytest.mark.parametrize(
    "name", [n for n in recipe_names() if any(n.startswith(f"dalle2_{part}_") for part in PARTS)]
)
def test_recipe(name: str):
    """It loads, survives the JSON of a run folder, and its lab card is whole."""
    recipe = load_recipe(name)
    assert isinstance(recipe, Recipe) and recipe.name == name
    assert fill(recipe, json.loads(json.dumps(to_json(recipe)))) == recipe
    card = ast.get_docstring(ast.parse(recipe_names()[name].read_text(encoding="utf-8")))
    assert card is not None
    lines = card.splitlines()
    for word in CARD:
        assert sum(line.startswith(word) for line in lines) == 1, f"{name}: {word}"
    assert f"armchair train {name}" in card


@pytest.mark.parametrize("part", PARTS)
def test_papers_numbers(part: str):
    """Table 3, column by column."""
    recipe = load_recipe(f"dalle2_{part}_paper")
    optim = recipe.optim
    found = (recipe.batch, recipe.steps, optim.lr, optim.betas[1], optim.eps, optim.weight_decay, recipe.ema)
    assert found == TABLE_3[part] and optim.betas[0] == 0.9
    net = recipe.task.net
    if part == "decoder":
        assert [(level.width, level.depth) for level in net.levels] == [(512 * m, 3) for m in (1, 2, 3, 4)]
        assert (net.dropout, net.head_width, net.steps, net.schedule) == (0.1, 64, 1000, "cosine")
        assert net.prediction == "eps" and net.learned_variance
        assert net.caption == CaptionConfig(length=256, width=2048, depth=24, heads=32)
        assert (recipe.task.drop_image, recipe.task.drop_text) == (0.1, 0.5)
        assert (recipe.task.sampling.steps, recipe.task.sampling.sampler) == (250, "ddpm")
    if part == "prior":
        assert (net.width, net.depth, net.heads, net.steps, net.schedule) == (2048, 24, 32, 1000, "cosine")
        assert (recipe.task.drop_text, recipe.task.sampling.prior_steps) == (0.1, 64)
    if part == "ar_prior":
        assert (net.width, net.depth, net.heads) == (1664, 24, 26)
        assert (net.components, net.buckets, recipe.task.drop_text) == (319, 1024, 0.1)


@pytest.mark.parametrize("part", PARTS)
def test_shipped_size(part: str):
    """The ceilings keep a clone small."""
    task = load_recipe(f"dalle2_{part}_emoji").task
    with Unfilled():
        net = network_class(task.net)(task.net)
    assert BYTES[task.storage] * sum(p.numel() for p in net.parameters()) < SHIPPED_MIB[part] * 2**20


def test_tiny_system_trains_whole(tmp_path: Path):
    """clip_tiny, then both priors, then the decoder with all of them: two updates each, through the loop."""
    made = {}
    for part in ("clip", "prior", "ar_prior", "decoder"):
        name = "clip_tiny" if part == "clip" else f"dalle2_{part}_tiny"
        recipe = load_recipe(name)
        small = {"steps": 2, "batch": 4, "evaluate_every": 2, "evaluate_samples": 2, "preview_every": 0}
        recipe = fill(recipe, small)
        task = build_task(recipe, made)
        folder = run(recipe, source=Pictures(size=40), task=task, out=tmp_path / part, progress=False)

        made[part] = Bundle.open(folder / "bundle")
    whole = made["decoder"]
    assert whole.kind == "dalle2" and whole.golden() is not None
    assert {"clip", "text", "prior", "ar_prior", "pca", "decoder", "words"} == set(whole.components)
    assert whole.manifest.defaults["prior"] == "diffusion"


@pytest.mark.parametrize("part", PARTS)
def test_preparing_twice_gives_the_same(tmp_path: Path, part: str):
    """What `prepare` fits, scales and codes, must come out the same on resume."""
    from tests.dalle2 import tiny

    make = {"prior": tiny.prior_task, "ar_prior": tiny.ar_prior_task, "decoder": tiny.decoder_task}[part]
    tasks = [make(tmp_path, scale="fitted") for _ in range(2)]
    one, two = (dict(task.net.named_buffers()) for task in tasks)
    assert one and all(torch.equal(one[name], two[name]) for name in one)
    assert tasks[0].prompts == tasks[1].prompts
