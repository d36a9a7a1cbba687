"""Training the sketch: what learns, what is kept, what it is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from armchair.core.bundle import Component
from armchair.core.errors import BadInput
from armchair.core.rng import SeedBatch
from armchair.dalle3.alone import DraftTask, SketchTask
from armchair.dalle3.latent_task import LatentTask
from armchair.nn.draft import DraftConfig
from armchair.nn.layout import LayoutConfig
from armchair.nn.sketch import SketchConfig
from tests.dalle3.latents import Pictures, batch, latent_config, latent_task, saved
from tests.stages import LOOKS, Placed, alone_learns, losses, wake
from tests.stages import batch as task_batch

DRAFT = DraftConfig(widths=(8, 8), side=2, hidden=12, depth=1, groups=4)
LAYOUT = LayoutConfig(width=16, depth=1, heads=2, most=3, bins=8, hidden=6, octaves=2, looks=LOOKS)
PLACED = Placed(Pictures())
SKETCH = SketchConfig(width=16, depth=1, heads=2, head_width=8, hidden=24, token_width=4, side=2)


def sketch_task(folder: Path) -> SketchTask:
    """On weights that had no sketch."""
    (folder / "old").mkdir()
    init = saved(folder / "before", latent_task(folder / "old"))
    task = latent_task(folder, net=replace(latent_config(), sketch=SKETCH), init=init, alone="sketch")
    assert isinstance(task, SketchTask)
    return task


def test_weights_without_a_sketch_draw_as_before(tmp_path: Path):
    """A new sketch changes nothing until it has learned."""
    (tmp_path / "old").mkdir()
    old = latent_task(tmp_path / "old")
    init = saved(tmp_path / "before", old)
    new = latent_task(tmp_path, net=replace(latent_config(), sketch=SKETCH), init=init)
    made, seeds = batch(old, [0, 1, 2]), [5, 6, 7]
    before, after = (task.loss(made, SeedBatch(seeds))[0] for task in (old, new))
    torch.testing.assert_close(before, after, rtol=1e-3, atol=1e-4)


def test_sketch_alone_learns(tmp_path: Path):
    """The U-Net and the text encoder stand still; the error falls."""
    task = sketch_task(tmp_path)
    names = {name.split(".")[1] for name, weight in task.net.named_parameters() if weight.requires_grad}
    assert names == {"sketch"}
    found = losses(task, batch(task, [0, 1, 2, 3]), updates=30, lr=1e-2)
    assert found[-1] < found[0] / 2
    assert set(task.evaluate(Pictures(), 4)) == {"sketch"}
    latent = task.components()["latent"]
    assert isinstance(latent, Component) and latent.tensors is not None
    tensors = latent.tensors
    assert "sketch.mlp.3.weight" in tensors and tensors["sketch.mlp.3.weight"].any()


def draft_task(folder: Path, **changes: Any) -> LatentTask:
    """On weights that had no draft."""
    (folder / "old").mkdir()
    net = replace(latent_config(), sketch=SKETCH, layout=LAYOUT)
    init = saved(folder / "before", latent_task(folder / "old", source=PLACED, net=net))
    return latent_task(folder, source=PLACED, net=replace(net, draft=DRAFT), init=init, **changes)


def test_draft_alone_learns(tmp_path: Path):
    """All else stands still."""
    task = draft_task(tmp_path, alone="draft", drop_text=0.0, drop_layout=0.0)
    assert isinstance(task, DraftTask)
    alone_learns(task, task_batch(task, [0, 1, 2, 3], None, 0, PLACED), PLACED, ".draft.")


def test_draft_learns_beside_the_network(tmp_path: Path):
    """By its own error, which is all that moves it; the network is shown it, and a new one is the sketch."""
    task = draft_task(tmp_path, drop_text=0.0, drop_layout=0.0)
    made, old = task_batch(task, [0, 1, 2], None, 0, PLACED), task.net.denoiser.draft
    assert old is not None
    loss, logged = task.loss(made, SeedBatch([5, 6, 7]))
    task.net.denoiser.draft = None
    before, without = task.loss(made, SeedBatch([5, 6, 7]))
    task.net.denoiser.draft = old
    torch.testing.assert_close(loss - logged["draft"], before, rtol=1e-3, atol=1e-4)
    assert "draft" not in without and float(logged["draft"]) > 0
    loss.backward()
    assert old.out.weight.grad is not None and old.out.weight.grad.any()

    wake(old)
    cells = max(height * width for height, width in latent_config().grids)
    noise = torch.full((3,), 0.5), torch.zeros(3, latent_config().channels, cells)
    with torch.no_grad():
        shown, logged = task.loss(made, SeedBatch([5, 6, 7]))
    assert abs(float(shown - logged["draft"]) - float(before.detach())) > 1e-4
    task.net.zero_grad()
    sum(group.output.sum() for group in task.outputs(made.data, *noise)).backward()
    assert all(p.grad is None for p in old.parameters())
    assert task.evaluate(PLACED, 6)["draft"] > 0


def test_refusals(tmp_path: Path):
    """Without a sketch, or a draft, there is nothing to train; without a layout no draft."""
    for part in ("sketch", "draft"):
        with pytest.raises(BadInput, match=f"task.net.{part} is null"):
            latent_task(tmp_path, alone=part)
    with pytest.raises(ValueError, match="layout is null"):
        replace(latent_config(), sketch=SKETCH, draft=DRAFT)
