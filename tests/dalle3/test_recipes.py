"""The recipes: all of them load and say what they need, the tiny ones train one after the other."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
import torch

from armchair.cli.recipe_names import load_recipe, recipe_names
from armchair.core.bundle import SHIPPED, Bundle
from armchair.core.config import fill, to_json
from armchair.core.unfilled import Unfilled
from armchair.dalle3.config import LatentConfig, T5Config
from armchair.nn.autoencoder import AutoencoderConfig
from armchair.train import Recipe, build_task, run
from armchair.weights.kinds import network_class, network_on_meta
from tests.dalle3.latents import Pictures

CARD = ("Run ", "Needs ", "Takes ", "Reaches ")
PARTS = ("autoencoder", "latent", "decoder", "consistency", "stable")


@pytest.mark.parametrize(
    "name", [n for n in recipe_names() if any(n.startswith(f"dalle3_{part}_") for part in PARTS)]
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
    assert f"train {name}" in card


def test_papers_numbers():
    """SPEC 5.3: 256 px and 32 x 32 latents, T5-XXL, scale and bias from the timestep, 500,000 steps of 2,048,
    95 % long captions and 5 % found ones; the sizes that the paper does not name are Stable Diffusion's.
    """
    coder, latent = (load_recipe(f"dalle3_{part}_paper") for part in ("autoencoder", "latent"))
    assert coder.task.net == AutoencoderConfig() and coder.task.kl_weight == 1e-6
    assert (latent.steps, latent.batch) == (500_000, 2_048)
    assert latent.task.net == LatentConfig() and latent.task.net.words == T5Config()
    assert latent.task.net.grids[0] == (32, 32) and latent.task.net.modulation == "film"
    assert latent.task.captions.kinds == {"long": 0.95, "alt": 0.05}
    net = network_on_meta(latent.task.net)
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in net.named_children()}
    assert counts["words"] == 4_762_310_656


def test_shipped_size():
    """Six bits a parameter, or a byte: all networks stay below 15 MiB."""
    recipe = load_recipe("dalle3_latent_emoji")
    words = T5Config(**{**to_json(recipe.task.net.words), "vocab": 4_098, "pad": 4_096, "end": 4_097})
    config = fill(recipe.task.net, {"words": to_json(words)})
    coder = load_recipe("dalle3_autoencoder_emoji")
    assert (coder.task.net.channels, coder.task.net.stride) == (config.channels, config.stride)
    with Unfilled():
        sizes = [sum(p.numel() for p in network_class(c)(c).parameters()) for c in (config, coder.task.net)]
    assert (recipe.task.storage, recipe.rounding, coder.task.storage) == ("int6", "int6", "int8")
    assert 0.75 * sizes[0] + sizes[1] < 15 * 2**20  # bytes


def test_tiny_system_trains_whole(tmp_path: Path):
    """The autoencoder, the latent model on it, and the decoder with its distilled form: two updates each,
    through the loop.
    """
    made = {"text": Bundle.open(SHIPPED / "text")}
    small = {"steps": 2, "batch": 4, "evaluate_every": 2, "evaluate_samples": 2, "preview_every": 0}
    stages = {
        "autoencoder": (),
        "decoder": ("autoencoder",),
        "consistency": ("autoencoder", "teacher"),
        "latent": ("autoencoder", "text", "consistency"),
    }
    for part, needed in stages.items():
        recipe = fill(load_recipe(f"dalle3_{part}_tiny"), small)
        using = {name: made["decoder" if name == "teacher" else name] for name in needed}
        with torch.random.fork_rng(devices=[]):
            task = build_task(recipe, using)
            folder = run(recipe, source=Pictures(size=40), task=task, out=tmp_path / part, progress=False)
        made[part] = Bundle.open(folder / "bundle")
    whole = made["latent"]
    assert whole.kind == "dalle3" and whole.golden() is not None
    assert {"autoencoder", "text", "text_encoder", "latent", "consistency", "words"} == set(whole.components)
