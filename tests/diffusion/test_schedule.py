"""Noise levels: the tables that every sampler and loss reads."""

import math

import pytest
import torch

from armchair.core.errors import BadInput
from armchair.diffusion.schedule import Schedule, visited

MAKERS = [Schedule.cosine, Schedule.linear, Schedule.scaled_linear]


def test_cosine_is_the_papers_formula():
    """alpha_bar(u) = f(u) / f(0) with f = cos^2((u + 0.008) / 1.008 pi / 2), until beta reaches 0.999."""
    schedule = Schedule.cosine(1000)
    for i in (0, 1, 250, 500, 998):
        f = [math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2 for u in ((i + 1) / 1000, 0)]
        assert schedule.alpha_bar[i].item() == pytest.approx(f[0] / f[1], rel=1e-9)
    assert schedule.beta[-1].item() == pytest.approx(0.999, abs=1e-12)


def test_linear_and_scaled_linear():
    """The published end points, and the products that other implementations print."""
    linear, scaled = Schedule.linear(1000), Schedule.scaled_linear(1000)
    assert linear.beta[0].item() == pytest.approx(1e-4) and linear.beta[-1].item() == pytest.approx(0.02)
    assert linear.beta[500].item() == pytest.approx(1e-4 + (0.02 - 1e-4) * 500 / 999)
    assert linear.alpha_bar[-1].item() == pytest.approx(4.0358e-5, rel=1e-4)  # DDPM
    assert scaled.alpha_bar[-1].sqrt().item() == pytest.approx(0.068265, rel=1e-4)  # Stable Diffusion
    # a quarter of the steps take away as much: betas four times as large
    assert Schedule.linear(250).beta[0].item() == pytest.approx(4e-4)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("steps", [1, 2, 3, 10, 1000])
def test_tables(make, steps: int):
    """Few steps scale the linear schedule's beta beyond 1, and one step has no second level to clip to."""
    schedule = make(steps)
    assert len(schedule) == steps and schedule.alpha_bar.dtype == torch.float64
    assert schedule.beta.min() > 0 and schedule.beta.max() < 1
    smallest, largest = schedule.log_variance_range
    assert smallest.isfinite().all() and largest.isfinite().all() and (smallest <= largest).all()
    assert schedule.posterior_variance[0] == 0
    assert torch.allclose((1 - schedule.beta).cumprod(0), schedule.alpha_bar, rtol=1e-12)
    assert (schedule.log_snr.diff() < 0).all()


def test_posterior_variance_is_that_of_two_gaussians():
    """1 / variance = 1 / (what the step before adds) + alpha_t / beta_t, by Bayes."""
    schedule = Schedule.cosine(20)
    for i in range(1, 20):
        beta, before = schedule.beta[i].item(), schedule.alpha_bar[i - 1].item()
        precision = (1 - beta) / beta + 1 / (1 - before)
        assert schedule.posterior_variance[i].item() == pytest.approx(1 / precision, rel=1e-9)


def test_zero_terminal_snr():
    """Stable Diffusion's last level keeps 0.5 % of the signal, whose mean a sampler never supplies."""
    schedule = Schedule.scaled_linear(1000)
    fixed = schedule.zero_terminal_snr()
    assert fixed.alpha_bar[-1] == 0 and fixed.alpha_bar[0].item() == pytest.approx(
        schedule.alpha_bar[0].item()
    )
    a, b, c = (schedule.alpha_bar[i].sqrt().item() for i in (0, 500, 999))
    assert fixed.alpha_bar[500].sqrt().item() == pytest.approx((b - c) * a / (a - c))
    assert fixed.beta[-1] == 1 and fixed.log_snr[-1] == -math.inf
    smallest, largest = fixed.log_variance_range
    assert smallest.isfinite().all() and largest[-1] == 0
    with pytest.raises(BadInput, match="1 step"):
        Schedule.cosine(1).zero_terminal_snr()


@pytest.mark.parametrize(
    ("total", "word", "expected"),
    [
        (10, 10, list(range(10))),
        (10, "4", [0, 3, 6, 9]),
        (1000, "3", [0, 500, 999]),  # 499.5 rounds to even, as Python and the released code do
        (1000, 1, [999]),
        (10, "2,3", [0, 4, 5, 7, 9]),
        (11, "2,2", [0, 5, 6, 10]),  # the first section has one more
        (10, "1,2", [4, 5, 9]),
        (1, 1, [0]),
        (10, "ddim5", [0, 2, 4, 6, 8]),
        (1000, "trailing4", [249, 499, 749, 999]),
        (10, "trailing3", [2, 6, 9]),
        (3, "trailing3", [0, 1, 2]),
        (1000, "ddim25", list(range(0, 1000, 40))),
    ],
)
def test_respacing(total: int, word: int | str, expected: list[int]):
    assert visited(Schedule.cosine(total), word) == expected


