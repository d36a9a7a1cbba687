"""Samplers against the closed form on Gaussian data, where the best denoiser and the answer are known."""

import math

import pytest
import torch

from armchair.core.errors import BadInput
from armchair.core.rng import SeedBatch
from armchair.diffusion.prediction import Prediction, clipped, keeping
from armchair.diffusion.samplers import analytic_dpm, ddim, ddim_invert, ddpm, dpm_solver_pp_2m, noise_power
from armchair.diffusion.schedule import Schedule
from tests.diffusion.gaussian import MEAN, STD, best, even_log_snr, exact, last, mixed, order, variance

NUMBERS = 200_000  # values in a sample whose moments are taken: their errors are about STD / 450


def run(name: str, schedule: Schedule, denoise, x: torch.Tensor, seeds: SeedBatch) -> list:
    """Every sampler, called as a pipeline does."""
    match name:
        case "ddpm":
            return list(ddpm(denoise, x, schedule, seeds))
        case "ddim":
            return list(ddim(denoise, x, schedule))
        case "ddim eta 0.6":
            return list(ddim(denoise, x, schedule, seeds, eta=0.6))
        case "analytic":
            return list(analytic_dpm(denoise, x, schedule, gamma(schedule), seeds))
        case _:
            return list(dpm_solver_pp_2m(denoise, x, schedule))


SAMPLERS = ["ddpm", "ddim", "ddim eta 0.6", "analytic", "dpm-solver++"]


def gamma(schedule: Schedule) -> torch.Tensor:
    """E |eps|^2 / d of the best denoiser, in closed form."""
    noise = 1 - schedule.alpha_bar
    return noise / (schedule.alpha_bar * STD**2 + noise)


@pytest.mark.parametrize(("name", "expected"), [("ddim", 1), ("dpm-solver++", 2)])
def test_order_of_convergence(name: str, expected: int):
    """Halving the steps in log-SNR divides the error at a fixed level by 2, and by 4 for the 2M solver."""
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)[None]

    def error(count: int) -> float:
        schedule = even_log_snr(count + 1)
        there = run(name, schedule, best(schedule), x, SeedBatch([0]))[-2].x  # at the schedule's first level
        return (there - exact(x, mixed(schedule, -1), mixed(schedule, 0))).abs().max().item()

    for found in order(error, [64, 128, 256]):
        assert abs(found - expected) < 0.2


@pytest.mark.parametrize("name", ["ddim", "dpm-solver++"])
def test_ends_at_the_data(name: str):
    """On the papers' schedule and from their noise, 50 steps give N(MEAN, STD^2) to a few per cent."""
    schedule = Schedule.cosine(1000).respace(50)
    x = SeedBatch([3]).normal(NUMBERS).double()
    samples = run(name, schedule, best(schedule), x, SeedBatch([4]))[-1].x
    assert samples.mean().item() == pytest.approx(MEAN, abs=0.01)
    assert samples.std().item() == pytest.approx(STD, rel=0.05)


def test_second_order_pays():
    """Why the 2M solver is the default for few steps: at ten it is several times nearer than DDIM."""
    schedule = Schedule.cosine(1000).respace("logsnr10")
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)[None]
    wanted = exact(x, mixed(schedule, -1), (1.0, 0.0))
    errors = {
        name: (run(name, schedule, best(schedule), x, SeedBatch([0]))[-1].x - wanted).abs().max().item()
        for name in ("ddim", "dpm-solver++")
    }
    assert errors["dpm-solver++"] < errors["ddim"] / 3


@pytest.mark.parametrize("steps", [2, 5, 40])
def test_analytic_variance_is_exact_for_a_gaussian(steps: int):
    """With the optimal variance every level has the right law after any number of steps; DDPM's posterior
    variance leaves it too narrow until the steps are many.
    """
    schedule = even_log_snr(steps + 1)
    x = SeedBatch([1]).normal(NUMBERS) * math.sqrt(variance(*mixed(schedule, -1)))
    x = x + mixed(schedule, -1)[0] * MEAN
    found = run("analytic", schedule, best(schedule), x, SeedBatch([2]))[-2].x
    alpha, sigma = mixed(schedule, 0)
    assert found.mean().item() == pytest.approx(alpha * MEAN, abs=0.01)
    assert found.std().item() == pytest.approx(math.sqrt(variance(alpha, sigma)), rel=0.01)
    narrow = run("ddpm", schedule, best(schedule), x, SeedBatch([2]))[-2].x
    if steps == 2:
        assert narrow.std().item() < 0.9 * found.std().item()


