"""Training the latent model: shapes in one batch, what is hidden and known, the loss, the bundle."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from armchair.clip.pipeline import ClipModel
from armchair.core.bundle import SHIPPED, Bundle, Component, SharedEntry, save_bundle
from armchair.core.config import to_json
from armchair.core.errors import BadInput
from armchair.core.rng import SeedBatch
from armchair.dalle3.config import ClipWordsConfig
from armchair.dalle3.denoiser import Read
from armchair.dalle3.latent_task import Group
from armchair.dalle3.pipeline import Dalle3, masked_latent
from armchair.dalle3.shapes import by_shape, laid_flat, nearest, picture, raised
from armchair.dalle3.text_encoder import caption_tokens, text_encoder, trimmed
from armchair.diffusion.flow import Flow
from armchair.diffusion.loss import noised
from tests.dalle3.latents import T5_TINY, Pictures, batch, latent_config, latent_task, saved, stages

SHAPES = ((8, 8), (8, 14), (14, 8))


def test_shapes_in_one_batch():
    """A picture goes to the shape of its ratio, is laid flat, and comes back as it was."""
    source = Pictures()
    assert [nearest(source[i].image, SHAPES) for i in range(3)] == [0, 1, 2]
    flat = torch.stack([laid_flat(picture(source[i].image, SHAPES[i % 3]), SHAPES) for i in range(6)])
    assert flat.shape == (6, 3, 112)
    seen = []
    for index, rows in by_shape(torch.tensor([0, 1, 2, 0, 1, 2]), SHAPES):
        images = raised(flat[rows], SHAPES[index])
        assert images.shape == (2, 3, *SHAPES[index])
        seen += rows.tolist()
        for row, image in zip(rows.tolist(), images, strict=True):
            assert torch.equal(image, picture(source[row].image, SHAPES[index]))
    assert sorted(seen) == list(range(6))


def test_examples(tmp_path: Path):
    """Captions are hidden and masks drawn in their shares; nothing of a picture is lost for its shape."""
    task = latent_task(tmp_path, drop_text=0.25, everything_masked=0.5)
    made = [task.example(Pictures()[i % 40], torch.Generator().manual_seed(i)) for i in range(200)]
    empty = caption_tokens([], task.config.net.words)
    hidden = sum(torch.equal(one["tokens"], empty) for one in made)
    masked = sum(not one["keep"].any() for one in made)
    assert 30 < hidden < 70 and 75 < masked < 125
    assert [int(one["shape"]) for one in made[:3]] == [0, 1, 2]
    assert {tuple(one["image"].shape) for one in made} == {(3, 32 * 56)}
    assert {tuple(one["keep"].shape) for one in made} == {(1, 8 * 14)}
    assert empty[0] == task.bpe.vocab + 1 and empty[1] == task.bpe.vocab


def test_loss_by_hand(tmp_path: Path):
    """Rectified flow written out for a batch of all shapes: one velocity a picture, means of squares."""
    task = latent_task(tmp_path)
    made, seeds = batch(task, [0, 1, 2]), [5, 6, 7]
    loss, _ = task.loss(made, SeedBatch(seeds))
    rng = SeedBatch(seeds)
    t = rng.normal().sigmoid()
    eps = rng.normal(3, 8 * 14)
    net, errors = task.net.denoiser, []
    for i, (rows, columns) in enumerate(SHAPES):
        image = raised(made.data["image"][i : i + 1], (rows * 4, columns * 4))
        x0 = net.scale(task.encode(image))
        noise = eps[i, :, : rows * columns].view(1, 3, rows, columns)
        tokens = made.data["tokens"][i : i + 1]
        keep = tokens != task.config.net.words.pad
        states = task.words(tokens, keep)
        known = task.known(image, raised(made.data["keep"][i : i + 1], (rows, columns)))
        cond = net.conditions(Read(states, keep), known)
        x = (1 - t[i]) * x0 + t[i] * noise
        errors.append((net(x, t[i : i + 1], **cond) - (noise - x0)).square().mean())
    torch.testing.assert_close(loss, torch.stack(errors).mean(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("prediction", ["flow", "v"])
def test_shares_add_up(tmp_path: Path, prediction: str):
    """Two and three pictures, of any shapes, are the batch of five: accumulation rests on it."""
    task = latent_task(tmp_path, net=latent_config(prediction=prediction))
    whole, _ = task.loss(batch(task, [0, 1, 2, 3, 4]), SeedBatch(range(5)))
    totals = {"samples": 5.0}
    parts = [task.loss(batch(task, rows, totals), SeedBatch(rows))[0] for rows in ([0, 1], [2, 3, 4])]
    torch.testing.assert_close(sum(parts), whole, rtol=1e-4, atol=1e-5)


def test_everything_learns(tmp_path: Path):
    """The text encoder too; the autoencoder stands still."""
    task = latent_task(tmp_path)
    task.loss(batch(task, [0, 1, 2, 3]), SeedBatch(range(4)))[0].backward()
    assert [name for name, p in task.net.named_parameters() if p.grad is None or not p.grad.any()] == []
    assert all(p.grad is None for p in task.coder.parameters())


def test_scale_is_fitted(tmp_path: Path):
    """Latents have mean 0 and deviation 1 in every channel, the same on resume; weights to go on from keep
    theirs.
    """
    task = latent_task(tmp_path)
    scale = task.net.denoiser.scale
    assert torch.equal(latent_task(tmp_path).net.denoiser.scale.std, scale.std)
    latents = scale(torch.cat([task.encode(picture(Pictures()[i].image, (32, 32))[None]) for i in range(40)]))
    assert latents.mean(dim=(0, 2, 3)).abs().max() < 0.3
    assert (latents.std(dim=(0, 2, 3)) - 1).abs().max() < 0.3
    torch.testing.assert_close(
        scale.back(latents[:1]), task.encode(picture(Pictures()[0].image, (32, 32))[None])
    )
    bundle = saved(tmp_path / "one", task)
    other = latent_task(tmp_path, source=Pictures(7), init=bundle)
    torch.testing.assert_close(other.net.denoiser.scale.std, scale.std, rtol=1e-3, atol=0)
    torch.testing.assert_close(
        other.net.denoiser.unet.stem.weight, task.net.denoiser.unet.stem.weight, rtol=1e-2, atol=1e-3
    )


def test_what_is_known_tells_nothing_else(tmp_path: Path):
    """The encoder's cells see beside themselves: the known ones must not depend on what is to be painted."""
    task = latent_task(tmp_path)
    image = torch.randint(0, 256, (1, 3, 32, 32), generator=torch.Generator().manual_seed(1)).byte()
    keep = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    keep[..., :4] = True
    other = image.clone()
    other[..., 16:] = 255 - other[..., 16:]
    one, two = task.known(image, keep), task.known(other, keep)
    assert torch.equal(one, two) and not one[:, :, :, 4:].any() and bool((one[:, 3, :, :4] == 1).all())
    shown = masked_latent(task.coder, image.float() / 255, keep)
    torch.testing.assert_close(one[:, :3, :, :4], task.net.denoiser.scale(shown)[..., :4])
    assert not task.known(image, torch.zeros_like(keep)).any()


