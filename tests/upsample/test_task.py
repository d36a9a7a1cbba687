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


def test_a_sample_may_bring_its_small_picture():
    """Crops fall on its whole pixels and take them from it, as often as `given` says; no other size does."""
    small = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    sample = replace(Pictures()[4], small=small)
    data = task(crops=6, given=1.0, degrade="none").example(sample, torch.Generator().manual_seed(1))
    places = {
        (top, left): (small[top : top + 4, left : left + 4], sample.image[4 * top :, 4 * left :][:16, :16])
        for top in range(5)
        for left in range(5)
    }
    for high, low in zip(data["high"], data["low"], strict=True):
        pair = [part.permute(1, 2, 0).numpy() for part in (low, high)]
        assert any(all(map(np.array_equal, pair, place)) for place in places.values())
    never = task(crops=6, given=0.0, degrade="none").example(sample, torch.Generator().manual_seed(1))
    means = never["high"].float().unfold(2, 4, 4).unfold(3, 4, 4).mean(dim=(-1, -2))
    assert (never["low"].float() - means).abs().max() <= 1
    with pytest.raises(
        DataError, match="sample 4: its small picture has 7x8 pixels; 8x8 are needed for 32x32"
    ):
        task().example(replace(sample, small=small[:, :7]), torch.Generator())


def test_absolute_errors():
    """Weighted beside the squared one: of pixels, and of steps from one to the next."""
    net = replace(NET, times=1, predicts="x0", steps="1")
    plain, edged = (
        task(0.1, net=net, crops=2, squared=0.5, absolute=a, edges=e) for a, e in ((0.0, 0.0), (2.0, 3.0))
    )
    made = batch(plain, [0, 1])
    before, (after, logged) = plain.loss(made, SeedBatch([0, 1]))[0], edged.loss(made, SeedBatch([0, 1]))
    added = 2 * float(logged["absolute"]) + 3 * float(logged["edges"])
    assert added > 0 and float(after.detach()) == pytest.approx(float(before.detach()) + added, rel=1e-4)
    for wrong, message in (
        ({"edges": -1.0}, r"task\.edges=-1\.0: a weight of 0 or more"),
        ({"squared": 0.0}, "are all 0; nothing would be learned"),
        ({"absolute": 1.0}, r'need task\.net\.predicts="x0", not v'),
        ({"given": 1.5}, r"task\.given=1\.5: a share from 0 to 1"),
    ):
        with pytest.raises(BadInput, match=message):
            task(**wrong)


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