def test_leading_steps_and_where_they_end():
    """As Stable Diffusion's schedulers count: every T // n-th level from the second; and drawing may stop at
    some noise, which the tables of the first step then know.
    """
    schedule = Schedule.scaled_linear(1000)
    few = schedule.respace("leading50")
    assert few.times.tolist() == [1 + 20 * i for i in range(50)]
    assert visited(schedule, "leading7") == [1 + 142 * i for i in range(7)]
    assert visited(schedule, "leading999") == list(range(1, 1000))
    first = schedule.alpha_bar[0].item()
    ending = few.ending_at(first)
    assert ending.respace(3).alpha_bar_before[0] == first and few.alpha_bar_before[0] == 1
    assert ending.beta[0].item() == pytest.approx(1 - few.alpha_bar[0].item() / first)
    assert ending.posterior_variance[0] > 0 and ending.log_variance_range[0].isfinite().all()


def test_glides_27_steps():
    """Most steps where there is least noise; fast27 leaves the last level out."""
    steps = visited(Schedule.linear(1000), "10,10,3,2,2")
    assert len(steps) == 27 and steps[:10] == [round(i * 199 / 9) for i in range(10)]
    assert steps[-4:] == [600, 799, 800, 999]
    assert visited(Schedule.linear(1000), "fast27") == [*steps[:-1], 997]


def test_even_in_log_snr():
    """Both ends, rising, none twice, also where the levels are fewer than asked for near an end."""
    schedule = Schedule.cosine(1000)
    picked = schedule.respace("logsnr12")
    gaps = -picked.log_snr.diff()
    assert picked.times[0] == 0 and picked.times[-1] == 999
    assert gaps[:7].max() < 1.05 * gaps[:7].min()  # the noisiest levels lie far apart
    for word, total in (("logsnr50", 50), ("logsnr49", 50), ("logsnr2", 50), ("logsnr1", 50)):
        chosen = visited(Schedule.cosine(total).zero_terminal_snr(), word)
        assert len(set(chosen)) == int(word[6:]) and chosen == sorted(chosen) and chosen[-1] == total - 1


def test_respaced_levels_keep_their_alpha_bar_and_their_number():
    """The network is told the step that it was trained with, not the count of the sampler (SPEC trap 20)."""
    schedule = Schedule.cosine(1000)
    few = schedule.respace("10,10,3,2,2")
    assert torch.equal(few.alpha_bar, schedule.alpha_bar[few.times])
    before = torch.cat([torch.ones(1, dtype=torch.float64), few.alpha_bar[:-1]])
    assert torch.allclose(few.beta, 1 - few.alpha_bar / before)
    twice = few.respace(3)
    assert twice.times.tolist() == [0, few.times[13].item(), 999]
    assert few.index(torch.tensor([999, 0, 999])).tolist() == [26, 0, 26]


def test_lookup_is_of_the_level_with_that_number():
    """A respaced schedule is asked by the network's t."""
    schedule = Schedule.linear(1000).respace(5)
    x = torch.zeros(2, 3, 4, 4)
    alpha, sigma = schedule.alpha_sigma(torch.tensor([999, 0]), x)
    assert alpha.shape == (2, 1, 1, 1) and alpha.dtype == x.dtype
    assert alpha[0, 0, 0, 0].item() == pytest.approx(schedule.alpha_bar[-1].sqrt().item(), rel=1e-6)
    assert sigma[1, 0, 0, 0].item() == pytest.approx((1 - schedule.alpha_bar[0]).sqrt().item(), rel=1e-6)
    assert schedule.alpha_sigma(torch.tensor([0]), torch.zeros(1, 7))[0].shape == (1, 1)


@pytest.mark.parametrize(
    "word",
    [
        0,
        1001,
        "0",
        "-3",
        "many",
        "",
        "3,",
        "500,501",
        "0,5",
        "ddim0",
        "ddim7x",
        "ddim999",
        "logsnr0",
        "trailing0",
        "leading1000",
    ],
)
def test_steps_that_cannot_be(word: int | str):
    """0 steps, more than there are, a section of too many, and words that mean nothing: one line each."""
    with pytest.raises(BadInput, match=r"^steps \S+") as caught:
        Schedule.cosine(1000).respace(word)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make", MAKERS)
def test_made_beside_a_network_without_memory(make):
    """Networks are built on the meta device before their weights are read; tables must hold numbers there."""
    with torch.device("meta"):
        schedule = make(1000).zero_terminal_snr().respace("logsnr10").take([0, 4])
    assert schedule.alpha_bar.device.type == schedule.times.device.type == "cpu"


@pytest.mark.parametrize("make", MAKERS)
def test_no_steps(make):
    with pytest.raises(BadInput, match="at least 1"):
        make(0)


@pytest.mark.parametrize(
    ("total", "steps", "shift", "expected"),
    [
        (1000, 8, 3, [299, 499, 642, 749, 832, 899, 954, 999]),
        (1000, 1, 3, [999]),
        (10, 4, 9, [6, 7, 8, 9]),  # 8, 9, 10, 10 of 10: none twice
        (10, 10, 3, list(range(10))),
    ],
)
def test_shifted_to_the_noisy_end(total, steps, shift, expected):
    """As a flow's times are; with a shift of 1 the levels are evenly spaced, with both ends."""
    schedule = Schedule.cosine(total)
    assert schedule.respace(steps, shift).times.tolist() == expected
    assert torch.equal(schedule.respace(steps, 1.0).times, schedule.respace(steps).times)
    with pytest.raises(BadInput, match="goes with a number of steps"):
        schedule.respace("logsnr4", shift)
