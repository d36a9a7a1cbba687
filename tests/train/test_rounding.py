"""Weights that learn as the bundle will store them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from armchair.core.packing import rounded
from armchair.train import OptimConfig
from armchair.train.optim import stored
from tests.train.made_up import changed_and_resumed


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
