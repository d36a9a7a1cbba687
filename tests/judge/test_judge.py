"""The judge learns what it is shown, refuses what it cannot know, and sees soft pictures too."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from armchair.core.config import from_json
from armchair.core.errors import BadInput, BundleError
from armchair.core.packing import fill_module, pack, unpack
from armchair.core.rng import SeedBatch
from armchair.core.task import Batch, Sample
from armchair.data.world.concepts import load_concepts
from armchair.data.world.layout import Box
from armchair.data.world.scene import Scene, Thing
from armchair.judge.config import JudgeConfig
from armchair.judge.network import Judge
from armchair.judge.task import JudgeTask, JudgeTaskConfig, soften

NET = JudgeConfig(image_size=32, concepts=4, width=16, levels=2, blocks=1)
NAMES = [concept.name for concept in load_concepts()[:6]]


def shape(kind: int, rng: np.random.Generator, size: int = 32) -> np.ndarray:
    """A disc, a ring, a bar or a cross in some place and colour on white: (size, size, 3) uint8."""
    y, x = np.mgrid[:size, :size] - size / 2 - rng.normal(0, size / 32, (2, 1, 1))
    r, a = np.hypot(x, y), size / 4
    inside = (
        r < a,
        (r < a) & (r > a / 2),
        (abs(x) < a) & (abs(y) < a / 3),
        ((abs(x) < a / 4) | (abs(y) < a / 4)) & (r < 1.3 * a),
    )[kind]
    image = np.full((size, size, 3), 255, np.uint8)
    image[inside] = rng.integers(0, 160, 3)
    return image


class Shapes:
    """Four drawn shapes under the names of the first four concepts; `names` says what each is called."""

    def __init__(self, size: int = 32, names: list[str] = NAMES):
        self.size = size
        self.names = names

    def __len__(self) -> int:
        return 400

    def __getitem__(self, index: int) -> Sample:
        kind = index % 4
        image = shape(kind, np.random.default_rng(index), self.size)
        thing = Thing(self.names[kind], "flat", "natural", (Box(0.5, 0.5, 0.5, 0.5),))
        return Sample(str(index), image, truth=Scene(index, (thing,), (), "white", None))

    def describe(self) -> dict[str, Any]:
        return {}


def made(task: JudgeTask, source: Shapes, indices: list[int]) -> Batch:
    examples = [task.example(source[i], torch.Generator().manual_seed(i)) for i in indices]
    data = {name: torch.stack([e[name] for e in examples]) for name in examples[0]}
    return Batch(data, indices, 0, task.counts(data))


@pytest.fixture
def task() -> JudgeTask:
    torch.manual_seed(0)
    return JudgeTaskConfig(net=NET, smallest=12, shift=2).build({}, None)


def test_it_learns_four_shapes(task: JudgeTask):
    """In 70 updates it names new drawings of them rightly, sharp and soft, and after its bundle's rounding; a
    swapped label or a loss on the wrong axis would not.
    """
    source = Shapes()
    task.prepare(source, torch.Generator())
    optimizer = torch.optim.AdamW(task.net.parameters(), 3e-3)
    with torch.no_grad():
        before = task.evaluate(source, 40)
    assert before["sharp"] < 0.6
    for step in range(70):
        loss, numbers = task.loss(made(task, source, list(range(16 * step, 16 * step + 16))), SeedBatch([]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(numbers["right"]) > 0.7
    with torch.no_grad():
        scores = task.evaluate(source, 60)
    assert scores["sharp"] > 0.9 and scores["soft"] > 0.85
    kept = task.components()["judge"]
    assert kept.tensors is not None
    again = Judge(from_json(JudgeConfig, kept.config))
    fill_module(again, unpack(pack(kept.tensors, kept.storage)), "judge")
    images = torch.stack([torch.from_numpy(source[i].image).permute(2, 0, 1) for i in range(8)]) / 255
    named = task.net.eval()(images).argmax(1).tolist()
    assert again.eval()(images).argmax(1).tolist() == named
    large = torch.nn.functional.interpolate(images, scale_factor=3, mode="bilinear")
    same = [a == b for a, b in zip(again(large).argmax(1).tolist(), named, strict=True)]
    assert sum(same) >= 7, "any size is scaled to its own"


def test_shares_add_up(task: JudgeTask):
    """Micro-batches of other sizes are the whole batch."""
    source = Shapes()
    whole, parts = made(task, source, [0, 1, 2, 3]), [made(task, source, part) for part in ([0], [1, 2, 3])]
    loss, numbers = task.loss(whole, SeedBatch([]))
    shares = [task.loss(replace(part, totals=whole.totals), SeedBatch([])) for part in parts]
    torch.testing.assert_close(shares[0][0] + shares[1][0], loss)
    assert float(shares[0][1]["right"] + shares[1][1]["right"]) == pytest.approx(float(numbers["right"]))


def test_data_without_the_truth_is_refused(task: JudgeTask):
    """It learns from Emoji World's scenes alone: a stranger's folder has no names, and of a scene with two
    things nobody knows which one to name.
    """
    sample = Shapes()[0]
    two = replace(sample.truth, things=sample.truth.things * 2)

    class Others(Shapes):
        def __init__(self, truth: Any):
            super().__init__()
            self.truth = truth

        def __getitem__(self, index: int) -> Sample:
            return replace(sample, truth=self.truth)

    for truth in (None, two, "a cat"):
        with pytest.raises(BadInput, match="sample 0 is no single object of Emoji World"):
            task.prepare(Others(truth), torch.Generator())


def test_a_concept_beyond_its_list_is_refused(task: JudgeTask):
    """Was a bare KeyError in the middle of a run: data of more concepts than the network has answers."""
    source = Shapes(names=[*NAMES[:3], NAMES[5]])
    with pytest.raises(BadInput, match=f"sample 3 shows {NAMES[5]!r}, .* data.concepts=4"):
        task.example(source[3], torch.Generator())


def test_pictures_of_another_size_are_scaled(task: JudgeTask):
    """Was a crop of their upper left corner: renders larger than the network's input showed it a fragment."""
    still = JudgeTask(replace(task.config, soften=0.0, noise=0.0, shift=0))
    image = still.example(Shapes(size=96)[0], torch.Generator())["image"]
    small = still.example(Shapes(size=32)[0], torch.Generator())["image"]
    assert image.shape == (3, 32, 32)
    dark = [(picture.float().mean(0) < 200).float().mean().item() for picture in (image, small)]
    assert dark[0] == pytest.approx(dark[1], abs=0.06), "the disc is as large a part of it"


