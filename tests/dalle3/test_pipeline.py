"""DALL·E 3 as a person uses it: sizes, batches, prompts side by side, guidance, inpainting."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import armchair
from armchair.core.bundle import Bundle
from armchair.core.errors import BadInput, BundleError
from armchair.dalle3.pipeline import Dalle3
from armchair.nn.unet import UNet
from tests.dalle3.latents import SAMPLING, latent_config, latent_task, saved, upsamplers

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A flow model without upsamplers."""
    path = tmp_path_factory.mktemp("dalle3")
    return saved(path / "whole", latent_task(path)).folder


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> Dalle3:
    return Dalle3.from_bundle(Bundle.open(folder), CPU, torch.float32)


def last(previews) -> torch.Tensor:
    *_, final = previews
    return final.images


def test_draws_every_shape(pipeline: Dalle3):
    """The square first; a preview a step, the last one the pictures."""
    assert pipeline.sizes == ["32x32", "56x32", "32x56"]
    for size, shape in zip(pipeline.sizes, ((32, 32), (32, 56), (56, 32)), strict=True):
        previews = list(pipeline.stream("a red dog", [1], size, steps=6))
        assert [(p.index, p.total) for p in previews] == [(i, 6) for i in range(6)]
        assert {tuple(p.images.shape) for p in previews} == {(1, 3, *shape)}
        assert 0 <= previews[-1].images.min() and previews[-1].images.max() <= 1


def test_reconstruct(pipeline: Dalle3):
    """What a latent keeps, at the size that a latent holds."""
    x = torch.rand(2, 3, pipeline.side, pipeline.side, generator=torch.Generator().manual_seed(0))
    back = pipeline.reconstruct(x)
    assert back.shape == x.shape and 0 <= back.min() and back.max() <= 1
    coder = pipeline.parts["autoencoder"]
    with torch.no_grad():
        torch.testing.assert_close(back, (coder.decode(coder.encode(2 * x - 1).mean) / 2 + 0.5).clamp(0, 1))


def test_alone_or_in_a_batch(pipeline: Dalle3):
    """The same picture to the last bit, beside other seeds and beside other prompts of any length."""
    alone = last(pipeline.stream("a red dog", [2], "56x32"))
    batch = last(pipeline.stream("a red dog", [1, 2, 3], "56x32"))
    mixed = last(pipeline.stream(["a big blue house and a tree", "a red dog"], [1, 2], "56x32"))
    assert torch.equal(alone[0], batch[1]) and torch.equal(alone[0], mixed[1])
    assert not torch.equal(batch[0], batch[1]) and not torch.equal(mixed[0], batch[0])


def test_words_and_guidance_count(pipeline: Dalle3):
    """Guidance 1 needs no empty caption; 0 draws it whatever the prompt says; the prompt reaches pixels."""
    draw = {g: last(pipeline.stream("a red dog", [1], "32x32", guidance=g)) for g in (0.0, 1.0, 3.0)}
    other = {g: last(pipeline.stream("a tree", [1], "32x32", guidance=g)) for g in (0.0, 1.0)}
    torch.testing.assert_close(draw[0.0], other[0.0])
    assert (draw[1.0] - other[1.0]).abs().max() > 1e-3
    line = draw[0.0] + 3 * (draw[1.0] - draw[0.0])
    assert (draw[3.0] - draw[1.0]).abs().max() > 1e-3 and line.shape == draw[3.0].shape


def test_guidance_is_one_pass(pipeline: Dalle3, monkeypatch: pytest.MonkeyPatch):
    """Two rows a picture and step with guidance, one without."""
    rows: list[int] = []
    unet = pipeline.parts["latent"].unet
    forward = type(unet).forward
    monkeypatch.setattr(
        type(unet), "forward", lambda self, x, *a, **k: rows.append(len(x)) or forward(self, x, *a, **k)
    )
    for guidance in (1.0, 2.0):
        list(pipeline.stream("a dog", [1], "32x32", guidance=guidance, steps=2))
    assert rows == [1, 1, 2, 2]


@pytest.mark.parametrize(("prediction", "sampler"), [("flow", "euler"), ("eps", "ddim")])
def test_guidance_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prediction: str, sampler: str):
    """Guided where the share of the noise lies between two numbers, whatever counts the noise; the text is
    read once for all steps.
    """
    net = latent_config(prediction=prediction, schedule="cosine", steps=100)
    pipeline = latent_task(tmp_path, net=net, sampling=replace(SAMPLING, sampler=sampler))._pipeline()
    rows, reads = [], []
    forward, read = UNet.forward, UNet.read
    monkeypatch.setattr(
        UNet, "forward", lambda self, x, *a, **k: rows.append(len(x)) or forward(self, x, *a, **k)
    )
    monkeypatch.setattr(UNet, "read", lambda self, context: reads.append(len(context)) or read(self, context))
    drawn = {
        interval: last(pipeline.stream("a dog", [1], "32x32", steps=5, guidance_interval=interval))
        for interval in ("0-1", "0.3-0.7")
    }
    middle = [1, 1, 2, 2, 1] if prediction == "flow" else [1, 1, 2, 1, 1]  # of 1, 0.8 ... and 0.99, 0.74 ...
    assert rows == [2] * 5 + middle
    assert reads == [1, 1] * 2 and not torch.equal(*drawn.values())
    with pytest.raises(BadInput, match="guidance_interval is '0.7-0.3'"):
        list(pipeline.stream("a dog", [1], "32x32", guidance_interval="0.7-0.3"))


