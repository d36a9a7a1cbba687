"""Training an upsampler: what it is shown, what it learns, what is kept."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from armchair.core.bundle import Bundle, save_bundle
from armchair.core.errors import ArmchairError, BadInput, DataError
from armchair.core.rng import SeedBatch
from armchair.core.task import Sample
from armchair.data.degrade import shrink
from armchair.upsample.config import UpsamplerConfig
from armchair.upsample.pipeline import UpsamplerModel
from armchair.upsample.task import UpsamplerTaskConfig, psnr
from tests.upsample.tiny import NET, Pictures, batch, task


def test_example_is_a_crop_and_its_small_version():
    """Crops of the right side; without degradation the small one is the mean of each square of pixels."""
    made = task(degrade="none", crops=3)
    data = made.example(Pictures()[4], torch.Generator().manual_seed(0))
    assert data["high"].shape == (3, 3, 16, 16) and data["low"].shape == (3, 3, 4, 4)
    assert data["high"].dtype == data["low"].dtype == torch.uint8
    means = data["high"].float().unfold(2, 4, 4).unfold(3, 4, 4).mean(dim=(-1, -2))
    assert (data["low"].float() - means).abs().max() <= 1
    assert not torch.equal(data["high"][0], data["high"][1])


def test_large_pictures_are_shrunk_first():
    """A photograph of 12 megapixels has no sharp edge at its own scale; whole factors keep means exact."""
    made = task(degrade="none", crop=1.0)
    image = Pictures(size=70)[3].image
    high = made.example(Sample("big", image), torch.Generator().manual_seed(0))["high"]
    assert high.shape == (1, 3, 32, 32)
    expected = torch.from_numpy(shrink(image, 2).copy()).permute(2, 0, 1).unfold(1, 32, 1).unfold(2, 32, 1)
    found = (expected.permute(1, 2, 0, 3, 4) == high[0]).flatten(2).all(dim=2)  # at one place of 4 x 4
    assert found.any()


def test_small_pictures_are_refused():
    """A picture that must grow first teaches the network to leave edges soft."""
    with pytest.raises(DataError, match="sample 7 has 31x31 pixels"):
        task().example(Pictures(size=31)[7], torch.Generator())


def test_loss_is_a_share_of_the_mean():
    """Micro-batches add up to the whole batch, crops and all, with the same draws for each example."""
    made = task(0.1, crops=2)
    whole = batch(made, [0, 1, 2, 3])
    parts = [batch(made, rows, {"samples": 4.0}) for rows in ([0, 1], [2, 3])]
    together = made.loss(whole, SeedBatch([5, 6, 7, 8]))[0]
    apart = sum(made.loss(part, SeedBatch(s))[0] for part, s in zip(parts, ([5, 6], [7, 8]), strict=True))
    torch.testing.assert_close(together, torch.as_tensor(apart))


ONE_STEP = {"times": 1, "predicts": "x0", "steps": "1"}


@pytest.mark.parametrize("changes", [{"residual": 0.0}, {}, ONE_STEP])
def test_it_learns(changes: dict):
    """Twenty updates on one batch bring the loss down by a quarter: the picture, the residual, one step."""
    made = task(crops=2, net=UpsamplerConfig(**{**vars(NET), **changes}))
    optimizer = torch.optim.AdamW(made.net.parameters(), lr=1e-2)
    data = batch(made, list(range(4)))
    losses = []
    for _ in range(20):
        loss = made.loss(data, SeedBatch(range(4)))[0]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.75 * losses[0]


def test_scores_and_preview():
    """A fresh network gives zeros: the numbers are those of pictures that are near the enlarged ones."""
    made = task()
    made.prepare(Pictures(), torch.Generator().manual_seed(0))
    scores = made.evaluate(Pictures(), 3)
    assert set(scores) == {"psnr", "psnr_bicubic"}
    assert 10 < scores["psnr_bicubic"] < 40
    sheet = made.preview(SeedBatch(range(8)))
    assert sheet is not None and sheet.width > 4 * 32
    assert all(p.requires_grad for p in made.net.parameters()), "a preview must not end the training"


def test_psnr():
    a, b = torch.zeros(3, 4, 4), torch.full((3, 4, 4), 0.1)
    assert psnr(a, b) == pytest.approx(-20 * np.log10(26 / 255), abs=1e-3)  # 0.1 rounds to 26 / 255
    assert psnr(a, a) == pytest.approx(100)


def test_bundle(tmp_path):
    """What is stored draws what the task draws, to the rounding of the storage."""
    made = task(0.3, storage="float32")
    bundle = save_bundle(
        tmp_path / "up",
        kind=made.bundle_kind,
        name="up",
        components=made.components(),
        languages=[],
        licence="Apache-2.0",
        trained={},
        scores={},
    )
    assert list(bundle.components) == ["upsample_32"]
    model = UpsamplerModel.from_bundle(bundle, torch.device("cpu"), torch.float32)
    low = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    ours = UpsamplerModel(made.net).draw(low, SeedBatch([1, 2]))
    assert torch.equal(model.draw(low, SeedBatch([1, 2])), ours)
    again = UpsamplerTaskConfig(net=NET, crop=0.5).build({}, Bundle.open(tmp_path / "up"))
    assert torch.equal(again.net.unet.out.weight, made.net.unet.out.weight)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"crop": 0.3}, "crop=0.3"),
        ({"crop": 0.0}, "crop=0.0"),
        ({"crops": 0}, "crops=0"),
        ({"chance": 1.5}, "chance=1.5"),
        ({"net": replace(NET, last=True)}, "imported, not trained"),
    ],
)
def test_wrong_settings(changes: dict, word: str):
    with pytest.raises(BadInput, match=word):
        task(**changes)


def test_it_builds_on_nothing():
    with pytest.raises(ArmchairError, match="builds on no other"):
        UpsamplerTaskConfig(net=NET, crop=0.5).build({"dvae": None}, None)  # type: ignore[dict-item]
