"""Guidance: other projects shipped it broken for months, because nothing looked at each row and step."""

import pytest
import torch

from armchair.core.errors import BadInput
from armchair.diffusion.guidance import guided, parse_interval
from armchair.diffusion.prediction import denoiser
from armchair.diffusion.samplers import ddim
from armchair.diffusion.schedule import Schedule

COND = {"emb": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "keep": torch.tensor([[True], [True]])}
UNCOND = {"emb": torch.tensor([[0.5, 0.5], [0.5, 0.5]]), "keep": torch.tensor([[False], [False]])}


class Net:
    """Output depends on x, t and the condition; remembers what it was called with."""

    def __init__(self, variance: bool = False):
        self.variance = variance
        self.rows: list[int] = []

    def __call__(
        self, x: torch.Tensor, t: torch.Tensor, emb: torch.Tensor, keep: torch.Tensor
    ) -> torch.Tensor:
        assert len(x) == len(t) == len(emb) == len(keep)
        self.rows.append(len(x))
        value = 0.1 * x + emb[:, :, None] + keep[:, :, None] + t[:, None, None]  # (B, 2, n)
        return torch.cat([value, 10 * value], dim=1) if self.variance else value


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.arange(12.0).view(2, 2, 3), torch.tensor([3, 3])


def test_formula():
    """uncond + guidance (cond - uncond), by hand; Ho and Salimans' w is guidance - 1."""
    net = Net()
    x, t = inputs()
    cond, uncond = net(x, t, **COND), net(x, t, **UNCOND)
    for guidance in (0.0, 0.5, 3.0, -1.0):
        found = guided(net, COND, UNCOND, guidance)(x, t)
        torch.testing.assert_close(found, uncond + guidance * (cond - uncond))
        torch.testing.assert_close(found, guidance * cond - (guidance - 1) * uncond)


def test_one_pass_and_no_second_row_at_1():
    """The rows run together; guidance that is off is not paid for."""
    x, t = inputs()
    net = Net()
    guided(net, COND, UNCOND, 3.0)(x, t)
    guided(net, COND, UNCOND, 1.0)(x, t)
    guided(net, COND, None, 3.0)(x, t)
    assert net.rows == [4, 2, 2]


def test_a_network_may_repeat_its_input_itself():
    x, t = inputs()
    net = Net()

    def repeating(x: torch.Tensor, t: torch.Tensor, **conditions: torch.Tensor) -> torch.Tensor:
        assert len(x) == len(t) == 2
        return net(torch.cat([x, x]), torch.cat([t, t]), **conditions)

    found = guided(repeating, COND, UNCOND, 3.0, repeats=True)(x, t)
    assert torch.equal(found, guided(Net(), COND, UNCOND, 3.0)(x, t)) and net.rows == [4]


def test_interval():
    """Outside of it the conditional row alone is computed, and is the answer; its ends belong to it."""
    net = Net()
    x, _ = inputs()
    output = guided(net, COND, UNCOND, 3.0, interval=(0.25, 0.5))
    for at, is_guided in ((0.2, False), (0.25, True), (0.5, True), (0.6, False)):
        t = torch.full((2,), at)
        wanted = guided(Net(), COND, UNCOND, 3.0 if is_guided else 1.0)(x, t)
        assert torch.equal(output(x, t), wanted)
    assert net.rows == [2, 4, 4, 2]


def test_tuples_of_conditions():
    """What attention reads of the words comes as tuples in tuples: each tensor gets both rows."""
    seen = []

    def net(x, t, words):
        seen.append(words)
        return x + words[0][1][:, :, None]

    cond, uncond = torch.ones(2, 2), torch.zeros(2, 2)
    x, t = inputs()
    found = guided(net, {"words": ((cond, 5 * cond), ())}, {"words": ((uncond, uncond), ())}, 2.0)(x, t)
    torch.testing.assert_close(found, x + 10)
    assert seen[0][1] == () and [len(part) for part in seen[0][0]] == [4, 4]


