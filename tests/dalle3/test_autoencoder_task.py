"""Training the autoencoder: its loss adds up over micro-batches, its scores are what they say."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from armchair.core.bundle import Bundle
from armchair.core.errors import BadInput
from armchair.core.rng import SeedBatch
from armchair.dalle3.autoencoder_task import AutoencoderTaskConfig
from armchair.nn.autoencoder import DecoderConfig
from tests.dalle3.latents import CODER_TINY, Pictures, batch, coder_task, saved


def test_loss_by_hand():
    """Means over colour values of the errors of a drawn latent, and the KL over as many."""
    task = coder_task(absolute=0.5, squared=2.0, kl_weight=0.01)
    made = batch(task, [0, 1, 2])
    loss, numbers = task.loss(made, SeedBatch([5, 6, 7]))
    x = made.data["image"] / 127.5 - 1
    moments = task.net.encode(x)
    error = task.net.decode(moments.draw(SeedBatch([5, 6, 7]).normal(3, 8, 8))) - x
    kl = moments.kl().sum() / x.numel()
    wanted = 0.5 * error.abs().mean() + 2 * error.square().mean() + 0.01 * kl
    torch.testing.assert_close(loss, wanted)
    torch.testing.assert_close(numbers["kl"], kl.detach())


def test_shares_add_up():
    """One and two pictures are the batch of three, in every number and in the gradient."""
    task = coder_task()
    whole, numbers = task.loss(batch(task, [0, 1, 2]), SeedBatch([1, 2, 3]))
    whole.backward()
    grads = [p.grad.clone() for p in task.net.parameters() if p.grad is not None]
    task.net.zero_grad()
    totals, parts = {"samples": 3.0}, []
    for rows, seeds in (([0], [1]), ([1, 2], [2, 3])):
        parts.append(task.loss(batch(task, rows, totals), SeedBatch(seeds)))
        parts[-1][0].backward()
    torch.testing.assert_close(parts[0][0] + parts[1][0], whole)
    for name, value in numbers.items():
        torch.testing.assert_close(torch.as_tensor(parts[0][1][name] + parts[1][1][name]), value)
    now = [p.grad for p in task.net.parameters() if p.grad is not None]
    torch.testing.assert_close(now, grads, rtol=1e-4, atol=1e-6)


def test_examples():
    """The middle square as it is, or crops by the generator."""
    sample = Pictures()[1]
    still, moved = coder_task(augment=False), coder_task()
    ones: list[Tensor] = [
        task.example(sample, torch.Generator().manual_seed(seed))["image"]
        for task in (still, moved)
        for seed in (1, 2)
    ]
    assert {(tuple(one.shape), one.dtype) for one in ones} == {((3, 32, 32), torch.uint8)}
    assert torch.equal(ones[0], ones[1]) and not torch.equal(ones[2], ones[3])


def test_training_raises_psnr():
    """Twenty-five updates on six pictures: a sign error anywhere in the loss would show."""
    task = coder_task(augment=False)
    before = task.evaluate(Pictures(6), 6)
    optimizer = torch.optim.AdamW(task.net.parameters(), 5e-3)
    for step in range(25):
        loss, _ = task.loss(batch(task, list(range(6)), step=step), SeedBatch(range(6)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        after = task.evaluate(Pictures(6), 6)
    assert after["psnr"] > before["psnr"] + 2


def test_scores(monkeypatch: pytest.MonkeyPatch):
    """PSNR is the mean over pictures of 10 log10 of 1 over the squared error; the others by their names."""
    task = coder_task()
    monkeypatch.setattr(task.net, "decode", lambda latent: torch.zeros(len(latent), 3, 32, 32))  # grey
    with torch.no_grad():
        scores = task.evaluate(Pictures(), 3)
    truth = torch.stack([task._middle(Pictures()[i]) for i in range(3)]) / 255
    wanted = (-10 * (truth - 0.5).square().mean(dim=(1, 2, 3)).log10()).mean().item()
    assert scores["psnr"] == pytest.approx(wanted, rel=1e-5) == scores["psnr_drawn"]
    with torch.no_grad():
        moments = task.net.encode(truth * 2 - 1)
    assert scores["noise"] == pytest.approx((0.5 * moments.log_variance).exp().mean().item(), rel=1e-4)
    assert scores["kl"] == pytest.approx((moments.kl() / moments.mean[0].numel()).mean().item(), rel=1e-4)
    assert scores["spread"] == pytest.approx(moments.mean.std(dim=(0, 2, 3)).mean().item(), rel=1e-4)


def test_bundle(tmp_path):
    """What is stored goes on training, and previews pair pictures with what becomes of them."""
    task = coder_task()
    bundle = saved(tmp_path / "coder", task)
    assert bundle.kind == "autoencoder" and set(bundle.components) == {"autoencoder"}
    again = task.config.build({}, Bundle.open(tmp_path / "coder"))
    torch.testing.assert_close(again.net.moments.weight, task.net.moments.weight, rtol=1e-3, atol=1e-3)
    sheet = task.preview(SeedBatch(range(8)))
    assert sheet is not None and sheet.size == (8 * 36 + 4, 2 * 36 + 4)


def test_another_decoder_on_the_same_latents(tmp_path):
    """A shipped latent model keeps its cells while a larger decoder is trained, which takes the encoder
    alone; once more with the same decoder it takes all.
    """
    bundle = saved(tmp_path / "coder", coder_task())
    torch.manual_seed(0)
    larger = replace(CODER_TINY, decoder=DecoderConfig(widths=(16, 24, 32), depth=1))
    config = AutoencoderTaskConfig(net=larger, frozen_encoder=True, shaken=0.05, augment=False)
    task = config.build({}, bundle)
    made = batch(task, [0, 1])
    x = made.data["image"] / 127.5 - 1
    with torch.no_grad():
        known = task.net.encode(x)
    torch.testing.assert_close(known, coder_task().net.encode(x), rtol=1e-2, atol=1e-2)
    weights = [p for p in task.net.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, 5e-3)
    before = task.evaluate(Pictures(2), 2)
    for step in range(60):
        loss, _ = task.loss(batch(task, [0, 1], step=step), SeedBatch([1, 2]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(task.net.encode(x), known, strict=True))
    assert task.evaluate(Pictures(2), 2)["psnr"] > before["psnr"]
    again = config.build({}, saved(tmp_path / "larger", task))
    torch.testing.assert_close(
        again.net.decoder.out.weight, task.net.decoder.out.weight, rtol=1e-3, atol=1e-3
    )


def test_refusals(tmp_path):
    """Each names what is wrong."""
    with pytest.raises(BadInput, match="task.kl_weight=-1"):
        coder_task(kl_weight=-1)
    with pytest.raises(BadInput, match="task.frozen_encoder .* --init"):
        coder_task(frozen_encoder=True)
    with pytest.raises(ValueError, match="a decoder of stride 4"):
        replace(CODER_TINY, decoder=DecoderConfig(widths=(16, 24), depth=1))
    with pytest.raises(BadInput, match="both 0"):
        coder_task(absolute=0.0, squared=0.0)
    bundle = saved(tmp_path / "coder", coder_task())
    with pytest.raises(BadInput, match="--using clip"):
        coder_task().config.build({"clip": bundle}, None)
