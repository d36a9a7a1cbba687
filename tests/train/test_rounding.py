"""Weights that learn as the bundle will store them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from armchair.core.bundle import Bundle
from armchair.core.packing import rounded
from armchair.train import OptimConfig, build_task, run
from armchair.train.optim import stored
from tests.train.made_up import Pictures, changed_and_resumed, recipe


def test_the_gradient_is_that_of_the_rounded_weights():
    """Of x' W' W x / 2 at W as six bits give it back; biases stay, and W itself comes back bit for bit."""
    torch.manual_seed(0)
    net, x = nn.Linear(6, 5), torch.randn(3, 6)
    before = [p.detach().clone() for p in net.parameters()]
    with stored(list(net.parameters()), "int6"):
        assert torch.equal(net.weight, rounded(before[0], "int6")) and not torch.equal(net.weight, before[0])
        assert torch.equal(net.bias, before[1])
        (0.5 * net(x).square()).sum().backward()
    assert all(torch.equal(p, old) for p, old in zip(net.parameters(), before, strict=True))
    want = (x @ rounded(before[0], "int6").T + before[1]).T @ x
    torch.testing.assert_close(net.weight.grad, want)


def test_weights_come_back_after_a_failure():
    """A loss that raises leaves no rounded weights behind."""
    net = nn.Linear(6, 5)
    before = net.weight.detach().clone()
    with pytest.raises(KeyError), stored(list(net.parameters()), "int8"):
        raise KeyError
    assert torch.equal(net.weight, before)


def test_the_loop_rounds_and_resumes(tmp_path: Path):
    """Rounding makes another run; killed and resumed it is the same, byte for byte."""
    shared = {"steps": 8, "checkpoint_every": 4, "preview_every": 0, "evaluate_every": 0}
    changed_and_resumed(tmp_path, {**shared, "optim": OptimConfig(lr=0.01)}, {"rounding": "int6"})


def test_scores_are_those_of_the_rounded_weights(tmp_path: Path):
    """Of the averages as the bundle stores them: what learned rounded is judged so."""
    chosen = recipe(steps=8, preview_every=0, evaluate_every=8, rounding="int6")
    task = build_task(chosen)
    folder = run(chosen, source=Pictures(), task=task, out=tmp_path / "run", progress=False)
    bundle = Bundle.open(folder / "bundle")
    found = []
    for storage in ("int6", "float32"):
        tensors = {
            name: rounded(value, storage) if value.ndim >= 2 and storage == "int6" else value
            for name, value in bundle.tensors("net").items()
        }
        task.net.load_state_dict(tensors)
        with torch.no_grad():
            found.append(task.evaluate(Pictures(), chosen.evaluate_samples)["error"])
    assert bundle.manifest.scores["error"] == pytest.approx(found[0], rel=1e-5)
    assert bundle.manifest.scores["error"] != pytest.approx(found[1], rel=1e-5)
