"""Upsampling as the systems call it."""

import pytest
import torch

from armchair.core.bundle import save_bundle
from armchair.core.errors import BadInput, BundleError
from armchair.core.rng import SeedBatch
from armchair.upsample.config import UpsamplerConfig
from armchair.upsample.network import Upsampler
from armchair.upsample.pipeline import UpsamplerModel
from tests.upsample.tiny import NET, UNET, task

LOW = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def model(**changes) -> UpsamplerModel:
    return UpsamplerModel(task(0.3, net=UpsamplerConfig(**{**vars(NET), **changes})).net)


def test_previews_end_with_the_pictures():
    """A picture's steps come one after another; those that wait are shown enlarged; none is overwritten."""
    up = model()
    previews = list(up.stream(LOW, SeedBatch([1, 2, 3])))
    assert [p.index for p in previews] == list(range(9)) and {p.total for p in previews} == {9}
    assert all(p.images.shape == (3, 3, 32, 32) for p in previews)
    assert all(0 <= p.images.min() and p.images.max() <= 1 for p in previews)
    rounded = (LOW * 255).round() / 255
    enlarged = torch.nn.functional.interpolate(2 * rounded - 1, scale_factor=4, mode="bicubic").clamp(-1, 1)
    torch.testing.assert_close(previews[2].images[2], (enlarged[2] + 1) / 2)
    assert torch.equal(previews[2].images[0], previews[-1].images[0])
    assert not torch.equal(previews[0].images[0], previews[2].images[0])


def test_a_picture_does_not_depend_on_its_neighbours():
    """The same seed alone and in a batch of 2, 3 and 8: equal to the last bit."""
    up = model()
    alone = up.draw(LOW[:1], SeedBatch([8]))[0]
    for seeds in ([8, 9], [1, 8, 2], [0, 1, 2, 3, 4, 5, 6, 8]):
        place = seeds.index(8)
        low = LOW[torch.tensor([1 + i % 2 for i in range(len(seeds))])]
        low[place] = LOW[0]
        assert torch.equal(up.draw(low, SeedBatch(seeds))[place], alone)
    assert not torch.equal(up.draw(LOW[:1], SeedBatch([9]))[0], alone)


def test_perfect_networks_give_the_picture_back():
    """With the true answer in place of the network, both forms end at the truth: the residual's bookkeeping
    and the paper's are right.
    """
    truth = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    for residual in (0.0, 0.25):
        up = model(residual=residual, predicts="x0")
        net = up.net

        class Known(Upsampler):
            def forward(self, x, t, guide, last=False):
                return self.to_sample(truth, guide)

        net.__class__ = Known
        found = up.draw(LOW[:1], SeedBatch([0]), steps=2)
        torch.testing.assert_close(found, (truth + 1) / 2, atol=1e-5, rtol=1e-5)


def test_other_sizes():
    """A wide picture is enlarged by as much; sides that do not fit are refused in one line."""
    up = model()
    assert up.draw(torch.zeros(1, 3, 5, 12), SeedBatch([0])).shape == (1, 3, 20, 48)
    tall = UpsamplerModel(Upsampler(UpsamplerConfig(unet=UNET, low=16, size=32, steps="2")))
    with pytest.raises(BadInput, match="picture of 8x7 cannot be enlarged 2 times"):
        tall.draw(torch.zeros(1, 3, 7, 8), SeedBatch([0]))


@pytest.mark.parametrize("steps", [0, "many", 1001])
def test_steps_that_cannot_be(steps):
    with pytest.raises(BadInput, match="steps"):
        model().draw(LOW, SeedBatch([1, 2, 3]), steps=steps)


def test_one_step_is_nearly_a_function_of_the_small_picture():
    """A schedule of one step starts from noise in which nothing can be seen of the picture."""
    config = UpsamplerConfig(**{**vars(NET), "times": 1, "predicts": "x0", "steps": "1"})
    assert config.levels().alpha_bar.item() < 0.002
    assert len(list(UpsamplerModel(Upsampler(config)).stream(LOW, SeedBatch([1, 2, 3])))) == 3


def test_steps_by_count():
    """More steps than the default, and one, which is the plain mean of what could be."""
    up = model()
    assert len(list(up.stream(LOW[:1], SeedBatch([1]), steps=7))) == 7
    assert len(list(up.stream(LOW[:1], SeedBatch([1]), steps="trailing1"))) == 1


def test_choosing_among_several(tmp_path):
    """A bundle may hold both stages: the size says which, and its absence is an error that lists them."""
    small, large = task(0.1), task(0.2, net=UpsamplerConfig(**{**vars(NET), "low": 16, "size": 64}))
    bundle = save_bundle(
        tmp_path / "both",
        kind="upsampler",
        name="both",
        components={**small.components(), **large.components()},
        languages=[],
        licence="Apache-2.0",
        trained={},
        scores={},
    )
    place, dtype = torch.device("cpu"), torch.float32
    assert UpsamplerModel.from_bundle(bundle, place, dtype, 64).config.low == 16
    assert UpsamplerModel.from_bundle(bundle, place, dtype, 32).config.low == 8
    for size in (None, 128):
        with pytest.raises(BundleError, match="upsample_32, upsample_64"):
            UpsamplerModel.from_bundle(bundle, place, dtype, size)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"low": 7}, "size 32"),
        ({"size": 24, "low": 8, "unet": UNET.__class__(**{**vars(UNET), "patch": 16})}, "stride 32"),
        ({"unet": UNET.__class__(**{**vars(UNET), "channels_in": 3})}, "6 and 3"),
        ({"residual": -1.0}, "residual"),
        ({"predicts": "flow"}, "flow"),
        ({"steps": "0"}, "steps 0"),
    ],
)
def test_wrong_configs(changes: dict, word: str):
    """Said when the config is made, not in the middle of a run."""
    with pytest.raises(BadInput, match=word):
        UpsamplerConfig(**{**vars(NET), **changes})