def test_interval_as_text():
    assert parse_interval("0.1-0.8") == (0.1, 0.8) and parse_interval("0-1") is None
    for text in ("0.8-0.1", "0.1", "0.1-2", "-0.1-1", "a-b", 0.5):
        with pytest.raises(BadInput, match="two shares of the noise from 0 to 1"):
            parse_interval(text)


def test_variance_is_the_conditional_one():
    """GLIDE guides eps alone (SPEC trap 12): guided variance channels burn the picture."""
    x, t = inputs()
    net = Net(variance=True)
    found = guided(net, COND, UNCOND, 5.0)(x, t)
    assert torch.equal(found[:, 2:], net(x, t, **COND)[:, 2:])
    torch.testing.assert_close(found[:, :2], guided(Net(), COND, UNCOND, 5.0)(x, t))


def test_rescale():
    """All of it restores the conditional standard deviation, half of it lies half-way; per sample."""
    x, t = inputs()
    x = x * torch.tensor([1.0, 5.0])[:, None, None]
    cond = Net()(x, t, **COND)
    plain, half, whole = (guided(Net(), COND, UNCOND, 4.0, share)(x, t) for share in (0.0, 0.5, 1.0))
    torch.testing.assert_close(whole.flatten(1).std(dim=1), cond.flatten(1).std(dim=1))
    torch.testing.assert_close(half, (plain + whole) / 2)
    assert not torch.allclose(whole, plain)


def test_all_kinds_are_guided_alike():
    """x0, eps and v are linear in each other at a given x, so guiding any of them is guiding all."""
    schedule = Schedule.cosine(10)
    x, t = inputs()
    alpha, sigma = schedule.alpha_sigma(t, x)

    def as_kind(kind):
        def net(x, t, **condition):
            eps = Net()(x, t, **condition)
            x0 = (
                (x - sigma * eps) / alpha
                if len(x) == 2
                else (x - sigma.repeat(2, 1, 1) * eps) / alpha.repeat(2, 1, 1)
            )
            return {"eps": eps, "x0": x0, "v": alpha[:1] * eps - sigma[:1] * x0}[kind]

        return denoiser(guided(net, COND, UNCOND, 3.0), schedule, kind)(x, t)

    for kind in ("x0", "v"):
        torch.testing.assert_close(as_kind(kind).x0, as_kind("eps").x0, rtol=1e-4, atol=1e-4)


def test_guidance_acts_at_every_step_and_writes_to_nothing():
    """DALLE-pytorch zeroed the caller's prompt in the first step, and drew unguided ever after."""
    seen: list[float] = []

    class Watched(Net):
        def __call__(self, x, t, emb, keep):
            out = super().__call__(x, t, emb, keep)
            seen.append((out[:2] - out[2:]).abs().min().item())
            return out

    before = {
        name: value.clone() for name, value in (COND | {f"un{k}": v for k, v in UNCOND.items()}).items()
    }
    schedule = Schedule.cosine(100).respace(6)
    x, _ = inputs()
    kept = x.clone()
    steps = list(ddim(denoiser(guided(Watched(), COND, UNCOND, 3.0), schedule, "eps"), x, schedule))
    assert len(seen) == len(steps) == 6 and min(seen) > 0.5
    assert torch.equal(x, kept)
    after = COND | {f"un{k}": v for k, v in UNCOND.items()}
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_half_precision_is_combined_in_full():
    """The difference of two bf16 rows, times 8, is noise unless it is taken in fp32."""

    def net(x, t, **condition):
        return Net()(x, t, **condition).bfloat16()

    assert guided(net, COND, UNCOND, 8.0)(*inputs()).dtype == torch.float32


def test_settings_out_of_range():
    for guidance in (float("nan"), float("inf")):
        with pytest.raises(BadInput, match="guidance"):
            guided(Net(), COND, UNCOND, guidance)
    for rescale in (-0.1, 1.5):
        with pytest.raises(BadInput, match="rescale"):
            guided(Net(), COND, UNCOND, 2.0, rescale)
