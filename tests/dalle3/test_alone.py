"""Training the sketch: what learns, what is kept, what it is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from armchair.core.bundle import Component
from armchair.core.errors import BadInput
from armchair.core.rng import SeedBatch
from armchair.dalle3.alone import SketchTask
from armchair.nn.sketch import SketchConfig
from tests.dalle3.latents import Pictures, batch, latent_config, latent_task, saved
from tests.stages import losses

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


def test_refusals(tmp_path: Path):
    """Without a sketch there is nothing to train."""
    with pytest.raises(BadInput, match="task.net.sketch is null"):
        latent_task(tmp_path, alone="sketch")
