"""Layouts in the latent model: what is hidden, what learns, and that a picture is drawn to its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from armchair.core.bundle import Bundle
from armchair.core.errors import BadInput
from armchair.core.rng import SeedBatch
from armchair.dalle3.alone import LayoutTask
from armchair.dalle3.config import LatentConfig
from armchair.dalle3.latent_task import LatentTask, LatentTaskConfig
from armchair.dalle3.pipeline import Dalle3
from armchair.nn.layout import LayoutConfig
from armchair.nn.sketch import SketchConfig
from tests.dalle3.latents import Pictures, latent_config, latent_task, saved
from tests.stages import LOOKS, Placed, alone_learns, batch, outspoken

SKETCH = SketchConfig(width=16, depth=1, heads=2, head_width=8, hidden=24, token_width=4, side=2)
LAYOUT = LayoutConfig(width=16, depth=1, heads=2, most=3, bins=8, hidden=6, octaves=2, looks=LOOKS)
PLACED = Placed(Pictures())


def config(**changes: Any) -> LatentConfig:
    return replace(latent_config(), sketch=SKETCH, layout=LAYOUT, **changes)


def laid(folder: Path, **changes: Any) -> LatentTask:
    folder.mkdir(exist_ok=True)
    return latent_task(folder, source=PLACED, net=config(), **changes)


def placed(task: LatentTask, indices: list[int]):
    return batch(task, indices, None, 0, PLACED)


def test_examples_carry_the_layout(tmp_path: Path):
    """The place is that of the last token of the word; without the caption there is no layout, and a share of
    the others is not shown it.
    """
    task = laid(tmp_path, drop_text=0.25, drop_layout=0.5)
    made = [task.example(PLACED[i % 40], torch.Generator().manual_seed(i)) for i in range(200)]
    hidden = [not one["spots"].any() for one in made]
    assert 30 < sum(hidden) < 70
    assert 70 < sum(bool(one["shows_layout"]) for one in made) < 130
    for index, one in enumerate(made):
        if not hidden[index]:
            first = PLACED[index % 40].captions[0].text.split(" ")[0]
            place, x, y, w, h = one["spots"][0].tolist()
            assert place == len(task.bpe.encode(first))  # counted from one
            assert (x, y, w, h) == (int((0.1 + index % 40 % 8 / 10) * 8), 4, 2, 3)


def test_weights_without_a_layout_draw_as_before(tmp_path: Path):
    """A new layout changes nothing until it has learned, but for the prior's own loss."""
    (tmp_path / "old").mkdir()
    old = latent_task(tmp_path / "old", net=replace(latent_config(), sketch=SKETCH))
    new = laid(tmp_path / "new", init=saved(tmp_path / "before", old))
    made = placed(new, [0, 1, 2])
    before = old.loss(made, SeedBatch([5, 6, 7]))[0]
    after, logged = new.loss(made, SeedBatch([5, 6, 7]))
    torch.testing.assert_close(before, after - logged["layout"], rtol=1e-3, atol=1e-4)
    assert float(logged["layout"]) > 0


def test_everything_learns_but_the_sketch(tmp_path: Path):
    """The prior and what lies on cells too; of captions without a layout the prior learns nothing."""
    task = laid(tmp_path, drop_text=0.0, drop_layout=0.0)
    task.loss(placed(task, [0, 1, 2, 3]), SeedBatch(range(4)))[0].backward()
    still = [name for name, p in task.net.named_parameters() if p.grad is None or not p.grad.any()]
    assert all(".sketch." in name for name in still)
    _, logged = task.loss(batch(task, [0, 1], None, 0, Pictures()), SeedBatch(range(2)))
    assert float(logged["layout"]) == 0
    assert task.evaluate(PLACED, 6)["layout"] > 0


def test_its_prior_alone_learns(tmp_path: Path):
    """All else stands still, the sketch and how things are laid on cells too."""
    task = laid(tmp_path, alone="layout", drop_text=0.0)
    assert isinstance(task, LayoutTask)
    alone_learns(task, placed(task, [0, 1, 2, 3]), PLACED, "layout.prior.", "layout.look.")
    with pytest.raises(BadInput, match="task.alone=layout trains a layout, and task.net.layout is null"):
        LatentTaskConfig(alone="layout")


def test_each_picture_has_its_layout(tmp_path: Path):
    """The seed says where things stand, whatever is drawn beside; a picture that is inpainted has none."""
    task = laid(tmp_path / "task")
    layout = task.net.denoiser.layout
    assert layout is not None
    outspoken(layout.prior)
    pipeline = task._pipeline()
    assert isinstance(pipeline, Dalle3)

    def drawn(seeds: list[int]) -> torch.Tensor:
        *_, last = pipeline.stream("a red dog", seeds, "32x32", steps=2)
        return last.images

    both = drawn([3, 4])
    assert torch.equal(both, torch.cat([drawn([3]), drawn([4])]))
    net = pipeline.parts["latent"]
    net.layout.prior.config = replace(LAYOUT, temperature=1e-4)
    surely = drawn([3, 4])
    assert (surely - both).abs().max() > 1e-4
    keep = torch.zeros(32, 32, dtype=torch.bool)
    keep[:16] = True
    image = task.preview(SeedBatch([1]))
    assert image is not None
    pictures = []
    for temperature in (1.0, 1e-4):
        net.layout.prior.config = replace(LAYOUT, temperature=temperature)
        *_, last = pipeline.inpaint(image.crop((0, 0, 32, 32)), keep, "a red dog", [3], "32x32", steps=2)
        pictures.append(last.images)
    assert torch.equal(*pictures)


def test_half_precision(tmp_path: Path):
    """All that the shipped model has, drawn in bfloat16: nearly the same picture."""
    net = config(places=2, qk_norm=True)
    folder = saved(tmp_path / "whole", latent_task(tmp_path, source=PLACED, net=net)).folder
    drawn = []
    for dtype in (torch.float32, torch.bfloat16):
        pipeline = Dalle3.from_bundle(Bundle.open(folder), torch.device("cpu"), dtype)
        *_, last = pipeline.stream("a red dog", [1], "32x32", steps=2)
        drawn.append(last.images.float())
    assert (drawn[0] - drawn[1]).abs().mean() < 0.02


def test_configs_that_do_not_fit():
    """A layout without a sketch to read the caption; a first level that squares do not divide."""
    with pytest.raises(ValueError, match="sketch is null"):
        replace(latent_config(), layout=LAYOUT)
    with pytest.raises(ValueError, match="multiple of 9 channels"):
        config(patch=3)
    with pytest.raises(BadInput, match="bpe_dropout=0.1: 0 is needed"):
        LatentTaskConfig(net=config(), bpe_dropout=0.1)
