"""The recipes: all of them load and say what they need, and the tiny ones survive a kill and a split."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import pytest
import torch

from armchair.cli.recipe_names import load_recipe, recipe_names
from armchair.core.config import fill, to_json
from armchair.train import Recipe
from armchair.weights.kinds import network_on_meta
from tests.dalle1.tiny import saved, write_pictures
from tests.train.kill import after_updates, finish, killed_and_whole

CARD = ("Run ", "Needs ", "Takes ", "Reaches ")


@pytest.mark.parametrize("name", [name for name in recipe_names() if name.startswith(("dalle1", "judge"))])
def test_recipe(name: str):
    """It loads, its networks have a size, it survives the JSON of a run folder, and its lab card is whole."""
    recipe = load_recipe(name)
    assert isinstance(recipe, Recipe) and recipe.name == name
    assert sum(p.numel() for p in network_on_meta(recipe.task.net).parameters()) > 1_000
    assert fill(recipe, json.loads(json.dumps(to_json(recipe)))) == recipe
    card = ast.get_docstring(ast.parse(recipe_names()[name].read_text(encoding="utf-8")))
    assert card is not None
    lines = card.splitlines()
    assert len(lines[0]) > 20 and lines[0].endswith(".")
    for word in CARD:
        assert sum(line.startswith(word) for line in lines) == 1, f"{name}: {word}"
    assert f"armchair train {name}" in card


def test_tiny_pair_fits_together():
    """The transformer's placeholders are what its dVAE gives, so that --dry-run tells the truth."""
    dvae, net = (load_recipe(f"dalle1_{part}_tiny").task.net for part in ("dvae", "transformer"))
    assert (net.image_vocab, net.grid) == (dvae.vocab, dvae.grid)
    assert load_recipe("dalle1_transformer_tiny").task.bpe_dropout > 0, "the kill test wants it on"


def tiny_run(name: str, pictures: Path, more: list[str], settings: list[str]):
    """The command line of 20 updates of a tiny recipe, with a checkpoint every five."""

    def command(out: Path, resume: bool) -> list[str]:
        chosen = ["steps=20", "checkpoint_every=5", *settings]
        return [
            *[sys.executable, "-m", "armchair", "train", name, "--data", str(pictures), "--out", str(out)],
            *more,
            *[part for setting in chosen for part in ("--set", setting)],
            *(["--resume"] if resume else []),
        ]

    return command


@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_kill_the_dvae(tmp_path: Path):
    """20 updates of dalle1_dvae_tiny == 12 + kill + from 10 to the end, byte for byte: crops, relaxation
    noise, averages, scores and all (issue 2, section 4).
    """
    pictures = write_pictures(tmp_path / "pictures", size=40)
    settings = ["preview_every=10", "evaluate_every=10", "evaluate_samples=8"]
    command = tiny_run("dalle1_dvae_tiny", pictures, [], settings)
    killed_and_whole(command, tmp_path, kills=[after_updates(12)])


@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_kill_the_transformer(tmp_path: Path):
    """The same for dalle1_transformer_tiny with BPE dropout and hidden captions: the tokenizer is fitted anew
    and must come out the same. The bundle's golden picture is among what is compared.
    """
    pictures = write_pictures(tmp_path / "pictures", size=40)
    task = load_recipe("dalle1_dvae_tiny").task
    torch.manual_seed(0)
    saved(tmp_path / "dvae", task.build({}, None))
    command = tiny_run(
        "dalle1_transformer_tiny",
        pictures,
        ["--using", f"dvae={tmp_path / 'dvae'}"],
        ["preview_every=0", "evaluate_every=10", "evaluate_samples=8"],
    )
    killed_and_whole(command, tmp_path, kills=[after_updates(12)])


@pytest.mark.timeout(600)
def test_two_processes_give_one_processs_losses(tmp_path: Path):
    """torchrun with two processes on the tiny dVAE recipe: the same batch, so the same curve. That there were
    two is seen from each one's own word, not assumed.
    """
    pictures = write_pictures(tmp_path / "pictures", size=40)
    command = tiny_run("dalle1_dvae_tiny", pictures, [], ["evaluate_every=0", "preview_every=0", "steps=6"])
    torchrun = [*"-m torch.distributed.run --standalone --nproc-per-node 2".split(), "--redirects", "3"]
    python, _, *arguments = command(tmp_path / "two", False)
    said = finish([python, *torchrun, "--log-dir", str(tmp_path / "said"), "-m", *arguments])
    assert len(list((tmp_path / "said").rglob("stdout.log"))) == 2, said
    finish(command(tmp_path / "one", False))
    one, two = (
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    )
    assert len(one) == len(two) == 6
    for ours, theirs in zip(one, two, strict=True):
        for name in ("loss", "nll", "kl", "grad_norm", "beta", "temperature"):
            assert theirs[name] == pytest.approx(ours[name], rel=1e-4, abs=1e-5), (ours["step"], name)
