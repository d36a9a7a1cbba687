"""The autoregressive prior and its codes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from armchair.core.bundle import Bundle
from armchair.core.rng import SeedBatch
from armchair.core.unfilled import Unfilled
from armchair.dalle2.ar_prior import ArPrior
from armchair.dalle2.ar_prior_task import ArPriorTaskConfig
from armchair.dalle2.config import ArPriorConfig, CaptionConfig
from armchair.dalle2.pca import Codes
from tests.dalle2.tiny import AR_TINY, Pictures, ar_prior_task, batch, saved

OWN = replace(AR_TINY, caption=CaptionConfig(vocab=99, length=6, width=16, depth=1, heads=2))
BOTH = pytest.mark.parametrize("net", [AR_TINY, OWN], ids=["clip", "own"])


def unit(count: int, width: int = 8) -> torch.Tensor:
    torch.manual_seed(0)
    spread = torch.linspace(2, 0.1, width)
    return F.normalize(torch.randn(count, width) * spread + 0.5, dim=-1)


def test_components_by_falling_eigenvalue():
    """Section 2.2: an orthogonal basis in which the data's variance falls, as numpy's own decomposition has
    it; all components together give the embedding back.
    """
    z = unit(500)
    codes = Codes(8, 5, 16)
    codes.fit(z, z[:, 0])
    torch.testing.assert_close(codes.axes @ codes.axes.mT, torch.eye(8), atol=1e-5, rtol=0)
    variances = codes.project(z, 8).var(dim=0, correction=0)
    torch.testing.assert_close(variances, codes.variances, atol=1e-5, rtol=1e-3)
    assert (codes.variances.diff() <= 1e-7).all()
    wanted = torch.linalg.svdvals(z - z.mean(dim=0)).square() / len(z)
    torch.testing.assert_close(codes.variances, wanted, atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(codes.restore(codes.project(z, 8)), z, atol=1e-5, rtol=0)


def test_buckets_have_equal_shares():
    """Every code is as common as another, codes rise along a component, and more buckets keep more."""
    z = unit(2_000)
    errors = []
    for buckets in (4, 16, 64):
        codes = Codes(8, 8, buckets)
        codes.fit(z, z[:, 0])
        found = codes.encode(z)
        counts = torch.stack([torch.bincount(row, minlength=buckets) for row in found.mT])
        assert (counts - 2_000 / buckets).abs().max() <= 2
        along = codes.project(z, 8)
        assert (along[found[:, 0] == 0, 0].max() <= along[found[:, 0] == buckets - 1, 0].min()).all()
        errors.append((codes.decode(found) - z).square().mean().item())
        dots = codes.dot_code(z[:, 0])
        assert (torch.bincount(dots, minlength=buckets) - 2_000 / buckets).abs().max() <= 2
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


def test_paper_size():
    """SPEC 4.2 and 4.4: two transformers, 24 x 2048 for the caption and 24 x 1664 for the codes."""
    with Unfilled(), torch.device("meta"):
        net = ArPrior(ArPriorConfig())
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in net.named_children()}
    assert sizes["caption"] > 24 * 12 * 2048**2
    assert sizes["blocks"] > 24 * (12 * 1664**2 + 2 * 2048 * 1664)
    assert 319 + 2 <= 384, "the context of table 3"


@BOTH
def test_sampling_is_the_forward_pass(tmp_path: Path, net: ArPriorConfig):
    """Cached one by one, the codes' probabilities are those of the whole sequence at once: the codes drawn
    are exactly those that the forward pass gives for the same random numbers, with guidance too.
    """
    task = ar_prior_task(tmp_path, net=net)
    prior = task.net.eval()
    ids = task.embedder.bpe.encode("red dog")
    tokens, caption = task.embedder.tokens_of(ids)[None], prior.caption_of(ids)[None]
    with torch.no_grad():
        (cond, _), (uncond, _) = (task.read(tokens, caption, torch.tensor([v])) for v in (True, False))
        for guidance in (1.0, 2.5):
            z = prior.sample(cond, uncond, SeedBatch([7]), guidance=guidance)
            uniforms = SeedBatch([7]).uniform(7)[0]
            dot = torch.tensor([4 + int(uniforms[0] * 4)])
            codes = torch.zeros(1, 6, dtype=torch.int64)
            for place in range(6):
                here, there = prior(codes, dot, cond)[0, place], prior(codes, dot, uncond)[0, place]
                share = (there + guidance * (here - there)).softmax(0).double().cumsum(0)
                codes[0, place] = int((share < uniforms[1 + place].double()).sum())
            torch.testing.assert_close(z, prior.codes.decode(codes))


def test_the_dot_product_comes_from_the_upper_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Section 2.2, footnote 2: half of the buckets, and all of those."""
    prior = ar_prior_task(tmp_path).net.eval()
    seen = []
    monkeypatch.setattr(
        prior, "_draw", lambda prefix, dot, *_: seen.append(int(dot)) or torch.zeros(1, 6, dtype=torch.int64)
    )
    prior.sample({}, None, SeedBatch(range(80)), guidance=1.0)  # type: ignore[typeddict-item]
    assert set(seen) == {4, 5, 6, 7}


