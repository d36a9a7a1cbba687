"""Sharpness-aware minimisation: the step by hand, and in the loop."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from armchair.core.errors import BadInput
from armchair.train import OptimConfig
from armchair.train.optim import ascended, build_optimizers
from tests.train.made_up import changed_and_resumed


class Bowl(nn.Module):
    """Loss a x^2 + b y^2 of two weights."""

    def __init__(self):
        super().__init__()
        self.x = nn.Parameter(torch.tensor([3.0]))
        self.y = nn.Parameter(torch.tensor([[4.0]]))

    def loss(self) -> torch.Tensor:
        return (0.5 * self.x**2 + 0.5 * self.y**2).sum()


def test_a_step_by_hand():
    """At (3, 4) the gradient is (3, 4), of length 5: radius 0.5 leads to (3.3, 4.4); its gradient is applied
    at (3, 4). A perturbation of each weight by its own norm would lead to (3.5, 4.5).
    """
    bowl = Bowl()
    bowl.loss().backward()
    with ascended(list(bowl.parameters()), 0.5):
        torch.testing.assert_close(bowl.x.data, torch.tensor([3.3]))
        torch.testing.assert_close(bowl.y.data, torch.tensor([[4.4]]))
        assert bowl.x.grad is None and bowl.y.grad is None, "the first gradient must not be in the second"
        bowl.loss().backward()
    assert bowl.x.item() == 3.0 and bowl.y.item() == 4.0
    optimizers = build_optimizers(OptimConfig(lr=0.1, betas=(0.0, 0.0), weight_decay=0.0), bowl)
    torch.testing.assert_close(bowl.x.grad, torch.tensor([3.3]))
    torch.testing.assert_close(bowl.y.grad, torch.tensor([[4.4]]))
    optimizers.step(1.0)  # AdamW without memory moves by lr each
    torch.testing.assert_close(bowl.x.data, torch.tensor([2.9]))


def test_weights_come_back_bit_for_bit():
    """Subtracting what was added leaves a rounding error in a third of all weights, step after step."""
    torch.manual_seed(0)
    net = nn.Linear(50, 50)
    net(torch.randn(4, 50)).square().sum().backward()
    before = [p.detach().clone() for p in net.parameters()]
    with pytest.raises(KeyError), ascended(list(net.parameters()), 0.1):
        raise KeyError  # also when the second pass fails
    assert all(torch.equal(p, old) for p, old in zip(net.parameters(), before, strict=True))


def test_a_flat_place_is_no_division_by_zero():
    """No gradient, no direction: the weights stay where they are."""
    bowl = Bowl()
    (0 * bowl.loss()).backward()
    with ascended(list(bowl.parameters()), 0.5):
        assert bowl.x.item() == 3.0


def test_a_radius_below_zero_is_refused():
    """It would minimise sharply."""
    with pytest.raises(BadInput, match="optim.sam=-0.1"):
        OptimConfig(sam=-0.1)


def test_the_loop_climbs_and_resumes(tmp_path: Path):
    """With a radius the run is another one; killed and resumed it is the same, byte for byte, with dropout
    drawn alike in both passes.
    """
    shared = {"steps": 8, "checkpoint_every": 4, "preview_every": 0, "evaluate_every": 0, "accumulate": 2}
    plain, whole = OptimConfig(lr=0.01), OptimConfig(lr=0.01, sam=0.1)
    changed_and_resumed(tmp_path, {**shared, "optim": plain}, {"optim": whole})