def test_softening_keeps_the_shape():
    """(S, S, 3) uint8 in and out, at every strength; the same generator gives the same; with everything off
    it changes nothing.
    """
    config = JudgeTaskConfig(net=NET, smallest=12, shift=2)
    image = shape(3, np.random.default_rng(0))
    soft = [soften(image, config, torch.Generator().manual_seed(seed)) for seed in range(20)]
    assert {(s.shape, s.dtype) for s in soft} == {((32, 32, 3), np.dtype(np.uint8))}
    assert len({s.tobytes() for s in soft}) == 20
    assert soft[7].tobytes() == soften(image, config, torch.Generator().manual_seed(7)).tobytes()
    assert np.mean([np.abs(np.diff(s.astype(float), axis=1)).mean() for s in soft]) != 0
    off = replace(config, soften=0.0, noise=0.0, shift=0)
    assert np.array_equal(soften(image, off, torch.Generator()), image)


def test_softening_blurs():
    """That is what it is for: a generated picture has no edge as hard as a render's."""
    config = JudgeTaskConfig(net=NET, smallest=12, shift=0, noise=0.0, soften=1.0)
    image = shape(0, np.random.default_rng(0)).astype(np.uint8)

    def steepest(picture: np.ndarray) -> float:
        return float(np.abs(np.diff(picture.astype(float).mean(2), axis=1)).max())

    blurred = [steepest(soften(image, config, torch.Generator().manual_seed(s))) for s in range(20)]
    assert np.mean(blurred) < 0.8 * steepest(image)


def test_it_stands_alone():
    """No other stage to build on; a bundle of another size is refused by the tensor's name."""
    with pytest.raises(BadInput, match="--using dvae: the judge builds on no other"):
        JudgeTaskConfig(net=NET).build({"dvae": None}, None)  # type: ignore[dict-item]
    tensors = Judge(NET).state_dict()
    with pytest.raises(BundleError, match="judge: tensor head.weight is"):
        fill_module(Judge(replace(NET, concepts=5)), tensors, "judge")


@pytest.mark.parametrize(
    ("changes", "words"), [({"image_size": 30}, "image_size 30"), ({"width": 12}, "width 12")]
)
def test_impossible_sizes_are_refused(changes: dict, words: str):
    """By name, before anything is built."""
    with pytest.raises(ValueError, match=words):
        JudgeConfig(**changes)
