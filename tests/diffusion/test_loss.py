"""Losses a sample, against the sums that define them."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from armchair.core.rng import SeedBatch
from armchair.diffusion.loss import hybrid, noised, simple, target, vlb
from armchair.diffusion.prediction import Kind
from armchair.diffusion.schedule import Schedule

SCHEDULE = Schedule.cosine(50)


def drawn(t: list[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """x0 of 8-bit pixels, eps, each (B, 3, 4, 4), and t."""
    rng = SeedBatch(range(len(t)))
    x0 = ((rng.uniform(3, 4, 4) * 256).floor().clamp_max(255) / 127.5 - 1).double()
    return x0, rng.normal(3, 4, 4).double(), torch.tensor(t)


@pytest.mark.parametrize("kind", ["eps", "x0", "v"])
def test_simple_is_the_mean_square_of_a_sample(kind):
    """One number a sample: a mean over the batch would hide which one was hard, and could not be shared."""
    x0, eps, t = drawn([3, 20, 49])
    wanted = target(x0, eps, t, SCHEDULE, kind)
    offset = torch.tensor([0.0, 1.0, 2.0])[:, None, None, None]
    found = simple(wanted + offset, x0, eps, t, SCHEDULE, kind)
    torch.testing.assert_close(found, torch.tensor([0.0, 1.0, 4.0]).double())
    with_variance = torch.cat([wanted + offset, torch.randn(3, 3, 4, 4)], dim=1)
    torch.testing.assert_close(simple(with_variance, x0, eps, t, SCHEDULE, kind), found)


def test_min_snr_weighs_all_kinds_alike():
    """It is min(SNR, gamma) times the error of x0, whatever the network says; for eps min(SNR, 5) / SNR."""
    x0, eps, t = drawn([0, 10, 25, 45])
    alpha, sigma = SCHEDULE.alpha_sigma(t, x0)
    snr = (alpha / sigma).square().flatten()
    off_by_1_in_x0: dict[Kind, torch.Tensor] = {"x0": alpha / alpha, "eps": alpha / sigma, "v": 1 / sigma}
    for kind, wrong in off_by_1_in_x0.items():
        output = target(x0, eps, t, SCHEDULE, kind) + wrong
        found = simple(output, x0, eps, t, SCHEDULE, kind, min_snr=5.0)
        torch.testing.assert_close(found, snr.clamp_max(5.0), rtol=1e-6, atol=1e-6)


def test_bound_is_the_divergence_of_the_posteriors():
    """Against torch.distributions, in bits a dimension."""
    x0, eps, t = drawn([1, 20, 49])
    rng = SeedBatch(range(3))
    said, variance = rng.normal(3, 4, 4).double(), rng.uniform(3, 4, 4).double() * 2 - 1
    found = vlb(torch.cat([said, variance], dim=1), x0, eps, t, SCHEDULE, "eps")
    x = noised(x0, eps, t, SCHEDULE)
    for row, i in enumerate(t.tolist()):
        alpha_bar, before, beta = (
            table[i].item() for table in (SCHEDULE.alpha_bar, SCHEDULE.alpha_bar_before, SCHEDULE.beta)
        )
        guess = (x[row] - math.sqrt(1 - alpha_bar) * said[row]) / math.sqrt(alpha_bar)

        def mean(
            of: torch.Tensor, x: torch.Tensor = x[row], b=before, beta=beta, a=alpha_bar
        ) -> torch.Tensor:
            return (math.sqrt(b) * beta * of + math.sqrt(1 - beta) * (1 - b) * x) / (1 - a)

        low, high = math.log(beta * (1 - before) / (1 - alpha_bar)), math.log(beta)
        std = torch.exp((low + (variance[row] + 1) / 2 * (high - low)) / 2)
        true = Normal(mean(x0[row]), math.exp(low / 2))
        expected = kl_divergence(true, Normal(mean(guess), std)).mean() / math.log(2)
        assert found[row].item() == pytest.approx(expected.item(), rel=1e-5)


def test_first_step_counts_8_bit_bins():
    """The bins of 256 levels have probabilities that sum to one; a sharp and right guess costs no bits."""
    levels = torch.arange(256).double() / 127.5 - 1
    x0 = levels[:, None, None, None]
    eps, t = torch.zeros_like(x0), torch.zeros(256, dtype=torch.int64)
    guess = torch.full_like(x0, 0.1)  # an output in x0, the same for all
    variance = torch.full_like(x0, 1.0)
    bits = vlb(torch.cat([guess, variance], dim=1), x0, eps, t, SCHEDULE, "x0")
    assert (2.0**-bits).sum().item() == pytest.approx(1.0, abs=1e-4)
    right = vlb(torch.cat([x0, -variance], dim=1), x0, eps, t, Schedule.cosine(4000), "x0")
    assert right.max() < bits.min() < bits.max() < 40.1


def test_hybrid_teaches_the_variance_with_the_bound_alone():
    """The mean learns from the simple loss: its gradient is unchanged; the variance from the bound."""
    x0, eps, t = drawn([0, 20, 49])
    mean = torch.randn(
        3, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    ).requires_grad_()
    variance = torch.zeros(3, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    loss = hybrid(torch.cat([mean, variance], dim=1), x0, eps, t, SCHEDULE, "eps")
    assert loss.shape == (3,)
    grads = torch.autograd.grad(loss.sum(), [mean, variance])
    plain = torch.autograd.grad(simple(mean, x0, eps, t, SCHEDULE, "eps").sum(), mean)[0]
    torch.testing.assert_close(grads[0], plain)
    assert (grads[1].flatten(1).abs().amax(dim=1) > 0).all() and grads[1].isfinite().all()
    bound = vlb(torch.cat([mean, variance], dim=1), x0, eps, t, SCHEDULE, "eps")
    extra = loss - simple(mean, x0, eps, t, SCHEDULE, "eps")
    torch.testing.assert_close(extra, 50 / 1000 * bound)


def test_gradients_where_pixels_are_at_the_ends():
    """The outer bins are open: an infinite bound may not turn gradients into nan."""
    x0 = torch.tensor([-1.0, 1.0]).view(1, 2, 1, 1)
    output = torch.zeros(1, 4, 1, 1, requires_grad=True)
    loss = vlb(output, x0, torch.zeros_like(x0), torch.tensor([0]), SCHEDULE, "eps")
    assert torch.autograd.grad(loss.sum(), output)[0].isfinite().all()


def test_loss_of_gaussian_data_is_its_minimum_at_the_best_denoiser():
    """Scaling the closed-form answer up or down makes it worse at every level."""
    from tests.diffusion.gaussian import MEAN, STD, best

    rng = SeedBatch([0, 1, 2])
    x0, eps, t = MEAN + STD * rng.normal(1, 20_000), rng.normal(1, 20_000), torch.tensor([5, 25, 45])
    x = noised(x0, eps, t, SCHEDULE)
    answer = best(SCHEDULE)(x, t).eps
    losses = [simple(answer * s, x0, eps, t, SCHEDULE, "eps") for s in (0.9, 1.0, 1.1)]
    assert (losses[1] < losses[0]).all() and (losses[1] < losses[2]).all()