def test_analytic_of_eta_0_is_exact_too():
    """The deterministic mean's own optimal variance (arXiv:2201.06503, the DDIM form)."""
    schedule = even_log_snr(4)
    alpha, sigma = mixed(schedule, -1)
    x = SeedBatch([1]).normal(NUMBERS) * math.sqrt(variance(alpha, sigma)) + alpha * MEAN
    steps = list(analytic_dpm(best(schedule), x, schedule, gamma(schedule), SeedBatch([2]), eta=0.0))
    alpha, sigma = mixed(schedule, 0)
    assert steps[-2].x.std().item() == pytest.approx(math.sqrt(variance(alpha, sigma)), rel=0.01)


def test_ddpm_converges_to_the_data():
    """Weak order: the error of the variance falls with the number of steps, to nothing at 1,000."""
    x = SeedBatch([3]).normal(NUMBERS // 8)
    spread = {}
    for steps in (10, 100, 1000):
        schedule = Schedule.cosine(1000).respace(steps)
        samples = run("ddpm", schedule, best(schedule), x, SeedBatch([4]))[-1].x
        assert samples.mean().item() == pytest.approx(MEAN, abs=0.01)
        spread[steps] = abs(samples.std().item() - STD)
    assert spread[100] < spread[10] / 3 and spread[1000] < 0.015


def test_noise_power_is_estimated():
    """By Monte-Carlo over data, equal to the closed form within its error."""
    schedule = Schedule.cosine(1000).respace(6)
    rng = SeedBatch([5])
    batches = (MEAN + STD * rng.normal(1, NUMBERS // 10) for _ in range(4))
    found = noise_power(best(schedule), batches, schedule, SeedBatch([6]))
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, gamma(schedule), atol=0.01, rtol=0.01)


def test_eta_1_is_ddpm():
    """Two derivations of the same step: equal to the last digit that floats have, noise included."""
    schedule = Schedule.linear(1000).respace(7)
    x = SeedBatch([3, 4]).normal(2, 5)
    a = last(ddim(best(schedule), x, schedule, SeedBatch([8, 9]), eta=1.0))
    b = last(ddpm(best(schedule), x, schedule, SeedBatch([8, 9])))
    torch.testing.assert_close(a, b)


def test_learned_variance_is_what_is_added():
    """Half the numbers get the largest log-variance of the range, half the smallest."""
    schedule = even_log_snr(3)
    table = schedule.log_variance_range

    def denoise(x: torch.Tensor, t: torch.Tensor) -> Prediction:
        found = best(schedule)(x, t)
        rows = torch.arange(x.shape[1]) % 2 == 0
        low, high = (schedule.lookup(part, t, x) for part in table)
        return found._replace(log_variance=torch.where(rows, high, low))

    x = torch.zeros(1, NUMBERS)
    step = next(iter(ddpm(denoise, x, schedule, SeedBatch([0]))))
    for start, part in ((0, table[1]), (1, table[0])):
        assert step.x[0, start::2].std().item() == pytest.approx(math.exp(part[2].item() / 2), rel=0.02)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("total", [1, 2, 3])
def test_few_steps(name: str, total: int):
    """One step ends at x0 exactly, and no step count gives anything but numbers."""
    schedule = Schedule.linear(total)
    x = SeedBatch([3]).normal(6)
    steps = run(name, schedule, best(schedule), x, SeedBatch([4]))
    assert [step.index for step in steps] == list(range(total)) and steps[0].total == total
    assert all(step.x.isfinite().all() for step in steps)
    assert torch.equal(steps[-1].x, steps[-1].x0)


@pytest.mark.parametrize("name", SAMPLERS)
def test_from_pure_noise(name: str):
    """A last level without any signal has an infinite log-SNR, on which solvers divide by zero."""
    schedule = Schedule.scaled_linear(1000).zero_terminal_snr().respace(20)
    x = SeedBatch([3]).normal(NUMBERS // 10).double()
    samples = run(name, schedule, best(schedule), x, SeedBatch([4]))[-1].x
    assert samples.mean().item() == pytest.approx(MEAN, abs=0.03)
    assert samples.std().item() == pytest.approx(STD, rel=0.25)  # twenty steps of DDPM are too narrow


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_call_a_step_with_the_networks_own_t(name: str):
    """The trained step numbers, the noisiest first."""
    schedule = Schedule.cosine(1000).respace("10,10,3,2,2")
    calls: list[float] = []
    run(name, schedule, best(schedule, calls), SeedBatch([0]).normal(2), SeedBatch([1]))
    assert calls == schedule.times.flip(0).tolist()


@pytest.mark.parametrize("name", SAMPLERS)
def test_kept_pixels_come_back_unchanged(name: str):
    """Exactly: a person who paints one corner must find the rest of the picture as it was."""
    schedule = Schedule.cosine(100).respace(8)
    known = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    keep = torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    keep[:, :, :3] = True
    denoise = keeping(clipped(best(schedule), schedule), schedule, known, keep)
    found = run(name, schedule, denoise, SeedBatch([1, 2]).normal(3, 4, 4), SeedBatch([3, 4]))[-1].x
    kept = keep.expand_as(known)
    assert torch.equal(found[kept], known[kept])
    assert not torch.equal(found[~kept], known[~kept])


@pytest.mark.parametrize("name", SAMPLERS)
def test_image_does_not_depend_on_its_neighbours(name: str):
    """The same seed alone and in a batch of 2, 3 and 8, bit for bit: coefficients are numbers, not rows."""
    schedule = Schedule.cosine(1000).respace(9)

    def draw(seeds: list[int]) -> torch.Tensor:
        rng = SeedBatch(seeds)
        return run(name, schedule, best(schedule), rng.normal(3, 5, 5), rng)[-1].x

    alone = draw([8])[0]
    for seeds in ([8, 9], [1, 8, 2], [0, 1, 2, 3, 4, 5, 6, 8]):
        assert torch.equal(draw(seeds)[seeds.index(8)], alone)


def test_inversion_of_one_step():
    """The only level is reached from the clean sample, where there is no noise to look at."""
    schedule, x0 = Schedule.cosine(1), torch.tensor([[0.2, -0.4]], dtype=torch.float64)
    noise = last(ddim_invert(best(schedule), x0, schedule, corrections=3))
    assert noise.isfinite().all()


@pytest.mark.parametrize("name", SAMPLERS)
def test_start_is_not_written_to(name: str):
    schedule = Schedule.cosine(10)
    x = SeedBatch([0]).normal(4)
    before = x.clone()
    run(name, schedule, best(schedule), x, SeedBatch([1]))
    assert torch.equal(x, before)


def curved(schedule: Schedule):
    """The best denoiser of an even mixture of N(-1, 0.2^2) and N(1, 0.2^2): not linear in x."""

    def denoise(x: torch.Tensor, t: torch.Tensor) -> Prediction:
        alpha, sigma = schedule.alpha_sigma(t, x)
        power = (0.2 * alpha) ** 2 + sigma**2
        side = (alpha * x / power).tanh()  # E[which of the two | x]
        x0 = side + alpha * 0.2**2 / power * (x - alpha * side)
        return Prediction(x0, (x - alpha * x0) / sigma)

    return denoise


def test_inversion_follows_the_exact_curve():
    """To the noise that the probability-flow ODE assigns, with an error of first order in the steps."""
    x0 = torch.linspace(-1, 1.6, 9, dtype=torch.float64)[None]

    def error(count: int) -> float:
        schedule = even_log_snr(count + 1, first=5.0)
        levels = [step.x for step in ddim_invert(best(schedule), x0, schedule)]
        start = mixed(schedule, 0)
        return (levels[-1] - exact(levels[0], start, mixed(schedule, -1))).abs().max().item()

    for found in order(error, [32, 64, 128]):
        assert abs(found - 1) < 0.2


def test_corrections_make_the_round_trip_exact():
    """DDIM looks at the noise where it starts a step, inversion where it ends: corrections close the gap."""
    schedule = Schedule.cosine(1000).respace(25)
    around = torch.linspace(-0.3, 0.3, 9, dtype=torch.float64)
    x0, errors = torch.cat([1 + around, -1 + around])[None], []
    for corrections in (0, 1, 4, 12):
        noise = last(ddim_invert(curved(schedule), x0, schedule, corrections))
        errors.append((last(ddim(curved(schedule), noise, schedule)) - x0).abs().max().item())
    assert errors[1] < errors[0] / 4 and errors[2] < errors[1] / 50 and errors[3] < 1e-9
    with pytest.raises(BadInput, match="corrections"):
        list(ddim_invert(curved(schedule), x0, schedule, -1))


def test_inversion_asks_once_a_level():
    schedule = Schedule.cosine(100).respace(5)
    calls: list[float] = []
    steps = list(ddim_invert(best(schedule, calls), torch.zeros(1, 2), schedule))
    assert len(calls) == len(steps) == 5 and calls[0] == 0 and calls[1:] == schedule.times[:-1].tolist()


@pytest.mark.parametrize("eta", [-0.1, 1.1, float("nan")])
def test_eta_out_of_range(eta: float):
    schedule = Schedule.cosine(10)
    with pytest.raises(BadInput, match="eta"):
        list(ddim(best(schedule), torch.zeros(1, 2), schedule, SeedBatch([0]), eta))
