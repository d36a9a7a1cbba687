"""Training the dVAE: its loss adds up over micro-batches, its schedules and scores are what they say."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from armchair.core.errors import BadInput, BundleError
from armchair.core.rng import SeedBatch
from armchair.dalle1.dvae import kl_from_uniform, logit_laplace_nll, relax
from armchair.dalle1.dvae_task import DVAETaskConfig, codebook_use
from tests.dalle1.tiny import DVAE_TINY, Pictures, batch, dvae_bundle, dvae_task


def test_the_papers_schedules():
    """Appendix A.2: beta 0 to 6.6 over 5,000 updates, temperature 1 to 1/16 over 150,000, both cosines."""
    task = dvae_task()
    assert (task.beta(0), task.beta(5_000), task.beta(3_000_000)) == pytest.approx((0, 6.6, 6.6))
    assert task.beta(2_500) == pytest.approx(3.3)
    assert task.beta(1_250) == pytest.approx(6.6 * (1 - math.cos(math.pi / 4)) / 2)
    ends = task.temperature(0), task.temperature(150_000), task.temperature(10**7)
    assert ends == pytest.approx((1, 1 / 16, 1 / 16))
    assert task.temperature(75_000) == pytest.approx((1 + 1 / 16) / 2)
    falling = [task.temperature(step) for step in range(0, 150_001, 10_000)]
    assert falling == sorted(falling, reverse=True)
    assert falling[0] - falling[1] < (1 - 1 / 16) / 15 / 2, "a cosine starts slowly; linear diverged (A.2)"


def test_loss_is_the_bound():
    """Written out from equation 1: mean over colour values of the likelihood, plus beta times the KL of all
    cells over as many.
    """
    task = dvae_task(temperature_steps=100, kl_warmup=100)
    made = batch(task, [0, 1, 2], step=37)
    loss, numbers = task.loss(made, SeedBatch([5, 6, 7]))
    x = 0.8 * made.data["image"] / 255 + 0.1
    logits = task.net.encoder(x)
    noise = SeedBatch([5, 6, 7]).uniform(4, 4, 24).movedim(-1, 1)
    z, _ = relax(logits, noise, task.temperature(37))
    nll = logit_laplace_nll(x, *task.net.decoder(z)).mean()
    kl = kl_from_uniform(logits).sum() / (3 * 3 * 16 * 16)  # 3 pictures of 3 x 16 x 16 values
    torch.testing.assert_close(loss, nll + task.beta(37) * kl)
    torch.testing.assert_close(numbers["bound"], (nll + kl).detach())
    torch.testing.assert_close(numbers["nll"], nll.detach())
    torch.testing.assert_close(numbers["kl"], kl.detach())


def test_smallest_scale_is_a_floor():
    """Where the network is surer than the floor, it pays as if it were not: no scale below it is used."""
    x = torch.full((1, 3, 4, 4), 0.5)
    sure = torch.full_like(x, -9.0)
    task = dvae_task(smallest_scale=0.1)
    torch.testing.assert_close(task._nll(x, x, sure), task._nll(x, x, torch.full_like(x, math.log(0.1))))
    assert dvae_task()._nll(x, x, sure) > 1000 > task._nll(x, x, sure)


def test_shares_add_up():
    """Two and four pictures are the batch of six, in every number and in the gradient: accumulation and more
    processes rest on it.
    """
    task = dvae_task()
    seeds, totals = [11, 12, 13, 14, 15, 16], {"samples": 6.0}
    task.loss(batch(task, [0, 1, 2, 3, 4, 5], step=2_000), SeedBatch(seeds))[0].backward()
    whole = [p.grad.clone() for p in task.net.parameters() if p.grad is not None]
    loss, numbers = task.loss(batch(task, [0, 1, 2, 3, 4, 5], step=2_000), SeedBatch(seeds))
    task.net.zero_grad()
    parts: list[tuple[Tensor, dict]] = []
    for indices, some in (([0, 1], seeds[:2]), ([2, 3, 4, 5], seeds[2:])):
        parts.append(task.loss(batch(task, indices, totals, step=2_000), SeedBatch(some)))
        parts[-1][0].backward()
    torch.testing.assert_close(parts[0][0] + parts[1][0], loss)
    for name in ("nll", "kl", "bound", "beta", "temperature"):
        assert float(parts[0][1][name] + parts[1][1][name]) == pytest.approx(float(numbers[name]), rel=1e-5)
    now = [p.grad for p in task.net.parameters() if p.grad is not None]
    torch.testing.assert_close(now, whole, rtol=1e-4, atol=1e-6)


def test_noise_belongs_to_a_picture():
    """The same seed gives a picture the same loss whatever stands beside it in the batch."""
    task = dvae_task()
    totals = {"samples": 1.0}
    alone, _ = task.loss(batch(task, [4], totals), SeedBatch([9]))
    pair, _ = task.loss(batch(task, [3, 4], totals), SeedBatch([8, 9]))
    other, _ = task.loss(batch(task, [3], totals), SeedBatch([8]))
    torch.testing.assert_close(pair, alone + other)


def test_examples_are_augmented_by_their_generator():
    """The same generator gives the same crop; another one another; off, it is the middle square."""
    sample = Pictures(size=40)[3]
    task = dvae_task()
    one, same, other = (task.example(sample, torch.Generator().manual_seed(s))["image"] for s in (1, 1, 2))
    assert one.shape == (3, 16, 16) and one.dtype == torch.uint8
    assert torch.equal(one, same) and not torch.equal(one, other)
    still = dvae_task(augment=False)
    ones = [still.example(sample, torch.Generator().manual_seed(s))["image"] for s in (1, 2)]
    assert torch.equal(*ones)


def test_training_lowers_the_bound():
    """Thirty updates on eight pictures: a sign error anywhere in the bound would show."""
    task = dvae_task(kl_weight=0.1, kl_warmup=10, temperature_steps=30)
    optimizer = torch.optim.AdamW(task.net.parameters(), 5e-3)
    bounds: list[float] = []
    for step in range(30):
        loss, numbers = task.loss(batch(task, list(range(8)), step=step), SeedBatch(range(8)))
        bounds.append(float(numbers["nll"]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert bounds[-1] < bounds[0] - 0.3


def test_scores_and_the_alarm(caplog: pytest.LogCaptureFixture):
    """Each score against its meaning on a network that uses one code: PSNR, use, perplexity, KL; and a person
    is told that it has collapsed.
    """
    task = dvae_task(net=DVAE_TINY.__class__(image_size=16, width=8, groups=3, blocks=1, vocab=64))
    source = Pictures(5)
    task.evaluate(source, 7)
    assert "collapsed" not in caplog.text
    with torch.no_grad():
        assert task.net.encoder.head.bias is not None
        task.net.encoder.head.bias[7] += 100
        scores = task.evaluate(source, 7)
    assert "codebook has collapsed: 1.6 % of it is in use" in caplog.text
    assert scores["used"] == pytest.approx(1 / 64)
    assert scores["perplexity"] == pytest.approx(1)
    assert scores["kl"] == pytest.approx(math.log(64) * 16 / (3 * 16 * 16))
    assert scores["hard_minus_soft"] == pytest.approx(0, abs=1e-5), "certain codes have no relaxation gap"
    drawn = task.net.decode(torch.full((1, 4, 4), 7))[0]
    psnr = []
    for i in (0, 1, 2, 3, 4, 0, 1):
        error = (task._middle(source[i]) - drawn).square().mean().item()
        psnr.append(-10 * math.log10(error))
    assert scores["psnr"] == pytest.approx(sum(psnr) / 7, rel=1e-4)


def test_codebook_use():
    """The share that occurs, and the exponential of the entropy of how often."""
    assert codebook_use(torch.arange(8).repeat(3), 16) == pytest.approx((0.5, 8.0))
    assert codebook_use(torch.tensor([[1, 1], [1, 1]]), 4) == pytest.approx((0.25, 1.0))


def test_preview_shows_pairs():
    """Eight pictures above their reconstructions; the same ones all through a run."""
    task = dvae_task()
    assert task.preview(SeedBatch(range(16))) is None, "before prepare there is nothing to show"
    task.prepare(Pictures(), torch.Generator().manual_seed(0))
    one, two = (task.preview(SeedBatch(range(16))) for _ in range(2))
    assert one is not None and two is not None
    assert one.tobytes() == two.tobytes()
    assert one.width > 3 * one.height


def test_bundle_starts_another_run(tmp_path: Path):
    """--init: the weights come back, up to the rounding of their storage; a wrong size is refused by name."""
    bundle = dvae_bundle(tmp_path / "a")
    task = DVAETaskConfig(net=DVAE_TINY).build({}, bundle)
    for name, value in dvae_task().net.state_dict().items():
        torch.testing.assert_close(task.net.state_dict()[name], value.half().float(), rtol=0, atol=0)
    with pytest.raises(BundleError, match=r"dvae: tensor .* is \["):
        DVAETaskConfig(net=DVAE_TINY.__class__(image_size=16, width=16, groups=3)).build({}, bundle)


def test_codebook_from_clusters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The recipe's second run: prepare spreads the codebook over what --init's network sees."""
    from armchair.dalle1 import dvae_task as module

    monkeypatch.setattr(module, "FITTED", 128)
    config = DVAETaskConfig(net=DVAE_TINY, codebook="clusters")
    with pytest.raises(BadInput, match="name a dVAE with --init"):
        config.build({}, None)
    task = config.build({}, dvae_bundle(tmp_path / "a"))
    before = task.net.encoder.head.weight.clone()
    task.prepare(Pictures(size=16), torch.Generator().manual_seed(0))
    assert not torch.equal(task.net.encoder.head.weight, before)
    assert task.evaluate(Pictures(size=16), 40)["used"] > 0.8


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"temperature": 0.0}, "task.temperature=0.0: a number above 0"),
        ({"temperature": 2.0}, "task.temperature=2.0"),
        ({"kl_warmup": 0}, "task.kl_warmup=0: at least 1 update"),
        ({"temperature_steps": 0}, "task.temperature_steps=0"),
    ],
    ids=str,
)
def test_wrong_settings_are_refused(changes: dict, words: str):
    """Before training, not as a division by zero in it."""
    with pytest.raises(BadInput, match=words):
        DVAETaskConfig(**changes)