@pytest.mark.parametrize(
    ("prediction", "sampler", "own", "plain", "shifted"),
    [
        ("flow", "euler", 2.0, [1000, 6000 / 7, 2000 / 3, 400], [1000, 12000 / 13, 800, 4000 / 7]),
        ("eps", "ddim", 1.0, [99, 66, 33, 0], [99, 91, 79, 56]),
    ],
)
def test_shift(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    prediction: str,
    sampler: str,
    own: float,
    plain: list[float],
    shifted: list[float],
):
    """That of training where nothing is said; another one visits other levels of noise."""
    net = latent_config(prediction=prediction, schedule="cosine", steps=100, shift=own)
    pipeline = latent_task(tmp_path, net=net, sampling=replace(SAMPLING, sampler=sampler))._pipeline()
    told, forward = [], UNet.forward
    monkeypatch.setattr(
        UNet, "forward", lambda self, x, t, **k: told.append(t[0].item()) or forward(self, x, t, **k)
    )
    for shift in ({}, {"shift": 4.0}):
        list(pipeline.stream("a dog", [1], "32x32", steps=4, guidance=1.0, **shift))
    assert told == pytest.approx(plain + shifted)


@pytest.mark.parametrize(
    ("prediction", "sampler"), [("flow", "heun"), ("v", "dpm"), ("eps", "ddim"), ("x0", "ddpm")]
)
def test_predictions_and_samplers(tmp_path: Path, prediction: str, sampler: str):
    """Every kind of prediction draws with the samplers of its noise levels, and refuses the others'."""
    net = latent_config(prediction=prediction, schedule="cosine", steps=50)
    own = "euler" if prediction == "flow" else "ddim"
    task = latent_task(tmp_path, net=net, sampling=replace(SAMPLING, sampler=own))
    pipeline = task._pipeline()
    task.net.eval()
    assert last(pipeline.stream("a dog", [1], "32x32", steps=4, sampler=sampler)).isfinite().all()
    wrong = "ddim" if prediction == "flow" else "euler"
    with pytest.raises(BadInput, match=f"sampler '{wrong}' is none of"):
        list(pipeline.stream("a dog", [1], "32x32", sampler=wrong))


def test_upsamplers(tmp_path: Path):
    """Four times as large by default; 8 and 16 times, and all shapes, where both are there. A picture is the
    same alone or in a batch.
    """
    made = upsamplers(tmp_path)
    bundle = saved(tmp_path / "both", latent_task(tmp_path, made))
    assert {"upsample_256", "upsample_1024"} <= set(bundle.components)
    artist = armchair.load(tmp_path / "both")
    assert artist.sizes[:4] == ["128x128", "32x32", "256x256", "512x512"]
    assert {"224x128", "896x512", "512x896"} <= set(artist.sizes)
    golden = bundle.golden()
    assert golden is not None and golden.size == (32, 32)
    pictures = artist.generate("red dog", n=2, seed=4, size="224x128", steps=2)
    assert [p.image.size for p in pictures] == [(224, 128)] * 2
    alone = artist.generate("red dog", seed=5, size="224x128", steps=2)[0]
    assert alone.image.tobytes() == pictures[1].image.tobytes()


def test_inpainting(folder: Path):
    """What is kept comes back as it was, in any shape; the rest is drawn, follows the prompt, and does not
    depend on what stood there.
    """
    artist = armchair.load(folder)
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (32, 56, 3), dtype=np.uint8)
    other = pixels.copy()
    other[8:24, 20:40] = 255 - other[8:24, 20:40]
    mask = np.zeros((32, 56), np.uint8)
    mask[8:24, 20:40] = 255
    drawn = [
        np.array(artist.inpaint(Image.fromarray(p), Image.fromarray(mask), prompt, seed=1)[0].image)
        for p, prompt in ((pixels, "a red dog"), (other, "a red dog"), (pixels, "a tree"))
    ]
    assert drawn[0].shape == (32, 56, 3)
    for image in drawn:
        assert np.array_equal(image[mask == 0], pixels[mask == 0])
    assert np.array_equal(drawn[0], drawn[1]) and not np.array_equal(drawn[0], drawn[2])
    assert not np.array_equal(drawn[0][mask == 255], pixels[mask == 255])


def test_outpainting_to_a_wide_picture(folder: Path):
    """A square goes on to both sides."""
    artist = armchair.load(folder)
    square = Image.fromarray(np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    wide = artist.outpaint(square, "a dog", size="56x32", seed=1)[0].image
    assert wide.size == (56, 32)
    assert np.array_equal(np.array(wide)[:, 12:44], np.array(square))


def test_a_missing_component_is_named(tmp_path: Path):
    """At once, and not at the first picture."""
    bundle = saved(tmp_path / "a", latent_task(tmp_path))
    text = (bundle.folder / "bundle.json").read_text()
    (bundle.folder / "bundle.json").write_text(text.replace('"text_encoder": {', '"text_decoder": {'))
    with pytest.raises(BundleError, match="without component text_encoder"):
        armchair.load(tmp_path / "a")


def test_bfloat16_keeps_the_scale_exact(folder: Path):
    """Weights may be rounded; what latents are divided by may not."""
    pipeline = Dalle3.from_bundle(Bundle.open(folder), CPU, torch.bfloat16)
    net = pipeline.parts["latent"]
    assert net.unet.stem.weight.dtype == torch.bfloat16 and net.scale.std.dtype == torch.float32
    assert last(pipeline.stream("a dog", [1], "32x32")).isfinite().all()
