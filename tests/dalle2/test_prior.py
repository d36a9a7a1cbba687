"""The diffusion prior: what it reads, how it draws, and what its task learns, measures and hands on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from armchair.core.bundle import Bundle
from armchair.core.errors import BadInput
from armchair.core.rng import SeedBatch
from armchair.dalle2.config import PriorConfig
from armchair.dalle2.prior import Prior
from armchair.dalle2.prior_task import PriorTaskConfig
from armchair.dalle2.stage import agreement
from armchair.diffusion.loss import noised
from tests.dalle2.tiny import PRIOR_TINY, Pictures, batch, clip_bundle, decoder_task, prior_task, saved

WORDS = pytest.mark.parametrize("words", ["tokens", "clip"])


def test_paper_size():
    """SPEC 4.2: a billion parameters, 24 * 12 * 2048^2 of them in the blocks' matrices."""
    from armchair.core.unfilled import Unfilled

    with Unfilled(), torch.device("meta"):
        net = Prior(PriorConfig())
    matrices = sum(p.numel() for name, p in net.named_parameters() if "blocks" in name and p.ndim == 2)
    assert matrices == 24 * 12 * 2048**2 == 1_207_959_552
    assert 1.2e9 < sum(p.numel() for p in net.parameters()) < 1.35e9


@WORDS
def test_reads_words_text_and_time(tmp_path: Path, words: str):
    """Each input moves the output; places that hold no word move nothing; a hidden caption is gone."""
    task = prior_task(tmp_path, net=replace(PRIOR_TINY, words=words))
    net = task.net.eval()
    tokens = torch.stack([task.embedder.tokens(text) for text in ("red dog", "green house")])
    shown, hidden = torch.tensor([True]), torch.tensor([False])
    x, t = torch.randn(1, 12), torch.tensor([30])
    given, other = (task.read(tokens[i : i + 1], shown)[0] for i in (0, 1))
    out = net(x, t, **given)
    assert out.shape == (1, 12)
    changed = [
        net(x + 1, t, **given),
        net(x, t + 15, **given),
        net(x, t, **{**given, "text": other["text"]}),
        net(x, t, **other),
    ]
    assert all((out - value).abs().max() > 1e-3 for value in changed)
    longer = {
        **given,
        "words": torch.cat([given["words"], torch.randn(1, 2, 32)], dim=1),
        "keep": F.pad(given["keep"], (0, 2), value=False),
    }
    torch.testing.assert_close(net(x, t, **longer), out)
    gone = [net(x, t, **task.read(tokens[i : i + 1], hidden)[0]) for i in (0, 1)]
    torch.testing.assert_close(gone[0], gone[1], msg="words of a hidden caption are still read")


