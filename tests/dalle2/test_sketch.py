"""A decoder that is shown a sketch of its caption: what learns, what is drawn, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from armchair.core.bundle import Bundle, Component
from armchair.core.errors import BadInput
from armchair.core.rng import SeedBatch
from armchair.dalle2.alone import DecoderSketchTask
from armchair.dalle2.config import DecoderConfig
from armchair.dalle2.decoder import Decoder
from armchair.dalle2.decoder_task import DecoderTask, DecoderTaskConfig
from armchair.nn.sketch import SketchConfig
from tests.dalle2.tiny import DECODER_TINY, Pictures, batch, decoder_task, saved
from tests.stages import losses

SKETCH = SketchConfig(width=64, depth=1, heads=2, head_width=8, hidden=24, token_width=4, side=2)
PLAIN = replace(DECODER_TINY, caption=None, text_width=64)
WITH = replace(PLAIN, sketch=SKETCH)


def sketch_task(folder: Path, *, alone: bool) -> tuple[DecoderTask, DecoderTask]:
    """A task on the weights of one that had no sketch, and that one."""
    old = decoder_task(folder, net=PLAIN, storage="float32")
    init, clip = saved(folder / "before", old), Bundle.open(folder / "clip")
    task = DecoderTaskConfig(net=WITH, alone="sketch" if alone else None, drop_text=0.0).build(
        {"clip": clip}, init
    )
    task.prepare(Pictures(), torch.Generator().manual_seed(0))
    return task, old


def test_weights_without_a_sketch_draw_as_before(tmp_path: Path):
    """A new sketch changes nothing until it has learned, and stands still beside the U-Net."""
    task, old = sketch_task(tmp_path, alone=False)
    made = batch(old, [0, 1, 2])
    before, after = (one.loss(made, SeedBatch(range(3)))[0] for one in (old, task))
    torch.testing.assert_close(before, after)
    still = {name.split(".")[0] for name, weight in task.net.named_parameters() if not weight.requires_grad}
    assert still == {"sketch"}


def test_sketch_alone_learns(tmp_path: Path):
    """The U-Net stands still; the error falls; the bundle holds both."""
    task, _ = sketch_task(tmp_path, alone=True)
    assert isinstance(task, DecoderSketchTask)
    trained = [weight for weight in task.net.parameters() if weight.requires_grad]
    assert {id(weight) for weight in trained} == {id(weight) for weight in task.part.parameters()}
    found = losses(task, batch(task, [0, 1, 2, 3]), updates=30, lr=1e-2)
    assert found[-1] < found[0] / 2
    assert set(task.evaluate(Pictures(), 4)) == {"sketch"}
    decoder = task.components()["decoder"]
    assert isinstance(decoder, Component) and decoder.tensors is not None
    assert "sketch.mlp.3.weight" in decoder.tensors


def test_pictures_depend_on_the_sketch(tmp_path: Path):
    """Drawn by prompts of several lengths in one batch as one by one; another sketch, another picture."""
    task, _ = sketch_task(tmp_path, alone=False)
    net = task.net
    assert isinstance(net, Decoder) and net.sketch is not None
    last = net.sketch.mlp[3]
    torch.nn.init.normal_(last.weight, std=0.1)
    net.eval()
    pipeline = task.pipeline(lambda: net)
    assert pipeline is not None

    def drawn(prompts: list[str], seeds: list[int]) -> torch.Tensor:
        z = torch.nn.functional.normalize(torch.ones(len(prompts), 12), dim=-1)
        *_, done = pipeline.paint(prompts, z, seeds, "16x16", {**pipeline.defaults, "steps": 4})
        return done.images

    together = drawn(["a red apple on a blue cup", "a cat"], [1, 2])
    for row, prompt in enumerate(["a red apple on a blue cup", "a cat"]):
        torch.testing.assert_close(together[row : row + 1], drawn([prompt], [row + 1]), atol=1e-4, rtol=1e-3)
    torch.nn.init.zeros_(last.weight)
    assert not torch.allclose(together[:1], drawn(["a red apple on a blue cup"], [1]), atol=1e-3)


def test_refusals(tmp_path: Path):
    """Nothing to train; a decoder that reads captions itself; another width than the tower's."""
    with pytest.raises(BadInput, match="task.net.sketch is null"):
        DecoderTaskConfig(net=PLAIN, alone="sketch")
    with pytest.raises(ValueError, match="caption null is needed"):
        replace(DECODER_TINY, sketch=SKETCH)
    with pytest.raises(ValueError, match="sketch has width 64, and the text's states 32"):
        DecoderConfig(caption=None, text_width=32, sketch=SKETCH)
