"""Layouts in the decoder: what learns, and that a picture is drawn to its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from armchair.core.bundle import Bundle
from armchair.core.errors import BadInput
from armchair.core.rng import SeedBatch
from armchair.dalle2.alone import DecoderLayoutTask
from armchair.dalle2.config import DecoderConfig
from armchair.dalle2.decoder import Decoder
from armchair.dalle2.decoder_task import DecoderTask, DecoderTaskConfig
from armchair.dalle2.pipeline import Dalle2
from armchair.nn.layout import LayoutConfig
from tests.dalle2.test_cells import NET
from tests.dalle2.tiny import Pictures, decoder_task, picture, saved
from tests.stages import LOOKS, Placed, alone_learns, batch, outspoken

LAYOUT = LayoutConfig(width=16, depth=1, heads=2, most=3, bins=8, hidden=6, octaves=2, looks=LOOKS)
WITH = replace(NET, layout=LAYOUT)
PLACED = Placed(Pictures())


def laid(folder: Path, **changes: object) -> DecoderTask:
    return decoder_task(folder, net=WITH, source=PLACED, storage="float32", **changes)


def placed(task: DecoderTask, indices: list[int]):
    return batch(task, indices, None, 0, PLACED)


def test_weights_without_a_layout_draw_as_before(tmp_path: Path):
    """A new layout changes nothing until it has learned, but for the prior's own loss."""
    old = decoder_task(tmp_path, net=NET, storage="float32")
    init, clip = saved(tmp_path / "before", old), Bundle.open(tmp_path / "clip")
    new = DecoderTaskConfig(net=WITH).build({"clip": clip}, init)
    new.prepare(PLACED, torch.Generator().manual_seed(0))
    made = placed(new, [0, 1, 2])
    before = old.loss(made, SeedBatch([5, 6, 7]))[0]
    after, logged = new.loss(made, SeedBatch([5, 6, 7]))
    assert float(logged["layout"]) > 0
    torch.testing.assert_close(before, after - logged["layout"])


def test_everything_learns_but_what_stands_still(tmp_path: Path):
    """The prior and what lies on cells too."""
    task = laid(tmp_path, drop_text=0.0, drop_layout=0.0, drop_image=0.0)
    made = placed(task, [0, 1, 2, 3])
    assert made.data["spots"][:, 0].any() and made.data["shows_layout"].all()
    task.loss(made, SeedBatch(range(4)))[0].backward()
    moved = {name for name, p in task.net.named_parameters() if p.grad is not None and p.grad.any()}
    layout = {name for name, _ in task.net.named_parameters() if name.startswith("layout.")}
    assert layout and layout <= moved
    assert not any(name.startswith("sketch.") for name in moved)


def test_its_prior_alone_learns(tmp_path: Path):
    """All else stands still, the sketch and how things are laid on cells too."""
    task = laid(tmp_path, alone="layout", drop_text=0.0)
    assert isinstance(task, DecoderLayoutTask)
    alone_learns(task, placed(task, [0, 1, 2, 3]), PLACED, "layout.prior.", "layout.look.")
    with pytest.raises(BadInput, match="task.alone=layout trains a layout, and task.net.layout is null"):
        DecoderTaskConfig(alone="layout")


def test_each_picture_has_its_layout(tmp_path: Path):
    """The seed says where things stand, whatever is drawn beside; what is drawn of an embedding, and what is
    inpainted, has none.
    """
    task = laid(tmp_path)
    assert isinstance(task.net, Decoder) and task.net.layout is not None
    outspoken(task.net.layout.prior)
    pipeline = Dalle2.from_bundle(saved(tmp_path / "whole", task), torch.device("cpu"), torch.float32)
    net = pipeline.parts["decoder"]
    options = {"prior": "none", "steps": 2}

    def drawn(seeds: list[int]) -> torch.Tensor:
        *_, last = pipeline.stream("a red dog", seeds, "16x16", **options)
        return last.images

    def others() -> list[torch.Tensor]:
        keep = torch.ones(16, 16, dtype=torch.bool)
        keep[:8] = False
        *_, painted = pipeline.inpaint(picture(), keep, "a red dog", [3], "16x16", **options)
        *_, varied = pipeline.variations(picture(), [3], "16x16", steps=2, eta=1.0)
        return [painted.images, varied.images]

    both, rest = drawn([3, 4]), others()
    assert torch.equal(both, torch.cat([drawn([3]), drawn([4])]))
    net.layout.prior.config = replace(LAYOUT, temperature=1e-4)
    assert (drawn([3, 4]) - both).abs().max() > 1e-4
    assert all(torch.equal(*pair) for pair in zip(rest, others(), strict=True))


def test_configs_that_do_not_fit():
    """A layout without a sketch to read the caption."""
    with pytest.raises(ValueError, match="sketch is null"):
        DecoderConfig(layout=LAYOUT)