def test_it_builds_on_nothing(tmp_path: Path):
    """--using with a first stage is a mistake that must not pass silently."""
    with pytest.raises(BadInput, match="--using dvae: the dVAE is the first stage"):
        DVAETaskConfig(net=DVAE_TINY).build({"dvae": dvae_bundle(tmp_path / "a")}, None)


def test_decoder_alone(tmp_path: Path):
    """frozen_encoder: the decoder learns on hard codes and no code changes its meaning, so that a transformer
    that was trained on them stays right.
    """
    bundle = dvae_bundle(tmp_path / "a", storage="float32")
    task = DVAETaskConfig(net=DVAE_TINY, frozen_encoder=True).build({}, bundle)
    made = batch(task, [0, 1, 2])
    loss, numbers = task.loss(made, SeedBatch([0, 1, 2]))
    x = 0.8 * made.data["image"] / 255 + 0.1
    hard = task.net.decoder.lookup(task.net.encoder(x).argmax(1))
    torch.testing.assert_close(numbers["nll"], logit_laplace_nll(x, *hard).mean().detach())
    loss.backward()
    assert all(p.grad is None for p in task.net.encoder.parameters())
    assert all(p.grad is not None for p in task.net.decoder.parameters())
    for changes, init in (({}, None), ({"codebook": "clusters"}, bundle)):
        with pytest.raises(BadInput, match="task.frozen_encoder keeps the codes of a dVAE: --init BUNDLE"):
            DVAETaskConfig(net=DVAE_TINY, frozen_encoder=True, **changes).build({}, init)
