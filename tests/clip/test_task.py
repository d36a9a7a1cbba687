"""Training CLIP: the whole batch at once, the scale's bound, what is augmented, what the bundle holds."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from armchair.clip.network import MAX_LOG_SCALE
from armchair.clip.preprocess import random_square, softened
from armchair.clip.task import ClipTaskConfig
from armchair.core.bundle import Bundle, Component, save_bundle
from armchair.core.errors import BadInput
from armchair.core.rng import SeedBatch
from armchair.core.task import Batch
from armchair.text.bpe import BPE
from tests.clip.tiny import TINY, batch, clip_task, saved
from tests.dalle1.tiny import Pictures


def test_micro_batches_are_refused():
    """A share of the batch has too few wrong answers: the sum of the shares would be another loss."""
    task = clip_task()
    made = batch(task, [0, 1, 2, 3])
    half = Batch({k: v[:2] for k, v in made.data.items()}, [0, 1], 0, made.totals)
    with pytest.raises(BadInput, match="accumulate=2: .* --set accumulate=1, and --set task.chunk=2"):
        task.loss(half, SeedBatch([0, 1]))
    with torch.no_grad():  # looking for the sample that spoilt a batch, the loop asks for each alone
        assert task.loss(half, SeedBatch([0, 1]))[0].isfinite()


@pytest.mark.parametrize("chunk", [1, 3])
def test_chunks_are_the_whole(chunk: int):
    """Less memory, the same gradient: both towers are computed again, chunk by chunk, going backward."""
    whole, parts = clip_task(), clip_task(chunk=chunk)
    made = batch(whole, list(range(7)))
    losses = [task.loss(made, SeedBatch(made.indices))[0] for task in (whole, parts)]
    for loss in losses:
        loss.backward()
    torch.testing.assert_close(losses[0], losses[1])
    for (name, one), two in zip(whole.net.named_parameters(), parts.net.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad, rtol=1e-4, atol=1e-5, msg=name)


def test_the_scale_stays_below_a_hundred():
    """Clamped in the parameter, not in its use: behind a clamp it would have no gradient and never return."""
    task = clip_task()
    with torch.no_grad():
        task.net.logit_scale.fill_(MAX_LOG_SCALE + 1)
    made = batch(task, list(range(6)))
    loss, numbers = task.loss(made, SeedBatch(made.indices))
    loss.backward()
    assert task.net.logit_scale.item() == pytest.approx(math.log(100))
    assert float(numbers["scale"]) == pytest.approx(100)
    assert task.net.logit_scale.grad is not None and task.net.logit_scale.grad.item() != 0


def test_logged_numbers_are_shares():
    """Their sums over processes are means: half the two of them is the loss."""
    task = clip_task()
    made = batch(task, list(range(6)))
    loss, numbers = task.loss(made, SeedBatch(made.indices))
    assert loss.item() == pytest.approx(0.5 * (float(numbers["to_text"]) + float(numbers["to_image"])))
    doubled = Batch(made.data, made.indices, 0, {"samples": 2 * made.totals["samples"]})
    with torch.no_grad():
        share, parts = task.loss(doubled, SeedBatch(made.indices))
    assert share.item() == pytest.approx(loss.item() / 2)
    assert float(parts["scale"]) == pytest.approx(float(numbers["scale"]) / 2)


def test_examples():
    """The random square crop of section 2.3, the caption's tokens; the same generator, the same example."""
    task = clip_task()
    sample = Pictures(size=20)[0]
    wide = replace(sample, image=np.concatenate([sample.image, 255 - sample.image], axis=1))
    made = [task.example(wide, torch.Generator().manual_seed(s)) for s in (0, 0, 1, 2, 3)]
    assert made[0]["image"].shape == (3, 16, 16) and made[0]["image"].dtype == torch.uint8
    assert made[0]["tokens"].shape == (12,) and made[0]["tokens"][0] == 298
    assert torch.equal(made[0]["image"], made[1]["image"])
    assert len({bytes(m["image"].numpy().tobytes()) for m in made}) > 2, "no two crops differ"


def test_random_square():
    """The whole short side, any place along the long one, both ends included."""
    image = np.zeros((8, 24, 3), np.uint8)
    image[:, 16:] = 255
    assert random_square(image, 8, 0.0).max() == 0
    assert random_square(image, 8, 0.999).min() == 255
    assert random_square(image[:, :8], 8, 0.5).shape == (8, 8, 3)
    assert random_square(image, 4, 0.0).shape == (4, 4, 3)
    assert random_square(np.zeros((5, 30, 3), np.uint8), 8, 0.5).shape == (8, 8, 3)


