"""The judge learns what it is shown, refuses what it cannot know, and shares of a loss add up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from armchair.core.bundle import Bundle, save_bundle
from armchair.core.errors import BadInput, BundleError
from armchair.core.packing import fill_module
from armchair.core.rng import SeedBatch
from armchair.core.task import Sample
from armchair.judge.config import JudgeConfig
from armchair.judge.network import Judge
from armchair.judge.reading import Reader
from armchair.judge.soften import Softening
from armchair.judge.task import JudgeTask, JudgeTaskConfig, middle_loss
from armchair.train import OptimConfig
from armchair.train.optim import build_optimizers
from tests.judge.drawn import NAMES, NET, Shapes, made

MILD = Softening(zoom=0.1, bend=0, blur=0, blotch=0, palette=0, jpeg=0, light=0, smallest=16, noisy=0.03)


@pytest.fixture
def task() -> JudgeTask:
    torch.manual_seed(0)
    return JudgeTaskConfig(net=NET, soft=MILD, clean=0.5).build({}, None)


def test_it_learns_four_shapes(task: JudgeTask, tmp_path: Any):
    """In 96 updates it finds new drawings of them, how many, where and of which colour, sharp and soft, and
    so does its bundle after rounding to int8; a swapped label, a transposed map or a loss on the wrong axis
    would not.
    """
    source = Shapes()
    task.prepare(source, torch.Generator())
    optimizer = build_optimizers(OptimConfig(name="muon", lr=1.2e-2), task.net)
    task.net.train()
    batches = [made(task, source, list(range(10 * i, 10 * i + 10))) for i in range(32)]
    for batch in 3 * batches:
        loss, numbers = task.loss(batch, SeedBatch([]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step(1.0)
    assert float(numbers["right"]) > 0.8
    task.net.eval()

    class Unseen(Shapes):
        def __getitem__(self, index: int) -> Sample:
            return super().__getitem__(2000 + index)

    scores = task.evaluate(Unseen(), 45)
    for name in ("single_object", "two_objects", "counting", "position", "place", "colour"):
        assert min(scores[name], scores[f"soft_{name}"]) > (0.6 if name == "colour" else 0.8), (name, scores)
    assert scores["false_find"] < 0.2

    bundle = save_bundle(
        tmp_path / "judge", kind="judge", name="t", components=task.components(), languages=(), licence="",
        trained={}, scores={},
    )  # fmt: skip
    reader, stored = Reader(task.net), Reader.from_bundle(bundle)
    images = (
        torch.stack([torch.from_numpy(source[i].image).permute(2, 0, 1) for i in range(2100, 2112)]) / 255
    )
    named = [sorted(f.concept for f in reading.found) for reading in reader.read(images)]
    again = [sorted(f.concept for f in reading.found) for reading in stored.read(images)]
    assert sum(a == b for a, b in zip(named, again, strict=True)) >= 11
    large = torch.nn.functional.interpolate(images, scale_factor=3, mode="bilinear")
    assert sum(a == b for a, b in zip(stored.name(large), stored.name(images), strict=True)) >= 10, "any size"


@torch.no_grad()
def test_shares_add_up(task: JudgeTask):
    """Micro-batches of other sizes are the whole batch, though they hold other numbers of things."""
    source = Shapes()
    whole, parts = made(task, source, [0, 1, 2, 3]), [made(task, source, part) for part in ([0], [1, 2, 3])]
    counts = [task.counts(part.data) for part in parts]
    assert whole.totals == {name: counts[0][name] + counts[1][name] for name in counts[0]}
    assert whole.totals["things"] == 1 + 2 + 2 + 1
    loss, numbers = task.loss(whole, SeedBatch([]))
    shares = [task.loss(replace(part, totals=whole.totals), SeedBatch([])) for part in parts]
    torch.testing.assert_close(shares[0][0] + shares[1][0], loss)
    for name, value in numbers.items():
        assert float(shares[0][1][name] + shares[1][1][name]) == pytest.approx(float(value), rel=1e-4), name


def test_middle_loss():
    """Equation 1 of arXiv:1904.07850 by hand for a middle, a cell beside one and one far away."""
    wanted = torch.tensor([[[1.0, 0.5, 0.0]]])
    p = torch.tensor([[[0.7, 0.6, 0.2]]])
    by_hand = -(0.3**2 * p[0, 0, 0].log() + 0.5**4 * 0.6**2 * torch.tensor(0.4).log())
    by_hand = by_hand - 0.2**2 * torch.tensor(0.8).log()
    torch.testing.assert_close(middle_loss(torch.logit(p), wanted), by_hand)


def test_data_without_the_truth_is_refused(task: JudgeTask):
    """It learns from Emoji World's scenes alone: a stranger's folder has no boxes and no names."""
    sample = Shapes()[0]

    class Others(Shapes):
        def __getitem__(self, index: int) -> Sample:
            return replace(sample, truth="a cat")

    with pytest.raises(BadInput, match="sample 0 is no scene of Emoji World"):
        task.prepare(Others(), torch.Generator())


def test_a_concept_beyond_its_list_is_refused(task: JudgeTask):
    """Was a bare KeyError in the middle of a run: data of more concepts than the network has answers."""
    source = Shapes(names=[NAMES[5], NAMES[5], NAMES[5], NAMES[5]])
    with pytest.raises(BadInput, match=f"sample 3 shows {NAMES[5]!r}, .* data.concepts=4"):
        task.example(source[3], torch.Generator())


def test_pictures_of_another_size_are_scaled(task: JudgeTask):
    """Was a crop of their upper left corner: renders larger than the network's input showed it a fragment."""
    still = JudgeTask(replace(task.config, clean=1.0))
    image = still.example(Shapes(size=96)[0], torch.Generator())["image"]
    small = still.example(Shapes(size=32)[0], torch.Generator())["image"]
    assert image.shape == (3, 32, 32)
    assert (image.float() - small.float()).abs().mean() < 12


def test_it_stands_alone(task: JudgeTask, tmp_path: Any):
    """No other stage to build on; weights of another size are refused by name; --init goes on."""
    with pytest.raises(BadInput, match="--using dvae: the judge builds on no other"):
        JudgeTaskConfig(net=NET).build({"dvae": None}, None)  # type: ignore[dict-item]
    with pytest.raises(BundleError, match="judge: tensor things.weight is"):
        fill_module(Judge(replace(NET, concepts=5)), task.net.state_dict(), "judge")
    kept = replace(task.config, storage="float32")
    save_bundle(
        tmp_path / "judge", kind="judge", name="t", components=JudgeTask(kept).components(), languages=(),
        licence="", trained={}, scores={},
    )  # fmt: skip
    bundle = Bundle.open(tmp_path / "judge")
    went_on = kept.build({}, bundle)
    torch.testing.assert_close(went_on.net.state_dict(), bundle.tensors("judge"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image_size": 30}, "image_size 30"),
        ({"merged": 12}, "width 12"),
        ({"blocks": (1,)}, r"blocks \(1,\)"),
        ({"found": 1.0}, "found 1.0"),
    ],
)
def test_impossible_sizes_are_refused(changes: dict[str, Any], words: str):
    """By name, before anything is built."""
    with pytest.raises(ValueError, match=words):
        JudgeConfig(**changes)