def test_an_embedding_does_not_depend_on_its_batch(tmp_path: Path):
    """Alone or beside others: the same bits."""
    task = ar_prior_task(tmp_path)
    tokens = task.embedder.tokens("red dog")[None]
    with torch.no_grad():
        cond, _ = task.read(tokens, torch.zeros(1, 0, dtype=torch.int64), torch.tensor([True]))
        many = task.net.eval().sample(cond, None, SeedBatch([1, 2, 3]), guidance=1.0)
        assert torch.equal(many[1:2], task.net.sample(cond, None, SeedBatch([2]), guidance=1.0))
    assert (many[0] - many[1]).abs().max() > 1e-4


@BOTH
def test_loss_is_nats_a_code(tmp_path: Path, net: ArPriorConfig):
    """Causal: a code's loss does not change with later codes; and every parameter learns."""
    task = ar_prior_task(tmp_path, net=net, drop_text=0.5)
    made = batch(task, list(range(8)))
    assert 0 < made.data["shown"].sum() < 8 and made.totals == {"codes": 48}
    loss, _ = task.loss(made, SeedBatch(range(8)))
    torch.testing.assert_close(loss, task.nats(made.data).mean())
    loss.backward()
    idle = [n for n, p in task.net.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []
    with torch.no_grad():
        prefix, _ = task.read(made.data["tokens"], made.data["caption"], made.data["shown"])
        codes = torch.randint(0, 8, (8, 6), generator=torch.Generator().manual_seed(0))
        dot = torch.zeros(8, dtype=torch.int64)
        logits = task.net(codes, dot, prefix)
        codes[:, 3] = (codes[:, 3] + 1) % 8
        moved = (logits - task.net(codes, dot, prefix)).abs().amax(dim=(0, 2))
    assert moved[:4].max() < 1e-5 < moved[4:].min()


def test_hidden_captions_are_gone(tmp_path: Path):
    """Neither words, text embedding nor dot product of a hidden caption are read."""
    task = ar_prior_task(tmp_path)
    tokens = torch.stack([task.embedder.tokens(text) for text in ("red dog", "green house")])
    nothing = torch.zeros(2, 0, dtype=torch.int64)
    codes = torch.zeros(2, 6, dtype=torch.int64)
    with torch.no_grad():
        hidden, _ = task.read(tokens, nothing, torch.tensor([False, False]))
        one, two = task.net(codes, torch.tensor([0, 7]), hidden)
        torch.testing.assert_close(one, two)
        shown, _ = task.read(tokens, nothing, torch.tensor([True, True]))
        one, two = task.net(codes, torch.tensor([0, 0]), shown)
        assert (one - two).abs().max() > 1e-3


def test_bundle_keeps_the_codes_exactly(tmp_path: Path):
    """Edges of buckets need more digits than weights do: they are a component of their own, in float32, and
    a bundle starts another run with the same codes.
    """
    task = ar_prior_task(tmp_path, storage="int8")
    bundle, clip = saved(tmp_path / "a", task), Bundle.open(tmp_path / "clip")
    assert bundle.kind == "dalle2_ar_prior"
    assert sorted(bundle.components) == ["ar_prior", "clip", "pca", "text", "words"]
    more = ArPriorTaskConfig(net=AR_TINY).build({"clip": clip}, bundle)
    more.prepare(Pictures(20), torch.Generator().manual_seed(8))
    for name, value in task.net.codes.state_dict().items():
        assert torch.equal(more.net.codes.state_dict()[name], value), name


def test_evaluation(tmp_path: Path):
    """The same numbers each time; what the codes keep of an embedding is among them."""
    task = ar_prior_task(tmp_path)
    task.net.eval()
    with torch.no_grad():
        scores = [task.evaluate(Pictures(), 5) for _ in range(2)]
    assert scores[0] == scores[1]
    assert 0.8 < scores[0]["cosine_of_codes"] <= 1
    assert {"nats", "nats_first", "cosine", "retrieval"} <= set(scores[0])