def test_softened_pictures():
    """Some of the training pictures are soft, since drawn ones are; which, the generator says."""
    checks = (np.indices((16, 16)).sum(0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, 2)
    assert softened(checks, 0.5).std() < 0.1 * checks.std()
    assert np.array_equal(softened(checks, 1.0), checks)
    sample = replace(Pictures()[0], image=checks)
    sharp, soft, some = (clip_task(soften=share) for share in (0.0, 1.0, 0.5))

    def blurred(task) -> list[bool]:
        made = [task.example(sample, torch.Generator().manual_seed(s))["image"] for s in range(20)]
        return [not np.array_equal(m.permute(1, 2, 0).numpy(), checks) for m in made]

    assert sum(blurred(sharp)) == 0 and sum(blurred(soft)) >= 17 and 4 <= sum(blurred(some)) <= 16


def test_merges_drop_out_in_training_alone():
    """With BPE dropout a caption has many spellings; evaluation knows one. The global generator is left."""
    task = clip_task(bpe_dropout=0.5)
    state = torch.get_rng_state()
    spelt = {
        tuple(task.example(Pictures()[0], torch.Generator().manual_seed(s))["tokens"].tolist())
        for s in range(20)
    }
    assert len(spelt) > 3
    assert task.evaluate(Pictures(), 4) == task.evaluate(Pictures(), 4)
    assert torch.equal(torch.get_rng_state(), state)


def test_training_finds_the_pairs():
    """Sixty updates on eight pictures with their captions: from ln 8 nats to nearly none."""
    task = clip_task()
    optimizer = torch.optim.AdamW(task.net.parameters(), 2e-3)
    made = batch(task, list(range(8)))
    losses: list[float] = []
    for _ in range(60):
        loss, _ = task.loss(made, SeedBatch(made.indices))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 1.8 and losses[-1] < 0.5
    scores = task.evaluate(Pictures(), 8)
    assert scores["text_to_image_en_alt"] >= 0.75


def test_bundle_starts_another_run(tmp_path: Path):
    """--init: weights, tokenizer and its vocabulary go on."""
    task = clip_task(storage="float32")
    bundle = saved(tmp_path / "a", task)
    more = ClipTaskConfig(net=TINY).build({}, bundle)
    for name, value in task.net.state_dict().items():
        assert torch.equal(more.net.state_dict()[name], value), name
    assert task.bpe is not None and more.bpe is not None
    assert more.bpe.encode("a red dog") == task.bpe.encode("a red dog")


def test_a_shipped_tokenizer_is_pointed_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What several systems use is stored once; one that does not ship is copied, or the bundle could not be
    opened elsewhere.
    """
    bpe = BPE.train(["a red dog", "a red cat"] * 3, 280)
    component = Component(config={"vocab": bpe.vocab}, file=bpe.save(), storage="file")
    text = save_bundle(
        tmp_path / "text",
        kind="text",
        name="text",
        components={"text": component},
        languages=["en"],
        licence="Apache-2.0",
        trained={},
        scores={},
    )
    for shipped in (False, True):
        if shipped:
            monkeypatch.setattr("armchair.text.tokenizer.SHIPPED", tmp_path)
        task = ClipTaskConfig(net=TINY, bpe="shared").build({"text": text}, None)
        assert task.net.config.text.vocab == bpe.vocab + 2
        task.prepare(Pictures(), torch.Generator())
        bundle = saved(tmp_path / f"clip-{shipped}", task)
        assert BPE.load(bundle.bytes("text")).vocab == bpe.vocab
        assert (bundle.home("text")[0].name == "text") == shipped
        again = ClipTaskConfig(net=TINY).build({}, Bundle.open(bundle.folder))
        assert (again.shared is not None) == shipped, "a run that goes on points there too"


def test_missing_and_unknown_stages_are_refused(tmp_path: Path):
    """By the name that --using takes, before anything is built."""
    bundle = saved(tmp_path / "a", clip_task())
    with pytest.raises(BadInput, match="--using dvae: CLIP builds on text alone"):
        ClipTaskConfig(net=TINY).build({"dvae": bundle}, None)
    with pytest.raises(BadInput, match='bpe="shared" needs a tokenizer: --using text=BUNDLE'):
        ClipTaskConfig(net=TINY, bpe="shared").build({}, None)
    with pytest.raises(BadInput, match="task.chunk=-1"):
        ClipTaskConfig(chunk=-1)
    with pytest.raises(BadInput, match="task.soften=2"):
        ClipTaskConfig(soften=2)


def test_pictures_without_words_are_refused():
    """Before step 0, in words that say what is missing."""
    with pytest.raises(BadInput, match="no captions"):
        clip_task(Pictures(captioned=False))


def test_languages_are_noted():
    """The bundle says which it knows."""
    assert clip_task().languages == ("en",)