def test_loss_is_the_error_of_the_embedding(tmp_path: Path):
    """Section 2.2: the network says the clean embedding itself, scaled; and all of it learns."""
    task = prior_task(tmp_path, drop_text=0.5)
    made = batch(task, list(range(8)))
    assert 0 < made.data["shown"].sum() < 8
    loss, _ = task.loss(made, SeedBatch(range(8)))
    rng = SeedBatch(range(8))
    t, eps = rng.randint(0, 50), rng.normal(12)
    x0 = task.net.scale(task.embedder.image_emb(made.data["image"]))
    words, _ = task.read(made.data["tokens"], made.data["shown"])
    said = task.net(noised(x0, eps, t, task.schedule), t, **words)
    torch.testing.assert_close(loss, (said - x0).square().mean(dim=1).mean())
    loss.backward()
    assert [n for n, p in task.net.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_of_two_candidates_the_nearer_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Section 2.2, instead of a token for the dot product."""
    task = prior_task(tmp_path)
    net, tokens = task.net.eval(), task.embedder.tokens("red dog")[None]
    with torch.no_grad():
        words, text_emb = task.read(tokens, torch.tensor([True]))
        seen = []
        back = net.scale.back
        monkeypatch.setattr(net.scale, "back", lambda x: seen.append(back(x)) or seen[-1])
        z = net.sample(words, None, text_emb, SeedBatch([3, 4]), steps=3, guidance=1.0)
    (drawn,) = seen
    assert drawn.shape == (2, 2, 12)
    cosines = F.normalize(drawn, dim=-1) @ text_emb[0]
    for row in range(2):
        assert torch.equal(z[row], drawn[row, cosines[row].argmax()])


def test_an_embedding_does_not_depend_on_its_batch(tmp_path: Path):
    """Alone or beside others, with and without guidance: the same bits."""
    task = prior_task(tmp_path)
    net, tokens = task.net.eval(), task.embedder.tokens("red dog")[None]
    with torch.no_grad():
        (cond, text_emb), (uncond, _) = (task.read(tokens, torch.tensor([v])) for v in (True, False))
        for guidance in (1.0, 2.0):
            many = net.sample(cond, uncond, text_emb, SeedBatch([1, 2, 3]), steps=3, guidance=guidance)
            alone = net.sample(cond, uncond, text_emb, SeedBatch([2]), steps=3, guidance=guidance)
            assert torch.equal(many[1:2], alone)
            assert (many[0] - many[1]).abs().max() > 1e-7


def test_noise_power_is_measured(tmp_path: Path):
    """Analytic-DPM wants E |eps|^2 / d: nearly 1 where there is nothing but noise; stored with the bundle and
    interpolated for other steps.
    """
    task = prior_task(tmp_path)
    task.net.eval()
    task.components()
    gamma = task.net.gamma
    assert len(gamma) == 50 and not torch.equal(gamma, torch.ones(50))
    assert abs(gamma[-1].item() - 1) < 0.15
    assert torch.allclose(task.net.gamma_at(task.schedule).float(), gamma, atol=1e-6)
    assert task.net.gamma_at(task.schedule.respace(7)).shape == (7,)


def test_agreement_by_hand():
    """Logged: cosine to the truth, against shuffled captions, norm, retrieval (issue)."""
    truth = torch.eye(3)
    z = torch.tensor([[2.0, 0, 0], [0, 0, 1], [0, 0, 3]])
    text = F.normalize(torch.tensor([[1.0, 1, 0], [0, 1, 0], [0, 0, 1]]), dim=1)
    found = agreement(z, truth, text)
    assert found["cosine"] == pytest.approx(2 / 3) and found["retrieval"] == pytest.approx(2 / 3)
    assert found["norm"] == pytest.approx(2.0) and found["cosine_shuffled"] == 0
    assert found["cosine_of_text"] == pytest.approx((2**-0.5 + 2) / 3)


def test_evaluation(tmp_path: Path):
    """The same numbers each time, all of them finite."""
    task = prior_task(tmp_path)
    task.net.eval()
    with torch.no_grad():
        scores = [task.evaluate(Pictures(), 5) for _ in range(2)]
    assert scores[0] == scores[1]
    assert {"loss", "cosine", "cosine_shuffled", "norm", "retrieval"} <= set(scores[0])


def test_sizes_come_from_clip(tmp_path: Path):
    """The recipe's are placeholders."""
    config = prior_task(tmp_path).net.config
    assert (config.embed, config.vocab, config.text_width, config.length) == (12, 290, 64, 8)


def test_bundle_with_a_decoder_draws(tmp_path: Path):
    """Alone it is a part; with --using decoder its bundle is complete and has a golden picture."""
    alone = saved(tmp_path / "alone", prior_task(tmp_path))
    assert alone.kind == "dalle2_prior" and alone.golden() is None
    assert sorted(alone.components) == ["clip", "prior", "text", "words"]
    decoder = saved(tmp_path / "decoder", decoder_task(tmp_path))
    task = prior_task(tmp_path, {"decoder": decoder})
    whole = saved(tmp_path / "whole", task)
    assert whole.kind == "dalle2" and whole.golden() is not None
    assert sorted(whole.components) == ["clip", "decoder", "prior", "text", "words"]
    assert whole.manifest.defaults == {
        "steps": 4,
        "shift": 1.0,
        "guidance": 2.0,
        "sampler": "ddim",
        "prior_weight": 1.0,
        "prior": "diffusion",
        "prior_steps": 3,
        "prior_guidance": 1.0,
    }
    assert task.preview(SeedBatch(range(2))) is not None


def test_stages_of_another_clip_are_refused(tmp_path: Path):
    """A decoder that was trained on other embeddings would draw nonsense."""
    decoder = saved(tmp_path / "decoder", decoder_task(tmp_path))
    other = clip_bundle(tmp_path / "other", seed=9)
    with pytest.raises(BadInput, match="decoder=.*: trained with another CLIP than .*other"):
        PriorTaskConfig(net=PRIOR_TINY).build({"clip": other, "decoder": decoder}, None)
    with pytest.raises(BadInput, match="it has no component decoder"):
        PriorTaskConfig(net=PRIOR_TINY).build({"clip": other, "decoder": other}, None)


def test_bundle_starts_another_run(tmp_path: Path):
    """--init: the weights go on."""
    task = prior_task(tmp_path, storage="float32")
    bundle, clip = saved(tmp_path / "a", task), Bundle.open(tmp_path / "clip")
    more = PriorTaskConfig(net=PRIOR_TINY).build({"clip": clip}, bundle)
    for name, value in task.net.state_dict().items():
        assert torch.equal(more.net.state_dict()[name], value), name
