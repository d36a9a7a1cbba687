"""DALL·E 2 as it is loaded: a bundle draws what it drew when it was made, with any prior, at any size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import armchair
from armchair.core.bundle import Bundle, Component, save_bundle
from armchair.core.config import to_json
from armchair.core.errors import BadInput, BundleError, Unsupported
from armchair.core.parts import Parts
from armchair.core.rng import SeedBatch
from armchair.core.unfilled import Unfilled
from armchair.dalle2.decoder import Decoder
from armchair.dalle2.decoder_task import SamplingConfig
from armchair.dalle2.parts import parts_of
from armchair.dalle2.pipeline import Dalle2
from armchair.diffusion.drawing import Sampler
from armchair.nn.unet import LevelSpec, UNetConfig
from armchair.upsample.config import UpsamplerConfig
from armchair.upsample.network import Upsampler
from tests.dalle2.tiny import DECODER_TINY, batch, decoder_task, saved, wake, whole_bundle

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete bundle of tiny untrained networks whose pictures differ from seed to seed."""
    return whole_bundle(tmp_path_factory.getbasetemp() / "dalle2").folder


@pytest.fixture
def pipeline(folder: Path) -> Dalle2:
    return Dalle2.from_bundle(Bundle.open(folder), CPU, torch.float32)


