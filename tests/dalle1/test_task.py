"""Training the transformer: what counts in its loss, what it takes from earlier stages, what it hands on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from armchair.core.bundle import Bundle, Component, save_bundle
from armchair.core.errors import BadInput, BundleError
from armchair.core.rng import SeedBatch
from armchair.core.task import Sample
from armchair.dalle1.config import TransformerConfig
from armchair.dalle1.pipeline import caption_tokens
from armchair.dalle1.task import TransformerTaskConfig, text_targets
from armchair.dalle1.transformer import PAD
from armchair.text.bpe import BPE
from tests.dalle1.tiny import DVAE_TINY, NET_TINY, Pictures, batch, dvae_bundle, saved, transformer_task

BOS = replace(NET_TINY, layout="bos")


def text_bundle(folder: Path) -> Bundle:
    """A tokenizer alone, as the shipped bundle `text`."""
    bpe = BPE.train(["red dogs and green dogs"] * 3, 270)
    text = Component(config={"vocab": bpe.vocab}, file=bpe.save(), storage="file")
    return save_bundle(
        folder,
        kind="text",
        name=folder.name,
        components={"text": text},
        languages=[],
        licence="Apache-2.0",
        trained={},
        scores={},
        golden=None,
    )


def test_text_targets_in_the_papers_layout():
    """Each place predicts its id; the first pad is a class of its own, which says where the caption ends; no
    other pad counts, and of a hidden caption nothing does.
    """
    config = TransformerConfig(text_vocab=100, text_length=6, grid=2, width=8, heads=2, depth=1)
    tokens = torch.tensor([[7, 8, PAD, PAD, PAD], [1, 2, 3, 4, 5], [PAD] * 5])
    assert text_targets(tokens, config).tolist() == [[7, 8, 100, PAD, PAD], [1, 2, 3, 4, 5], [PAD] * 5]


def test_text_targets_with_a_pad_a_place():
    """In the layout `bos` the pad of place i is id vocabulary + i (SPEC 1.6 B)."""
    config = TransformerConfig(text_vocab=100, text_length=5, grid=2, width=8, heads=2, depth=1, layout="bos")
    tokens = torch.tensor([[7, 8, PAD, PAD, PAD], [1, 2, 3, 4, 5], [PAD] * 5])
    assert text_targets(tokens, config).tolist() == [[7, 8, 102, PAD, PAD], [1, 2, 3, 4, 5], [PAD] * 5]


@pytest.mark.parametrize(("net", "places"), [(NET_TINY, 9), (BOS, 10)], ids=["start_of_image", "bos"])
def test_both_layouts_train(tmp_path: Path, net: TransformerConfig, places: int):
    """One id more fits in `bos`, both streams are T + N long, and every parameter learns."""
    task = transformer_task(tmp_path, net=net)
    made = batch(task, [0, 1, 2])
    assert made.data["tokens"].shape == (3, places)
    loss, _ = task.loss(made, SeedBatch([0, 1, 2]))
    loss.backward()
    idle = [n for n, p in task.net.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []
    assert task.net.config.length == 10 + 16


def test_loss_is_an_eighth_text(tmp_path: Path):
    """1/8 of the text's mean over text tokens and 7/8 of the image's over image tokens (section 2.2), not a
    mean over all: written out from the logits.
    """
    task = transformer_task(tmp_path)
    made = batch(task, [0, 1, 2, 3])
    loss, numbers = task.loss(made, SeedBatch(range(4)))
    tokens = made.data["tokens"]
    codes = task.dvae.encode(made.data["image"] / 255).flatten(1)
    text_logits, image_logits = task.net(tokens, codes)
    vocab = task.net.config.text_vocab
    text, image = [], []
    for row in range(4):
        length = int((tokens[row] != PAD).sum())
        wanted = [*tokens[row, :length].tolist(), vocab][:9]  # and the first pad
        text += [-text_logits[row, i].log_softmax(0)[k] for i, k in enumerate(wanted)]
        image += [-image_logits[row, i].log_softmax(0)[codes[row, i]] for i in range(16)]
    assert made.totals == {"text": len(text), "image": 4 * 16}
    text, image = torch.stack(text).mean(), torch.stack(image).mean()
    torch.testing.assert_close(loss, text / 8 + 7 * image / 8)
    torch.testing.assert_close((numbers["text"], numbers["image"]), (text.detach(), image.detach()))


def test_shares_add_up(tmp_path: Path):
    """Micro-batches with captions of other lengths are the whole batch, in the loss and in its gradient."""
    task = transformer_task(tmp_path)
    whole = batch(task, [0, 1, 2, 3, 4])
    loss, numbers = task.loss(whole, SeedBatch(range(5)))
    loss.backward()
    wanted = [p.grad.clone() for p in task.net.parameters() if p.grad is not None]
    task.net.zero_grad()
    assert isinstance(whole.totals, dict)
    shares: list[tuple[Tensor, dict]] = []
    for indices in ([0], [1, 2, 3, 4]):
        shares.append(task.loss(batch(task, indices, whole.totals), SeedBatch(indices)))
        shares[-1][0].backward()
    torch.testing.assert_close(shares[0][0] + shares[1][0], loss)
    for name in ("text", "image"):
        torch.testing.assert_close(shares[0][1][name] + shares[1][1][name], numbers[name])
    now = [p.grad for p in task.net.parameters() if p.grad is not None]
    torch.testing.assert_close(now, wanted, rtol=1e-4, atol=1e-6)


def test_hidden_captions_count_for_nothing(tmp_path: Path):
    """drop_text hides a share of captions, as guidance needs; the text loss must not learn how many."""
    task = transformer_task(tmp_path, drop_text=0.5)
    made = batch(task, list(range(40)))
    hidden = (made.data["tokens"] == PAD).all(dim=1)
    assert 10 <= hidden.sum() <= 30
    shown = made.data["tokens"][~hidden]
    assert made.totals["text"] == (shown != PAD).sum() + ((shown == PAD).sum(1) > 0).sum()
    assert made.totals["image"] == 40 * 16, "their pictures count in full"
    all_hidden = transformer_task(tmp_path, drop_text=1.0)
    made = batch(all_hidden, [0, 1])
    assert made.totals["text"] == 0
    loss, numbers = all_hidden.loss(made, SeedBatch([0, 1]))
    assert float(numbers["text"]) == 0 and loss.isfinite()


def test_merges_drop_out_in_training_alone(tmp_path: Path):
    """With BPE dropout a caption has many spellings; evaluation and drawing know one. Nothing else draws from
    the global generator.
    """
    task = transformer_task(tmp_path, bpe_dropout=0.5)
    sample = Pictures()[0]
    state = torch.get_rng_state()
    spelt = {
        tuple(task.example(sample, torch.Generator().manual_seed(s))["tokens"].tolist()) for s in range(20)
    }
    assert len(spelt) > 3
    scores = [task.evaluate(Pictures(), 6) for _ in range(2)]
    assert scores[0] == scores[1]
    assert torch.equal(torch.get_rng_state(), state)
    assert task.config.bpe_dropout == 0.5


def test_evaluation_is_the_loss_without_noise(tmp_path: Path):
    """Same numbers as the loss of the same examples where nothing is dropped or cropped at random."""
    task = transformer_task(tmp_path, bpe_dropout=0.0, augment=False)
    loss, numbers = task.loss(batch(task, list(range(5))), SeedBatch(range(5)))
    scores = task.evaluate(Pictures(), 5)
    assert scores["loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert scores["text_nats"] == pytest.approx(float(numbers["text"]), rel=1e-5)


def test_long_captions_are_cut(tmp_path: Path):
    """Never fatal: the first ids stay."""
    ids = list(range(30))
    assert caption_tokens(ids, 10).tolist() == ids[:9]
    assert caption_tokens(ids[:2], 5).tolist() == [0, 1, PAD, PAD]
    task = transformer_task(tmp_path)
    picture = Pictures()[0]
    long = Sample("x", picture.image, (replace(picture.captions[0], text="a very long story " * 50),))
    assert (task.example(long, torch.Generator())["tokens"] != PAD).all()


def test_sizes_come_from_the_stages(tmp_path: Path):
    """The recipe's vocabulary and grid are placeholders: the dVAE's and the tokenizer's are the real ones."""
    task = transformer_task(tmp_path)
    config = task.net.config
    assert (config.image_vocab, config.grid) == (DVAE_TINY.vocab, DVAE_TINY.grid) == (24, 4)
    assert config.text_vocab == 300, "a fitted tokenizer may need less, never more"
    text = text_bundle(tmp_path / "words")
    shared = TransformerTaskConfig(net=NET_TINY, bpe="shared").build(
        {"dvae": Bundle.open(tmp_path / "dvae"), "text": text}, None
    )
    assert shared.bpe is not None
    assert shared.net.config.text_vocab == shared.bpe.vocab < 300
    assert not any(p.requires_grad for p in shared.dvae.parameters())


