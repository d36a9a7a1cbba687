"""What a network's output means: eps, x0, v and flow say the same thing in other words."""

import pytest
import torch

from armchair.core.errors import BadInput
from armchair.core.rng import SeedBatch
from armchair.diffusion.flow import Flow
from armchair.diffusion.loss import noised, target
from armchair.diffusion.prediction import (
    Kind,
    Prediction,
    clipped,
    denoiser,
    keeping,
    learned_log_variance,
    predict,
    with_x0,
)
from armchair.diffusion.schedule import Levels, Schedule

KINDS: list[tuple[Kind, Levels]] = [
    ("eps", Schedule.cosine(50)),
    ("x0", Schedule.cosine(50)),
    ("v", Schedule.cosine(50)),
    ("flow", Flow()),
]


def drawn(levels: Levels, count: int = 6) -> tuple[torch.Tensor, ...]:
    """x0, eps (B, 2, 3, 3) and times of all noise levels."""
    rng = SeedBatch(range(count))
    t = torch.linspace(0.05, 0.95, count) if isinstance(levels, Flow) else torch.arange(0, 49, 49 // count)
    return rng.normal(2, 3, 3), rng.normal(2, 3, 3), t[:count]


@pytest.mark.parametrize(("kind", "levels"), KINDS)
def test_round_trip(kind, levels):
    """From the perfect output both x0 and eps come back."""
    x0, eps, t = drawn(levels)
    x0, eps = x0.double(), eps.double()
    x = noised(x0, eps, t, levels)
    found = predict(target(x0, eps, t, levels, kind), x, t, levels, kind)
    torch.testing.assert_close(found.x0, x0, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(found.eps, eps, atol=1e-9, rtol=1e-9)
    assert found.log_variance is None


@pytest.mark.parametrize(("kind", "levels"), KINDS)
def test_the_two_sides_always_make_x(kind, levels):
    """An output that is wrong must be wrong in x0 and eps alike, or a sampler leaves the noise level."""
    x, output, t = drawn(levels)
    found = predict(output, x, t, levels, kind)
    torch.testing.assert_close(noised(found.x0, found.eps, t, levels), x, atol=1e-4, rtol=1e-4)


def test_v_and_x0_work_without_any_signal():
    """At zero terminal SNR v is -x0 and x is the noise; eps says nothing there, and is refused early."""
    schedule = Schedule.scaled_linear(100).zero_terminal_snr()
    x, x0, t = SeedBatch([0, 1]).normal(3), torch.full((2, 3), 0.5), torch.full((2,), 99)
    outputs: dict[Kind, torch.Tensor] = {"v": -x0, "x0": x0}
    for kind, output in outputs.items():
        found = predict(output, x, t, schedule, kind)
        assert torch.equal(found.x0, x0) and torch.equal(found.eps, x)
    with pytest.raises(BadInput, match="eps cannot start"):
        denoiser(lambda x, t: x, schedule, "eps")
    denoiser(lambda x, t: x, schedule, "v")


def test_learned_variance_interpolates_between_the_bounds_of_the_schedule_walked():
    """A respaced step is longer: its bounds are those of the respaced schedule, not of the one trained on."""
    schedule = Schedule.cosine(1000).respace(10)
    t = schedule.times[[3, 9]]
    smallest, largest = schedule.log_variance_range
    for value, expected in ((-1.0, smallest), (1.0, largest), (0.0, (smallest + largest) / 2)):
        found = learned_log_variance(torch.full((2, 1, 2, 2), value), t, schedule)
        torch.testing.assert_close(found[:, 0, 0, 0].double(), expected[[3, 9]], atol=1e-5, rtol=1e-5)
    output = torch.cat([torch.zeros(2, 3, 2, 2), torch.ones(2, 3, 2, 2)], dim=1)
    found = predict(output, torch.ones(2, 3, 2, 2), t, schedule, "eps")
    assert found.log_variance is not None and found.log_variance.shape == (2, 3, 2, 2)
    torch.testing.assert_close(found.log_variance[1, 0, 0, 0].double(), largest[9], atol=1e-5, rtol=1e-5)
    assert torch.equal(found.eps, torch.zeros(2, 3, 2, 2))


def said(x0: torch.Tensor):
    """A denoiser that always expects x0."""

    def denoise(x, t):
        return with_x0(Prediction(x0, x), x0, x, t, SCHEDULE)

    return denoise


SCHEDULE = Schedule.cosine(10)


def test_clipping_moves_the_noise_too():
    """eps is found again from the clipped x0 (SPEC 6.5): without it a clipped step drifts off its level."""
    x0, t = torch.tensor([[-3.0, 0.5, 2.0]]), torch.tensor([4])
    x = torch.ones(1, 3)
    found = clipped(said(x0), SCHEDULE)(x, t)
    assert found.x0.tolist() == [[-1.0, 0.5, 1.0]]
    torch.testing.assert_close(noised(found.x0, found.eps, t, SCHEDULE), x)
    assert x0.tolist() == [[-3.0, 0.5, 2.0]]  # the denoiser's own answer is not written to


def test_dynamic_thresholding():
    """Sample 0 is out of range in 1 value of 100, sample 1 in 50: only the second is scaled."""
    x0 = torch.zeros(2, 100)
    x0[0, 0], x0[1, :50] = 4.0, 2.0
    x0[1, 0], x0[1, 99] = -3.0, 1.0
    found = clipped(said(x0), SCHEDULE, percentile=0.9)(torch.zeros(2, 100), torch.tensor([4, 4])).x0
    assert found[0].max() == 1.0 and found[0].count_nonzero() == 1
    torch.testing.assert_close(found[1, [0, 1, 99]], torch.tensor([-1.0, 1.0, 0.5]))
    wide = clipped(said(x0), SCHEDULE, limit=10.0, percentile=0.9)(torch.zeros(2, 100), torch.tensor([4, 4]))
    assert torch.equal(wide.x0, x0)
    for share in (0.0, 1.1, -0.5):
        with pytest.raises(BadInput, match="threshold"):
            clipped(said(x0), SCHEDULE, percentile=share)


def test_keeping_overwrites_what_is_known():
    known, keep = torch.full((2, 3, 2, 2), 0.25), torch.zeros(2, 1, 2, 2, dtype=torch.bool)
    keep[0, :, 0] = True
    x, t = torch.ones(2, 3, 2, 2), torch.tensor([4, 4])
    found = keeping(said(torch.zeros(2, 3, 2, 2)), SCHEDULE, known, keep)(x, t)
    assert found.x0[0, :, 0].unique().tolist() == [0.25] and found.x0[0, :, 1].count_nonzero() == 0
    assert found.x0[1].count_nonzero() == 0
    torch.testing.assert_close(noised(found.x0, found.eps, t, SCHEDULE), x)