def upsamplers(folder: Path, low: int = 16) -> dict[str, Bundle]:
    """Both upsamplers at toy size: 16 px to 64 to 256, with names that say what they would be."""
    made: dict[str, Bundle] = {}
    for name, size in (("upsample_256", 4 * low), ("upsample_1024", 16 * low)):
        unet = UNetConfig(channels_in=6, levels=(LevelSpec(width=4, depth=1),), time_width=4, groups=2)
        config = UpsamplerConfig(unet=unet, low=size // 4, size=size, times=20, steps="2")
        torch.manual_seed(6)
        net = Upsampler(config)
        wake(net)
        made[name] = save_bundle(
            folder / name,
            kind="upsampler",
            name=name,
            components={name: Component(config=to_json(config), tensors=net.state_dict())},
            languages=[],
            licence="Apache-2.0",
            trained={},
            scores={},
        )
    return made


@pytest.mark.parametrize("storage", ["float16", "int8"])
@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm"])
def test_golden_picture(tmp_path: Path, storage: str, sampler: Sampler):
    """What the task drew with the weights as they are stored, a stranger's `armchair.load` draws again, to
    the pixel: rounding, packing and defaults all take part.
    """
    sampling = SamplingConfig(steps=3, guidance=2.0, sampler=sampler)
    bundle = saved(tmp_path / "made", decoder_task(tmp_path, storage=storage, sampling=sampling))
    golden = bundle.golden()
    assert golden is not None and golden.size == (16, 16) and len(set(golden.tobytes())) > 10
    (picture,) = armchair.load(tmp_path / "made").generate("a red dog", seed=1)
    assert picture.image.tobytes() == golden.tobytes()
    assert picture.recipe["options"]["sampler"] == sampler
    (other,) = armchair.load(tmp_path / "made").generate("a red dog", seed=2)
    assert other.image.tobytes() != golden.tobytes()


def test_a_decoder_that_reads_captions_through_clip(tmp_path: Path):
    """It is trained, drawn with alone and in a batch of prompts, and inpaints, as one with its own does."""
    task = decoder_task(tmp_path, net=replace(DECODER_TINY, caption=None))
    assert isinstance(task.net, Decoder) and task.net.config.text_width == 64
    assert task.tokens([]).shape == (8,)
    loss, _ = task.loss(batch(task, [0, 1, 2]), SeedBatch(range(3)))
    loss.backward()
    grads = {name: p.grad for name, p in task.net.named_parameters()}
    grad = grads["unet.down.1.attentions.0.context_kv.weight"]
    assert grad is not None and grad.abs().sum() > 0
    bundle = saved(tmp_path / "made", task)
    artist = armchair.load(tmp_path / "made")
    golden = bundle.golden()
    assert golden is not None
    (picture,) = artist.generate("a red dog", seed=1)
    assert picture.image.tobytes() == golden.tobytes()
    pipeline = Dalle2.from_bundle(bundle, CPU, torch.float32)
    *_, both = pipeline.stream(["a red dog", "a dog on a blue hat"], [1, 2], "16x16", **pipeline.defaults)
    *_, alone = pipeline.stream("a dog on a blue hat", [2], "16x16", **pipeline.defaults)
    assert torch.equal(both.images[1], alone.images[0])
    (painted,) = artist.inpaint(golden, Image.new("L", (16, 16), 255), "a red dog", seed=3)
    assert painted.image.size == (16, 16)
    z = torch.zeros(1, 12)
    hidden, schedule = pipeline.denoiser("a red dog", z, {**pipeline.defaults, "guidance": 1}, shown=False)
    other, _ = pipeline.denoiser("a red dog", z + 1, {**pipeline.defaults, "guidance": 1}, shown=False)
    x, t = torch.randn(1, 3, 16, 16), schedule.times[-1:]
    assert torch.equal(hidden(x, t).x0, other(x, t).x0)


@pytest.mark.parametrize("prior", ["diffusion", "ar", "none"])
def test_same_picture_alone_or_in_a_batch(folder: Path, prior: str):
    """DESIGN section 4: prompt, seed and options make the picture, not its neighbours; any order, any n."""
    artist = armchair.load(folder)
    many = artist.generate("green house", n=3, seed=10, prior=prior)
    alone = artist.generate("green house", seed=12, prior=prior)[0]
    assert alone.image.tobytes() == many[2].image.tobytes()
    assert len({picture.image.tobytes() for picture in many}) == 3


@pytest.mark.parametrize("prior", ["diffusion", "ar"])
def test_prompts_together(folder: Path, prior: str):
    """Requests that wait together are one run: each picture is the one that its prompt and seed give alone,
    beside another prompt, beside its own once more, in any order.
    """
    pipeline = Dalle2.from_bundle(Bundle.open(folder), CPU, torch.float32)
    asked = [("green house", 5), ("a red dog", 6), ("green house", 7), ("a dog", 5)]
    prompts, seeds = zip(*asked, strict=True)
    *previews, last = pipeline.stream(list(prompts), seeds, "16x16", prior=prior)
    assert len(previews) == 3
    for row, (prompt, seed) in enumerate(asked):
        *_, alone = pipeline.stream(prompt, [seed], "16x16", prior=prior)
        assert torch.equal(last.images[row], alone.images[0])
    assert (last.images[0] - last.images[3]).abs().max() > 1e-2, "the prompt says nothing"


def test_priors(pipeline: Dalle2):
    """The default is the diffusion prior where there is one; `none` is the text's own embedding; each gives
    another, and the decoder's noise is the same with all.
    """
    assert pipeline.defaults["prior"] == "diffusion"
    found = {
        word: pipeline.image_emb("red dog", [3], {**pipeline.defaults, "prior": word})
        for word in ("diffusion", "ar", "none")
    }
    for z in found.values():
        torch.testing.assert_close(z.norm(dim=1), torch.ones(1))
    torch.testing.assert_close(found["none"], pipeline.embedder.text_emb("red dog"))
    assert (found["diffusion"] - found["ar"]).abs().max() > 1e-3
    first = {
        word: next(pipeline.stream("red dog", [3], "16x16", prior=word, guidance=1.0)).images
        for word in ("ar", "none")
    }
    assert (first["ar"] - first["none"]).abs().mean() < 0.3, "other noise would move every pixel"


def test_a_prior_that_is_not_here(tmp_path: Path):
    """One line that names those that are."""
    saved(tmp_path / "alone", decoder_task(tmp_path))
    artist = armchair.load(tmp_path / "alone")
    with pytest.raises(Unsupported, match="prior 'ar' is not in this bundle; it has none"):
        artist.generate("x", prior="ar", seed=1)
    with pytest.raises(BadInput, match="prior 'difusion' is none of diffusion, ar, none. Did you mean"):
        artist.generate("x", prior="difusion", seed=1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"steps": 101}, "at most the 100 time steps"),
        ({"guidance": -1}, "guidance is -1"),
        ({"shift": 0.5}, "shift is 0.5"),
        ({"sampler": "euler"}, "sampler 'euler' is none of ddpm, ddim, dpm"),
        ({"prior_steps": 0}, "prior_steps is 0"),
        ({"eta": 0.5}, "no option 'eta'"),
        ({"size": "32x32"}, "does not draw 32x32; it draws 16x16"),
    ],
)
def test_wrong_input_is_named(folder: Path, options: dict, words: str):
    """Issue 4: one clear line each."""
    with pytest.raises(BadInput, match=words):
        armchair.load(folder).generate("red dog", seed=1, **options)


def test_shift_visits_noisier_levels(pipeline: Dalle2):
    """Where a picture is drawn; what inverts one goes there and back in even steps."""
    even, noisy = (pipeline.schedule({"steps": 4, "shift": shift}).times.tolist() for shift in (1, 4))
    assert even == [0, 33, 66, 99] and noisy == [56, 79, 91, 99]
    tables = pipeline.operation_defaults
    assert [name for name, table in tables.items() if "shift" in table] == ["inpaint", "outpaint", "probe"]
    plain, shifted = (
        list(pipeline.stream("a dog", [1], "16x16", steps=4, shift=shift))[-1].images for shift in (1, 4)
    )
    assert not torch.equal(plain, shifted)


