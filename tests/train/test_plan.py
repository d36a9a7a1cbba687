"""The plan: its counts against arithmetic, and that planning changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from armchair.train import build_task, plan, run
from tests.train.made_up import Pictures, recipe


def test_counts_against_arithmetic():
    """Parameters and FLOPs of the made-up network, by hand: a product is two FLOPs, and the backward pass
    does each layer twice more (for the weights, and for what came in, which the first convolution need not).
    """
    chosen = recipe(accumulate=2)
    made = plan(chosen, build_task(chosen), Pictures())
    assert made.parameters == {"look": 224, "words": 88, "norm": 16, "mix": 72, "paint": 219, "say": 99}
    assert made.trained == sum(made.parameters.values())
    look, mix, paint, say = (2 * n for n in (64 * 27 * 8, 64 * 8 * 8, 64 * 72 * 3, 7 * 8 * 11))
    assert made.flops_per_sample == 2 * look + 3 * (mix + paint + say)
    assert made.samples == 50 and made.epochs == pytest.approx(160 / 50)
    assert made.samples_per_second > 0
    assert made.seconds == pytest.approx(160 / made.samples_per_second)
    assert made.memory_bytes > 50 * 2**20, "torch alone takes more"
    weights = 4 * (made.trained + 3)  # and a buffer of three
    steps = 4 * 11  # AdamW counts in each of eleven tensors
    assert made.checkpoint_bytes == weights + 4 * made.trained + 8 * made.trained + steps


def test_planning_changes_nothing():
    """A run starts from the weights that it would have started from; no gradient is left."""
    chosen = recipe()
    task = build_task(chosen)
    fresh = build_task(chosen).net.state_dict()
    state = torch.random.get_rng_state()
    plan(chosen, task, Pictures())
    assert all(torch.equal(task.net.state_dict()[name], fresh[name]) for name in fresh if name != "mean")
    assert all(p.grad is None for p in task.net.parameters())
    assert torch.equal(state, torch.random.get_rng_state())


def test_dry_run_prints_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    chosen = recipe()
    run(chosen, source=Pictures(), task=build_task(chosen), out=tmp_path / "run", dry_run=True)
    assert list(tmp_path.iterdir()) == []
    said = capsys.readouterr().out
    for part in (
        "made_up",
        "718",
        "paint",
        "FLOPs a sample",
        "samples/s on cpu",
        "50 samples",
        "MiB at the peak",
    ):
        assert part in said


def test_plan_is_json():
    chosen = recipe()
    made = plan(chosen, build_task(chosen), Pictures())
    data = json.loads(json.dumps(made.to_json()))
    assert data["recipe"]["name"] == "made_up"
    assert data["flops_per_sample"] == made.flops_per_sample
