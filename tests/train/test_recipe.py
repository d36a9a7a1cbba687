"""The recipe: its checks, its schedules, and its way through JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from armchair.core.config import override, to_json
from armchair.core.errors import BadInput
from armchair.train import OptimConfig, Recipe, ScheduleConfig, saved_recipe
from armchair.train.folder import describe
from tests.train.made_up import MadeUp, Pictures, recipe


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: recipe(batch=0), "batch=0: at least 1"),
        (lambda: recipe(keep=0), "keep=0: at least 1"),
        (lambda: recipe(ema=1.0), "ema=1.0"),
        (lambda: recipe(clip=float("nan")), "clip=nan"),
        (lambda: OptimConfig(lr=0.0), "optim.lr=0.0: more than 0"),
        (lambda: OptimConfig(betas=(0.9, 1.0)), "optim.betas=1.0"),
        (lambda: ScheduleConfig(warmup=-1), "schedule.warmup=-1"),
    ],
)
def test_wrong_numbers_are_refused(make: Any, message: str):
    """Each would be found out only after hours, or never."""
    with pytest.raises(BadInput, match=message):
        make()


def test_set_reaches_every_level():
    """--set on the loop's, the optimizer's and the task's fields; a wrong name gets the nearest one."""
    changed = override(recipe(), ["steps=5", "optim.lr=1e-3", "optim.betas=0.9,0.96", "task.width=16"])
    assert (changed.steps, changed.optim.lr, changed.optim.betas) == (5, 1e-3, (0.9, 0.96))
    assert changed.task == MadeUp(width=16)
    with pytest.raises(BadInput, match="Did you mean 'width'"):
        override(recipe(), ["task.widht=16"])


def test_saved_recipe_comes_back(tmp_path: Path):
    """--resume needs no --set of the first day again: recipe.json holds every field."""
    changed = override(recipe(), ["optim.name=muon", "schedule.steps=7", "task.dropout=0.25", "clip=0"])
    (tmp_path / "recipe.json").write_text(json.dumps(describe(changed, Pictures(), {})))
    assert saved_recipe(recipe(), tmp_path) == changed
    with pytest.raises(BadInput, match="holds a run of made_up, not of other"):
        saved_recipe(recipe(name="other"), tmp_path)
    with pytest.raises(BadInput, match="recipe.json is missing"):
        saved_recipe(recipe(), tmp_path / "nothing")
    (tmp_path / "recipe.json").write_text("{")
    with pytest.raises(BadInput, match="is damaged"):
        saved_recipe(recipe(), tmp_path)


def test_recipe_is_json():
    assert json.loads(json.dumps(to_json(recipe())))["task"] == {"width": 8, "dropout": 0.0, "poison": -1}


SCHEDULES = {  # kind -> share of the rate at updates 0, 9 (end of the warm-up), 10, 55 (half-way), 99, 500
    "constant": [0.1, 1.0, 1.0, 1.0, 1.0, 1.0],
    "cosine": [0.1, 1.0, 1.0, 0.6, 0.2002, 0.2],
    "linear": [0.1, 1.0, 1.0, 0.6, 0.2089, 0.2],
    "constant-then-linear": [0.1, 1.0, 1.0, 1.0, 0.2444, 0.2],
    "halving": [0.1, 1.0, 1.0, 0.3, 0.225, 0.225],
}


@pytest.mark.parametrize("kind", SCHEDULES)
def test_schedules(kind: str):
    """Worked out by hand for ten updates of warm-up, then from 1 to a fifth over ninety."""
    schedule = ScheduleConfig(kind=kind, warmup=10, final=0.2)
    got = [schedule.scale(step, 100) for step in (0, 9, 10, 55, 99, 500)]
    assert got == pytest.approx(SCHEDULES[kind], abs=1e-4)


def test_paper_schedules():
    """The dVAE's rate falls to 1.25e-6 / 1e-4 in 1.2 of 3 million updates (arXiv:2102.12092, A.2) and stays
    there; the transformer's ends at a 32nd after five halvings (B.2).
    """
    dvae = ScheduleConfig(warmup=0, steps=1_200_000, final=0.0125)
    assert dvae.scale(600_000, 3_000_000) == pytest.approx(0.50625)
    assert dvae.scale(1_200_000, 3_000_000) == dvae.scale(2_999_999, 3_000_000) == pytest.approx(0.0125)
    transformer = ScheduleConfig(kind="halving", warmup=5000)
    rates = [transformer.scale(step, 430_000) for step in range(5000, 430_000, 100)]
    assert sorted(set(rates)) == [2.0**-n for n in (5, 4, 3, 2, 1, 0)]


def test_defaults_need_a_name_and_a_task_only():
    assert Recipe(name="x", task=MadeUp()).steps > 0
