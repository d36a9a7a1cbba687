"""The consistency decoder: its published size, its coefficients, two steps, and its distillation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import armchair
from armchair.core.errors import BadInput
from armchair.core.rng import SeedBatch
from armchair.dalle3.config import ConsistencyConfig
from armchair.dalle3.consistency import ConsistencyDecoder
from armchair.dalle3.consistency_task import ConsistencyTask, ConsistencyTaskConfig
from armchair.diffusion.loss import noised
from armchair.nn.unet import LevelSpec
from tests.dalle3.latents import Pictures, batch, latent_task, saved, stages, wake

TINY = ConsistencyConfig(
    levels=(LevelSpec(width=16, depth=1), LevelSpec(width=16, depth=1)),
    patch=2,
    time_width=8,
    groups=4,
    steps=64,
    rounding=4,
    visited=(60, 32),
)


def task_of(folder: Path, using: dict[str, Any] | None = None, **changes: Any) -> ConsistencyTask:
    """On the tiny autoencoder of `folder`."""
    given = {"autoencoder": stages(folder)["autoencoder"], **({} if using is None else using)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        task = ConsistencyTaskConfig(**{"net": TINY, "side": 32, **changes}).build(given, None)
        if using is None:
            wake(task.net)
        task.prepare(Pictures(), torch.Generator().manual_seed(3))
    return task


def test_published_size():
    """SPEC 5.4: 2.49 GB in float32: widths 320, 640, 1024, 1024, three layers, a learned row a timestep."""
    with torch.device("meta"):
        net = ConsistencyDecoder(ConsistencyConfig())
    count = sum(p.numel() for p in net.parameters())
    assert count == 621_277_702 and round(4 * count / 1e9, 2) == 2.49
    table = net.unet.time.time_embedding
    assert table is not None and table.weight.shape == (1024, 320)


def test_coefficients():
    """SPEC 5.4, in terms of sigma = sqrt(1 / alpha_bar - 1): a sample of variance kept stays one of unit
    variance at the network's input, and without noise the picture is the sample itself.
    """
    net = ConsistencyDecoder(replace(TINY, channels=3, stride=4))
    t = torch.tensor([4, 32, 60])
    bar = net.config.levels_of_noise.alpha_bar[t].float()
    sigma = (1 / bar - 1).sqrt()
    c_skip, c_out, c_in = (c.flatten() for c in net.coefficients(t, torch.zeros(3, 3, 8, 8)))
    torch.testing.assert_close(c_skip, bar**-0.5 * 0.25 / (sigma**2 + 0.25))
    torch.testing.assert_close(c_out, sigma * 0.5 / (sigma**2 + 0.25).sqrt())
    torch.testing.assert_close(c_in, bar**-0.5 / (sigma**2 + 0.25).sqrt())
    variance = c_in**2 * (bar * 0.25 + 1 - bar)  # of alpha x0 + sigma eps, x0 of deviation 0.5
    torch.testing.assert_close(variance, torch.ones(3))
    clean = net.coefficients(torch.tensor([0]), torch.zeros(1, 3, 8, 8))
    assert abs(clean[0].item() - 1) < 0.01 and clean[1].item() < 0.05


def test_two_steps_by_hand(tmp_path: Path):
    """From noise to a picture, noised to the second level, to a picture that is clipped."""
    net, schedule = task_of(tmp_path).net, TINY.levels_of_noise
    latent = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    rng = SeedBatch([4, 5])
    first, second = rng.normal(3, 32, 32), rng.normal(3, 32, 32)
    a, b = schedule.alpha_bar[60], schedule.alpha_bar[32]
    with torch.no_grad():
        x0 = net((1 - a).sqrt().float() * first, torch.tensor([60, 60]), latent)
        x = b.sqrt().float() * x0 + (1 - b).sqrt().float() * second
        x0 = net(x, torch.tensor([32, 32]), latent).clamp(-1, 1)
    torch.testing.assert_close(net.draw(latent, SeedBatch([4, 5])), x0)
    torch.testing.assert_close(net.draw(latent[1:], SeedBatch([5])), x0[1:], rtol=1e-4, atol=1e-5)


def test_target_is_on_the_teachers_path(tmp_path: Path):
    """The teacher takes DDIM's step to the level below, where the decoder itself is asked; from the lowest
    level that step ends at the truth.
    """
    teacher = saved(tmp_path / "teacher", task_of(tmp_path))
    task = task_of(tmp_path, {"teacher": teacher})
    assert task.teacher is not None
    torch.testing.assert_close(task.net.unet.stem.weight, task.teacher.unet.stem.weight)
    torch.testing.assert_close(task.net.scale.std, task.teacher.scale.std)
    x0, latent = task._encoded(batch(task, [0, 1]).data["image"])
    eps = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    t = torch.tensor([4, 32])
    x = noised(x0, eps, t, task.schedule)
    found = task._target(x, t, latent, x0)
    assert torch.equal(found[0], x0[0])
    bar = task.schedule.alpha_bar.float()
    with torch.no_grad():
        said = task.teacher(x, t, latent)[1]
        noise = (x[1] - bar[32].sqrt() * said) / (1 - bar[32]).sqrt()
        there = bar[28].sqrt() * said + (1 - bar[28]).sqrt() * noise
        wanted = task.net(there[None], torch.tensor([28]), latent[1:])[0]
    torch.testing.assert_close(found[1], wanted, rtol=1e-4, atol=1e-4)


def test_shares_add_up(tmp_path: Path):
    """One and two pictures are the batch of three."""
    task = task_of(tmp_path)
    whole, _ = task.loss(batch(task, [0, 1, 2]), SeedBatch([1, 2, 3]))
    totals = {"samples": 3.0}
    parts = [
        task.loss(batch(task, rows, totals), SeedBatch(s))[0] for rows, s in (([0], [1]), ([1, 2], [2, 3]))
    ]
    torch.testing.assert_close(sum(parts), whole, rtol=1e-4, atol=1e-5)


def test_training_and_distilling(tmp_path: Path):
    """Both losses fall, on fixed noise: that of the denoiser against the truth, and then that of the decoder
    against itself along the teacher's path. Scores have the autoencoder's own beside them.
    """

    def fallen(task: ConsistencyTask, lr: float, steps: int) -> float:
        optimizer = torch.optim.AdamW(task.net.parameters(), lr)
        made, seeds, losses = batch(task, [0, 3, 6, 9]), range(4), []
        for _ in range(steps + 1):
            loss, _ = task.loss(made, SeedBatch(seeds))
            losses.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return losses[-1] / losses[0]

    task = task_of(tmp_path)
    assert fallen(task, 5e-3, 12) < 0.8
    student = task_of(tmp_path, {"teacher": saved(tmp_path / "teacher", task)})
    assert fallen(student, 1e-3, 8) < 0.9
    with torch.no_grad():
        scores = student.evaluate(Pictures(), 3)
    assert set(scores) == {"psnr", "psnr_plain", "psnr_one_step"}
    x0, latent = student._encoded(batch(student, [0, 1, 2]).data["image"])
    error = (student.coder.decode(latent).clamp(-1, 1) - x0) / 2
    wanted = (-10 * error.square().mean(dim=(1, 2, 3)).log10()).mean().item()
    assert scores["psnr_plain"] == pytest.approx(wanted, rel=1e-4)


def test_pictures_decoded_by_it(tmp_path: Path):
    """A bundle that has it takes `decoder=consistency`: another picture of the same latent, the same alone or
    in a batch; one without it does not know the option.
    """
    decoder = saved(tmp_path / "decoder", task_of(tmp_path))
    saved(tmp_path / "whole", latent_task(tmp_path, {"consistency": decoder}))
    artist = armchair.load(tmp_path / "whole")
    both = artist.generate("a dog", n=2, seed=1, size="56x32", steps=2, decoder="consistency")
    alone = artist.generate("a dog", seed=2, size="56x32", steps=2, decoder="consistency")[0]
    assert both[1].image.tobytes() == alone.image.tobytes()
    assert artist.generate("a dog", seed=2, size="56x32", steps=2)[0].image.tobytes() != alone.image.tobytes()
    saved(tmp_path / "plain", latent_task(tmp_path))
    with pytest.raises(BadInput, match="no option 'decoder'"):
        armchair.load(tmp_path / "plain").generate("a dog", decoder="consistency")


def test_refusals(tmp_path: Path):
    """Each says what is wrong."""
    with pytest.raises(ValueError, match="falling multiples of 4 below 64"):
        replace(TINY, visited=(32, 60))
    with pytest.raises(BadInput, match="autoencoder is needed"):
        ConsistencyTaskConfig(net=TINY, side=32).build({}, None)
    teacher = saved(tmp_path / "teacher", task_of(tmp_path))
    with pytest.raises(BadInput, match="its sizes are not task.net's"):
        task_of(tmp_path, {"teacher": teacher}, net=replace(TINY, time_width=16))
