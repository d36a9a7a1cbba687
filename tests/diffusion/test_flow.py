"""Rectified flow: the straight line, its two solvers and its times."""

import math

import pytest
import torch

from armchair.core.errors import BadInput
from armchair.core.rng import SeedBatch
from armchair.diffusion.flow import Flow, euler, heun, shift_for
from armchair.diffusion.loss import noised, simple
from armchair.diffusion.prediction import keeping
from tests.diffusion.gaussian import MEAN, STD, best, exact, last, order


@pytest.mark.parametrize(("sampler", "expected"), [(euler, 1), (heun, 2)])
def test_order_of_convergence(sampler, expected: int):
    """To a fixed time, against the exact solution for Gaussian data."""
    x, flow = torch.linspace(-2, 2, 9, dtype=torch.float64)[None], Flow()

    def error(count: int) -> float:
        times = [0.9 - 0.8 * i / count for i in range(count + 1)]
        found = last(sampler(best(flow), x, times))
        return (found - exact(x, (0.1, 0.9), (0.9, 0.1))).abs().max().item()

    for found in order(error, [32, 64, 128]):
        assert abs(found - expected) < 0.25


@pytest.mark.parametrize("sampler", [euler, heun])
def test_ends_at_the_data(sampler):
    """40 steps from noise to the right mean and spread; the last step gives x0, so that clean is clean."""
    flow = Flow()
    steps = list(sampler(best(flow), SeedBatch([0]).normal(50_000), flow.times(40)))
    assert len(steps) == 40 and steps[-1].index == 39 and steps[0].total == 40
    assert torch.equal(steps[-1].x, steps[-1].x0)
    assert steps[-1].x.mean().item() == pytest.approx(MEAN, abs=0.01)
    assert steps[-1].x.std().item() == pytest.approx(STD, rel=0.05)


@pytest.mark.parametrize("sampler", [euler, heun])
def test_kept_pixels_come_back_unchanged(sampler):
    flow, known = Flow(), torch.full((1, 2, 2, 2), 0.3)
    keep = torch.tensor([[[[True, False], [False, True]]]])
    found = last(
        sampler(keeping(best(flow), flow, known, keep), SeedBatch([0]).normal(2, 2, 2), flow.times(5))
    )
    assert torch.equal(found[keep.expand_as(found)], known[keep.expand_as(found)])


def test_times_and_shift():
    """s t / (1 + (s - 1) t) is FLUX's e^mu / (e^mu + 1 / t - 1) for s = e^mu; the ends stay."""
    assert Flow().times(4) == [1.0, 0.75, 0.5, 0.25, 0.0]
    shifted = Flow(shift=3.0).times(4)
    assert shifted[0] == 1.0 and shifted[-1] == 0.0
    mu = math.log(3)
    assert shifted[1:4] == pytest.approx(
        [math.exp(mu) / (math.exp(mu) + 1 / t - 1) for t in (0.75, 0.5, 0.25)]
    )
    assert shift_for(256) == pytest.approx(math.exp(0.5)) and shift_for(4096) == pytest.approx(math.exp(1.15))
    with pytest.raises(BadInput, match="steps 0"):
        Flow().times(0)
    with pytest.raises(BadInput, match="shift"):
        Flow(shift=0.0)


def test_training_times():
    """Logistic-normal: half of them below 1/2; shifted as the sampler's are."""
    t = Flow().draw(SeedBatch(range(300)))
    assert t.shape == (300,) and 0 < t.min() and t.max() < 1
    assert abs((t < 0.5).float().mean().item() - 0.5) < 0.12
    assert abs((t < 0.25).float().mean().item() - 0.136) < 0.08  # P(N < logit 1/4)
    shifted = Flow(shift=3.0).draw(SeedBatch(range(300)))
    torch.testing.assert_close(shifted, 3 * t / (1 + 2 * t))


def test_loss_is_the_velocitys():
    """The target is eps - x0, which is the derivative of x in t."""
    flow, rng = Flow(), SeedBatch([1, 2])
    x0, eps, t = rng.normal(3), rng.normal(3), torch.tensor([0.3, 0.8])
    slope = (noised(x0, eps, t + 1e-2, flow) - noised(x0, eps, t - 1e-2, flow)) / 2e-2
    assert simple(slope, x0, eps, t, flow, "flow").max() < 1e-8
    assert simple(-slope, x0, eps, t, flow, "flow").min() > 0.1