def test_previews(pipeline: Dalle2):
    """One a step, the last one is the picture; pixels are in range."""
    previews = list(pipeline.stream("a dog", [1, 2], "16x16"))
    assert [p.index for p in previews] == [0, 1, 2, 3] and {p.total for p in previews} == {4}
    assert all(p.images.shape == (2, 3, 16, 16) for p in previews)
    assert 0 <= min(p.images.min() for p in previews) and max(p.images.max() for p in previews) <= 1


def test_guidance_is_one_pass(pipeline: Dalle2, monkeypatch: pytest.MonkeyPatch):
    """With guidance the network sees two rows a picture in one call; without it one."""
    net, rows = pipeline.parts["decoder"], []
    forward = net.unet.forward
    monkeypatch.setattr(net.unet, "forward", lambda x, *a, **k: rows.append(len(x)) or forward(x, *a, **k))
    for guidance in (1.0, 2.0):
        list(pipeline.stream("a dog", [1], "16x16", guidance=guidance, steps=2, prior="none"))
    assert rows == [1, 1, 2, 2]


def test_the_prior_is_done_before_the_decoder_is_read(pipeline: Dalle2, monkeypatch: pytest.MonkeyPatch):
    """Issue 4: a large decoder does not lie in memory while the prior works."""
    order = []
    load = Parts.__getitem__
    monkeypatch.setattr(Parts, "__getitem__", lambda self, name: order.append(name) or load(self, name))
    next(pipeline.stream("a dog", [1], "16x16"))
    assert order.index("prior") < order.index("decoder")


def test_sizes(tmp_path: Path):
    """64, 256, 512 and 1024 where both upsamplers are there; a picture is the same alone or in a batch, and
    512 is 1024 made smaller.
    """
    made = upsamplers(tmp_path)
    saved(tmp_path / "one", decoder_task(tmp_path, {"upsample_256": made["upsample_256"]}))
    assert armchair.load(tmp_path / "one").sizes == ["64x64", "16x16"]
    bundle = saved(tmp_path / "both", decoder_task(tmp_path, made))
    artist = armchair.load(tmp_path / "both")
    assert artist.sizes == ["64x64", "16x16", "128x128", "256x256"]
    golden = bundle.golden()
    assert golden is not None and golden.size == (16, 16)
    for size in artist.sizes:
        side = int(size.split("x")[0])
        pictures = artist.generate("red dog", n=2, seed=4, size=size)
        assert [p.image.size for p in pictures] == [(side, side)] * 2
        alone = artist.generate("red dog", seed=5, size=size)[0]
        assert alone.image.tobytes() == pictures[1].image.tobytes()
    large = np.array(artist.generate("red dog", seed=4, size="256x256")[0].image, np.float64)
    half = np.array(artist.generate("red dog", seed=4, size="128x128")[0].image, np.float64)
    assert np.abs(large.reshape(128, 2, 128, 2, 3).mean(axis=(1, 3)) - half).max() <= 1
    previews = list(artist.stream("red dog", seed=4, size="256x256"))
    assert [p.index for p in previews] == list(range(previews[-1].total)) == list(range(4 + 2 + 2))


def test_loading_leaves_the_global_generator(folder: Path):
    """Networks are made without random weights; whoever seeded torch finds it as it was."""
    torch.manual_seed(5)
    before = torch.get_rng_state()
    armchair.load(folder).generate("a dog", seed=1, steps=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_damaged_bundle_is_named(tmp_path: Path):
    """A config at once, weights when they are first needed; nothing is drawn either way."""
    bundle = saved(tmp_path / "a", decoder_task(tmp_path))
    path = bundle.folder / "decoder.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(BundleError, match="decoder.safetensors is damaged"):
        armchair.load(tmp_path / "a").generate("x", seed=1)
    text = (bundle.folder / "bundle.json").read_text()
    (bundle.folder / "bundle.json").write_text(text.replace('"time_width"', '"time_withd"'))
    with pytest.raises(BadInput, match="time_withd"):
        armchair.load(tmp_path / "a")


def test_bfloat16_keeps_scales_exact(folder: Path):
    """Weights may be rounded; what standardises embeddings may not."""
    pipeline = Dalle2.from_bundle(Bundle.open(folder), CPU, torch.bfloat16)
    net = pipeline.parts["decoder"]
    assert net.no_image.dtype == torch.bfloat16 and net.scale.std.dtype == torch.float32
    *_, last = pipeline.stream("a dog", [1], "16x16")
    assert last.images.isfinite().all()
    with Unfilled():
        assert parts_of(Bundle.open(folder), CPU, torch.float32)["clip"].logit_scale.item() > 0