def test_training_lowers_the_error(tmp_path: Path):
    """Twelve updates on six pictures of all shapes, with the same noise: a sign error would show."""
    task = latent_task(tmp_path, everything_masked=1.0, drop_text=0.0)
    optimizer = torch.optim.AdamW(task.net.parameters(), 3e-3)
    made, losses = batch(task, [0, 3, 1, 2, 4, 5]), []
    for _ in range(12):
        loss, _ = task.loss(made, SeedBatch(range(6)))
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.8 * losses[0]


def test_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A network that knows the velocity has no error; one that says 0 has that of velocity itself."""
    task = latent_task(tmp_path)
    truth: dict[float, torch.Tensor] = {}

    def outputs(data, t, eps):
        found = []
        for index, at in by_shape(data["shape"], SHAPES):
            x0 = task.net.denoiser.scale(task.encode(raised(data["image"][at], task._pictures[index])))
            read = Read(torch.zeros(len(at), 1, 16), torch.ones(len(at), 1, dtype=torch.bool))
            found.append(Group(index, at, raised(eps[at], SHAPES[index]) - x0, x0, read, None))
            truth[float(t[0])] = noised(x0, raised(eps[at], SHAPES[index]), t[at], Flow())
        return found

    monkeypatch.setattr(task, "outputs", outputs)
    scores = task.evaluate(Pictures(), 9)
    assert truth and max(scores.values()) < 1e-9
    assert set(scores) == {"x0", "eps", "velocity", "x0_low", "x0_middle", "x0_high"}


def test_frozen_text_encoder(tmp_path: Path):
    """With --using text_encoder its tokenizer and sizes count, it is not trained, and the bundle holds it."""
    given = stages(tmp_path)
    own = replace(T5_TINY, width=24, vocab=4_098, pad=4_096, end=4_097)
    torch.manual_seed(4)
    encoder = save_bundle(
        tmp_path / "encoder",
        kind="text_encoder",
        name="encoder",
        components={
            "text_encoder": Component(config=to_json(own), tensors=text_encoder(own).state_dict()),
            "text": Component(config={}, file=given["text"].bytes("text"), storage="file"),
        },
        languages=["en"],
        licence="Apache-2.0",
        trained={},
        scores={},
    )
    task = latent_task(tmp_path, {"text_encoder": encoder})
    assert task.config.net.words == own and task.net.words is None
    assert not any(p.requires_grad for p in task.words.parameters())
    loss, _ = task.loss(batch(task, [0, 1]), SeedBatch([1, 2]))
    loss.backward()
    bundle = saved(tmp_path / "whole", task)
    assert {"text_encoder", "text", "latent", "autoencoder"} <= set(bundle.components)
    stored = bundle.tensors("text_encoder")
    torch.testing.assert_close(stored["norm.weight"], dict(task.words.named_parameters())["norm.weight"])


def test_clip_as_text_encoder(tmp_path: Path):
    """--using text_encoder=clip: the states of the shipped CLIP's text tower up to the end of the caption;
    the bundle points at that CLIP, and of one that does not ship it holds the tower alone.
    """
    clip = Bundle.open(SHIPPED / "clip")
    task = latent_task(tmp_path, {"text_encoder": clip})
    config = task.config.net.words
    assert isinstance(config, ClipWordsConfig) and config.masked and task.net.words is None
    tokens, keep = trimmed(caption_tokens(task.bpe.encode("a red dog"), config)[None], config)
    states = ClipModel.from_bundle(clip, torch.device("cpu"), torch.float32).text(["a red dog"])[1]
    torch.testing.assert_close(task.words(tokens, keep), states[:, : tokens.shape[1]], rtol=1e-4, atol=1e-4)
    task.loss(batch(task, [0, 1, 2]), SeedBatch([1, 2, 3]))[0].backward()
    bundle = saved(tmp_path / "whole", task)
    assert isinstance(bundle.components["clip"], SharedEntry) and "text_encoder" not in bundle.components
    shutil.copytree(clip.folder, tmp_path / "clip")
    other = saved(tmp_path / "other", latent_task(tmp_path, {"text_encoder": Bundle.open(tmp_path / "clip")}))
    assert "clip" not in other.components
    for whole in (bundle, other):
        drawn = Dalle3.from_bundle(whole, torch.device("cpu"), torch.float32)
        assert torch.equal(drawn.words("a red dog")[0], task.words(tokens, keep)), "int8 comes back as it was"
    again = latent_task(tmp_path, {"text_encoder": bundle})
    assert torch.equal(again.words(tokens, keep), task.words(tokens, keep))


def test_refusals(tmp_path: Path):
    """Each says what is missing."""
    task = latent_task(tmp_path)
    given = stages(tmp_path)
    with pytest.raises(BadInput, match="autoencoder is needed: --using autoencoder=BUNDLE"):
        task.config.build({"text": given["text"]}, None)
    with pytest.raises(BadInput, match="--using dvae: the stages of DALL·E 3"):
        task.config.build({**given, "dvae": given["text"]}, None)
    with pytest.raises(BadInput, match="it has no component autoencoder"):
        task.config.build({**given, "autoencoder": given["text"]}, None)
    with pytest.raises(BadInput, match="no captions"):
        latent_task(tmp_path, source=Pictures(captioned=False))
    with pytest.raises(BadInput, match="task.drop_text=2"):
        latent_task(tmp_path, drop_text=2)
    with pytest.raises(ValueError, match="36x36 are no multiples of the stride 8"):
        latent_config(side=36)