def test_missing_and_unknown_stages_are_refused(tmp_path: Path):
    """By the name that --using takes, before anything is built."""
    config, dvae = TransformerTaskConfig(net=NET_TINY), dvae_bundle(tmp_path / "dvae")
    with pytest.raises(BadInput, match="needs an image tokenizer: --using dvae=BUNDLE"):
        config.build({}, None)
    with pytest.raises(BadInput, match="--using clip: the transformer builds on dvae and text"):
        config.build({"dvae": dvae, "clip": dvae}, None)
    with pytest.raises(BadInput, match='bpe="shared" needs a tokenizer: --using text=BUNDLE'):
        TransformerTaskConfig(net=NET_TINY, bpe="shared").build({"dvae": dvae}, None)
    with pytest.raises(BundleError, match="dvae"):
        config.build({"dvae": text_bundle(tmp_path / "words")}, None)


def test_pictures_without_words_are_refused(tmp_path: Path):
    """Before step 0, in words that say what is missing."""
    with pytest.raises(BadInput, match="no captions"):
        transformer_task(tmp_path, Pictures(captioned=False))


def test_bundle_starts_another_run(tmp_path: Path):
    """--init: weights and tokenizer go on; a width that does not fit is refused by name."""
    task = transformer_task(tmp_path, storage="float32")
    bundle, dvae = saved(tmp_path / "a", task), Bundle.open(tmp_path / "dvae")
    more = TransformerTaskConfig(net=NET_TINY).build({"dvae": dvae}, bundle)
    for name, value in task.net.state_dict().items():
        assert torch.equal(more.net.state_dict()[name], value), name
    assert task.bpe is not None and more.bpe is not None
    assert more.bpe.encode("a red dog") == task.bpe.encode("a red dog")
    with pytest.raises(BundleError, match="transformer: tensor"):
        TransformerTaskConfig(net=replace(NET_TINY, width=64)).build({"dvae": dvae}, bundle)


def test_bundle_says_what_it_knows(tmp_path: Path):
    """Its words, so that a prompt's unseen ones are told; its languages; how it draws by default."""
    task = transformer_task(tmp_path)
    bundle = saved(tmp_path / "a", task)
    assert sorted(bundle.components) == ["dvae", "text", "transformer", "words"]
    assert b'"house"' in bundle.bytes("words")
    assert bundle.manifest.languages == ["en"]
    assert bundle.manifest.defaults == {"guidance": 1.0, "temperature": 1.0, "top_k": None, "top_p": None}


def test_training_lowers_the_loss(tmp_path: Path):
    """Thirty updates on eight pictures with their captions: both losses fall well below even odds."""
    task = transformer_task(tmp_path, bpe_dropout=0.0, augment=False)
    optimizer = torch.optim.AdamW(task.net.parameters(), 3e-3)
    made = batch(task, list(range(8)))
    for _ in range(30):
        loss, numbers = task.loss(made, SeedBatch(range(8)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    even = F.cross_entropy(torch.zeros(1, 24), torch.tensor([0])).item()
    assert float(numbers["image"]) < 0.8 * even
    assert float(numbers["text"]) < 4
