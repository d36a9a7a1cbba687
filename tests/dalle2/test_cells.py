"""A decoder whose U-Net works on cells: what it sees of noise, what it makes of cells, its bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from armchair.core.bundle import Bundle
from armchair.core.errors import BadInput
from armchair.core.rng import SeedBatch
from armchair.dalle2.alone import DecoderSketchTask
from armchair.dalle2.cells import Cells
from armchair.dalle2.config import CellsConfig
from armchair.dalle2.decoder import Decoder
from armchair.dalle2.decoder_task import DecoderTask, DecoderTaskConfig
from armchair.diffusion.schedule import Schedule
from armchair.nn.autoencoder import DecoderConfig as PixelsConfig
from armchair.nn.sketch import SketchConfig
from tests.dalle2.tiny import DECODER_TINY, Pictures, batch, decoder_task, saved
from tests.stages import losses

CELLS = CellsConfig(
    channels=3, patch=4, noise=0.5, pixels=PixelsConfig(widths=(8, 16), depth=1, patch=2), groups=4
)
SKETCH = SketchConfig(width=64, depth=1, heads=2, head_width=8, hidden=24, token_width=4, side=2)
NET = replace(
    DECODER_TINY,
    caption=None,
    text_width=64,
    sketch=SKETCH,
    pooled=True,
    cells=CELLS,
    patch=1,
    resample="conv",
    places=2,
    prediction="x0",
)


def task_of(folder: Path, **changes: object) -> DecoderTask:
    return decoder_task(folder, net=NET, storage="float32", **changes)


def cells() -> Cells:
    torch.manual_seed(0)
    return Cells(CELLS, Schedule.cosine(100)).eval()


def test_noisy_cells_are_clean_ones_and_noise():
    """The convolution is linear: cells of alpha x0 + sigma eps are (1 - time) of the clean ones and noise
    whose mean is zero, in the share that `noise` says.
    """
    net, levels = cells(), Schedule.cosine(100)
    t = torch.tensor([5, 40, 90])
    x0, eps = torch.randn(3, 3, 16, 16).clamp(-1, 1), torch.randn(3, 3, 16, 16)
    alpha, sigma = levels.alpha_sigma(t, x0)
    with torch.no_grad():
        seen = net.see(alpha * x0 + sigma * eps, t)
        clean = net.known(torch.cat([x0, torch.ones(3, 1, 16, 16)], dim=1))[:, :3]
        noise = net.see(alpha * x0 + sigma * (eps + 1), t).cells - seen.cells  # of noise that is 1 more
        one = net.see(alpha * x0 + sigma, t).cells - net.see(alpha * x0, t).cells
    torch.testing.assert_close(noise, one)
    torch.testing.assert_close(net.see(alpha * x0, t).cells, (1 - seen.time) * clean)
    torch.testing.assert_close(seen.time, 0.5 * sigma / (alpha + 0.5 * sigma))
    noisy = net.see(alpha * x0 + sigma * eps, t).cells
    torch.testing.assert_close(noisy - seen.time * net.velocity(x0, eps), clean, atol=1e-4, rtol=1e-3)


def test_fresh_cells_are_principal_components(tmp_path: Path):
    """Of unit size and without correlation over the pictures that they were fitted to; weights that come from
    elsewhere keep theirs.
    """
    net = cells()
    pictures = torch.stack([torch.from_numpy(Pictures(size=16)[i].image).permute(2, 0, 1) for i in range(40)])
    net.fit(pictures)
    with torch.no_grad():
        found = net.known(torch.cat([pictures / 127.5 - 1, torch.ones(40, 1, 16, 16)], dim=1))[:, :3]
    rows = found.transpose(0, 1).flatten(1)
    torch.testing.assert_close(rows.cov(), torch.eye(3), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(rows.mean(dim=1), torch.zeros(3), atol=1e-3, rtol=0)

    task = task_of(tmp_path)
    assert isinstance(task.net, Decoder) and task.net.cells is not None
    assert (task.net.cells.into.weight[:, :, 0, 0] == 0).all(), "prepared, so fitted"
    again = DecoderTaskConfig(net=NET).build(
        {"clip": Bundle.open(tmp_path / "clip")}, saved(tmp_path / "b", task)
    )
    before = again.net.state_dict()["cells.into.weight"].clone()
    again.prepare(Pictures(size=20), torch.Generator().manual_seed(1))
    assert torch.equal(again.net.state_dict()["cells.into.weight"], before)


def test_little_noise_leaves_the_picture():
    """Two estimates of a pixel, weighed by how sure they are: at the first level the noisy picture counts, at
    the last what cells say.
    """
    net = cells()
    x, output = torch.rand(1, 3, 16, 16), torch.zeros(1, 3, 4, 4)
    with torch.no_grad():
        shares = [net.see(x, torch.tensor([t])).share.item() for t in range(0, 100, 9)]
        seen = net.see(x, torch.tensor([0]))
        first = net(output, seen)
    assert shares == sorted(shares, reverse=True) and shares[0] > 0.9 and shares[-1] < 1e-3
    alpha, _ = Schedule.cosine(100).alpha_sigma(torch.tensor([0]), x)
    torch.testing.assert_close(seen.own, seen.share * x / alpha)
    made = net.pixels(net.back(seen.cells), net.own(torch.nn.functional.pixel_unshuffle(seen.own, 2)))
    torch.testing.assert_close(first, (1 - seen.share) * made + seen.own)


def test_known_pixels_become_known_cells():
    """What stays is seen as cells, what does not is nothing, and half a cell counts half."""
    net = cells()
    keep = torch.zeros(1, 1, 16, 16)
    keep[..., :6] = 1
    with torch.no_grad():
        found = net.known(torch.cat([torch.rand(1, 3, 16, 16) * keep, keep], dim=1))
    assert found.shape == (1, 4, 4, 4)
    assert found[0, 3, 0].tolist() == [1.0, 0.5, 0.0, 0.0]
    assert (found[..., 2:] == 0).all() and (found[:, :3, :, 0] != 0).any()


def test_it_learns_and_draws_from_its_bundle(tmp_path: Path):
    """Pixels and the variance come out; the loss is the sum of its parts and falls; the bundle draws what the
    weights do that it was made of.
    """
    task = task_of(tmp_path)
    net = task.net
    assert isinstance(net, Decoder) and net.cells is not None
    assert (net.config.unet.channels_in, net.config.unet.channels_out) == (7, 6)
    made = batch(task, [0, 1, 2, 3])
    z = task.embedder.image_emb(made.data["image"])
    read, t = task.read(made.data["tokens"]), torch.tensor([0, 30, 60, 99])
    output, x0, _ = task.outputs(made.data, read, t, SeedBatch(range(4)).normal(3, 16, 16), z)
    assert output.shape == (4, 6, 16, 16) and x0.shape == (4, 3, 16, 16)
    found = losses(task, made, updates=30, lr=3e-3)
    assert found[-1] < 0.8 * found[0]
    loss, logged = task.loss(made, SeedBatch(range(4)))
    parts = (
        float(logged["simple"]) + float(logged["cells"]) + float(logged["vlb"]) * len(task.schedule) / 1000
    )
    assert loss.item() == pytest.approx(parts, rel=1e-4)
    assert not any(p.requires_grad for p in net.cells.into.parameters()), "errors are told in its numbers"
    bundle = saved(tmp_path / "whole", task)
    again = DecoderTaskConfig(net=NET, storage="float32").build(
        {"clip": Bundle.open(tmp_path / "clip")}, bundle
    )
    z = torch.nn.functional.normalize(torch.ones(1, 12), dim=-1)
    drawn: list[torch.Tensor] = []
    for one in (net, again.net):
        pipeline = task.pipeline(lambda one=one: one.eval())
        assert pipeline is not None
        *_, last = pipeline.paint("a cat", z, [1], "16x16", {**pipeline.defaults, "steps": 4})
        drawn.append(last.images)
    torch.testing.assert_close(*drawn)
    assert drawn[0].std() > 0


def test_pixels_of_a_share(tmp_path: Path):
    """The first rows' pixels stand for all, and count as much as all; every row's cells are learned from."""
    task = task_of(tmp_path)
    made, seeds = batch(task, [0, 1, 2, 3]), SeedBatch(range(4))
    half = replace(made, data={name: part[:2] for name, part in made.data.items()}, totals={"samples": 2.0})
    whole, few = task.loss(made, seeds)[1], task.loss(half, SeedBatch(range(2)))[1]
    task.config = replace(task.config, pixels_share=0.5)
    loss, logged = task.loss(made, SeedBatch(range(4)))
    torch.testing.assert_close(logged["cells"], whole["cells"])
    torch.testing.assert_close(
        {name: logged[name] for name in ("simple", "vlb")}, {name: few[name] for name in ("simple", "vlb")}
    )
    loss.backward()
    assert all(p.grad is not None for p in task.net.parameters() if p.requires_grad)
    with pytest.raises(BadInput, match="task.pixels_share=0.5: 1 is needed, task.net.cells is null"):
        DecoderTaskConfig(pixels_share=0.5)


def test_its_sketch_is_of_cells(tmp_path: Path):
    """Its numbers are those of the cells, and it learns alone as one of pixels does."""
    task = task_of(tmp_path, alone="sketch")
    assert isinstance(task, DecoderSketchTask) and task.part.mlp[3].out_features == 3
    found = losses(task, batch(task, [0, 1, 2, 3]), updates=30, lr=1e-2)
    assert found[-1] < 0.7 * found[0]


def test_strayed_embeddings(tmp_path: Path):
    """Of length one, nearer to their own picture's than not; where the caption is hidden they are as they
    were; drawn by the example's own generator.
    """
    task = task_of(tmp_path, stray=1.4)
    made = batch(task, [0, 1, 2, 3])
    tokens = made.data["tokens"].clone()
    tokens[2:] = task.tokens([])
    tokens[:2] = task.tokens([5, 6])
    z = task.embedder.image_emb(made.data["image"])
    found = task._strayed(z, tokens, SeedBatch(range(4)))
    assert torch.equal(found, task._strayed(z, tokens, SeedBatch(range(4))))
    torch.testing.assert_close(found.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(found[2:], z[2:])
    assert ((found[:2] - z[:2]).norm(dim=1) > 1e-3).all()
    with pytest.raises(BadInput, match="task.stray=-1"):
        DecoderTaskConfig(net=NET, stray=-1)


def test_refusals():
    """Only pixels come out of cells; sides fit cells and levels; a mean needs states."""
    with pytest.raises(ValueError, match="prediction x0 is needed, not eps"):
        replace(NET, prediction="eps")
    with pytest.raises(ValueError, match="20 is not a multiple of the coarsest level's 8"):
        replace(NET, image_size=20)
    with pytest.raises(ValueError, match="pooled means the states"):
        replace(NET, caption=DECODER_TINY.caption, sketch=None)
    with pytest.raises(ValueError, match="noise 0 is above 0"):
        replace(CELLS, noise=0)


def test_a_share_of_the_embedding():
    """0 hides it, 1 tells all of it, and between them lies between them."""
    torch.manual_seed(0)
    net = Decoder(replace(NET, embed=12, vocab=300)).eval()
    torch.nn.init.normal_(net.no_image)
    states, tokens, keep = (
        torch.randn(1, 4, 64),
        torch.tensor([[1, 2, 3, 4]]),
        torch.ones(1, 4, dtype=torch.bool),
    )
    z = torch.nn.functional.normalize(torch.randn(1, 12), dim=-1)
    with torch.no_grad():
        context = net.sketch.read(states, tokens, keep)
        made = [
            net.conditions(states, z, share, None, keep, context)["extra"]
            for share in (torch.tensor([False]), torch.tensor([0.5]), torch.tensor([True]))
        ]
        whole = net.conditions(states, z, torch.tensor([1.0]), None, keep, context)["extra"]
    torch.testing.assert_close(made[1], (made[0] + made[2]) / 2)
    assert torch.equal(made[2], whole) and not torch.allclose(made[0], made[2])
