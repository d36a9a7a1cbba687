"""CLIP as it is used: any size of picture, the packed towers, what does not depend on the batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from armchair.clip.config import ClipConfig
from armchair.clip.pipeline import ClipModel
from armchair.clip.preprocess import fit_picture, fit_tensor
from armchair.core.errors import BadInput, BundleError
from armchair.text.bpe import BPE
from tests.clip.tiny import RESNET, TINY, clip_task, network, saved

BPE_TINY = BPE.train(["a red dog", "고양이 두 마리"] * 3, 290)
TEXTS = ["a red dog", "고양이 두 마리", "", "a very long story " * 9]


def model(config: ClipConfig = TINY, dtype: torch.dtype = torch.float32) -> ClipModel:
    return ClipModel(network(config), BPE_TINY, ("en", "ko"), dtype)


def images(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("config", [TINY, RESNET], ids=["vit", "resnet"])
def test_the_packed_towers_are_the_networks(config: ClipConfig, quick: bool):
    """Folded means, folded activation, one place of the last block: the plain network's embeddings."""
    config = replace(config, quick_gelu=quick)
    fast, plain = model(config), network(config).eval()
    x, tokens = images(5, 3, config.image_size, config.image_size), fast.tokens(TEXTS)
    with torch.no_grad():
        wanted = F.normalize(plain.encode_image(x), dim=-1)
        text_emb, text_seq = plain.encode_text(tokens)
    torch.testing.assert_close(fast.image_emb(x), wanted, atol=2e-6, rtol=1e-4)
    torch.testing.assert_close(fast.text_emb(TEXTS), F.normalize(text_emb, dim=-1), atol=2e-6, rtol=1e-4)
    pooled, states, keep = fast.text(TEXTS)
    torch.testing.assert_close(pooled, F.normalize(text_emb, dim=-1), atol=2e-6, rtol=1e-4)
    torch.testing.assert_close(states, text_seq, atol=1e-5, rtol=1e-4)
    assert keep.sum(dim=1).tolist() == [(row == config.text.end).nonzero().item() + 1 for row in tokens]


def test_half_precision_is_near():
    """bf16 products, fp32 results of length one."""
    full, half = model(), model(dtype=torch.bfloat16)
    x = images(3, 3, 16, 16)
    for a, b in ((full.image_emb(x), half.image_emb(x)), (full.text_emb(TEXTS), half.text_emb(TEXTS))):
        assert b.dtype == torch.float32 and not torch.equal(a, b)
        torch.testing.assert_close(b.norm(dim=-1), torch.ones(len(b)))
        assert (a * b).sum(dim=-1).min() > 0.99


def test_neighbours_change_nothing():
    """A picture or a text embeds alike alone and beside others, up to the last bits."""
    clip = model()
    x = images(70, 3, 16, 16)
    torch.testing.assert_close(clip.image_emb(x)[[0, 69]], clip.image_emb(x[[0, 69]]))
    many = [f"a red dog {i}" * (i % 3) for i in range(70)]
    torch.testing.assert_close(clip.text_emb(many)[[0, 69]], clip.text_emb([many[0], many[69]]))


def test_pictures_of_any_size():
    """Tensors and pictures go the same way: short side, middle square; what lies outside is not seen."""
    clip = model()
    wide = np.zeros((32, 64, 3), np.uint8)
    wide[:, 16:48] = np.random.default_rng(0).integers(0, 256, (4, 4, 3)).repeat(8, 0).repeat(8, 1)
    framed = wide.copy()
    framed[:, :8], framed[:, 56:] = 200, 90
    tensor = torch.tensor(wide).permute(2, 0, 1)[None] / 255
    embedded = clip.image_emb([Image.fromarray(wide), Image.fromarray(framed)])
    torch.testing.assert_close(embedded[0], embedded[1])
    assert (clip.image_emb(tensor) * embedded[:1]).sum() > 0.999
    tall = fit_tensor(tensor.mT, 16)
    torch.testing.assert_close(tall.mT, fit_tensor(tensor, 16), atol=1e-6, rtol=0)
    assert fit_picture(Image.fromarray(wide).rotate(90, expand=True), 16).shape == (16, 16, 3)


def test_transparency_lies_on_white():
    """As everywhere: a sticker's border is not black."""
    clear = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    assert fit_picture(clear, 16).min() == 255


def test_score():
    """Cosines, pictures by texts."""
    clip = model()
    x = images(3, 3, 16, 16)
    scores = clip.score(x, TEXTS)
    assert scores.shape == (3, 4)
    torch.testing.assert_close(scores[1, 2], clip.image_emb(x)[1] @ clip.text_emb(TEXTS)[2])
    assert clip.kind == "clip" and clip.config == TINY


def test_nothing_gives_nothing():
    """No pictures, no texts: an empty result of the right width."""
    clip = model()
    assert clip.score([], TEXTS).shape == (0, 4) and clip.score(images(2, 3, 16, 16), []).shape == (2, 0)


def test_what_is_no_batch_is_refused():
    """A text for a list of texts would be read letter by letter."""
    clip = model()
    with pytest.raises(BadInput, match="'a red dog': give a list"):
        clip.text_emb("a red dog")
    with pytest.raises(BadInput, match="not \\(3, 16, 16\\)"):
        clip.image_emb(images(3, 16, 16))


@pytest.mark.parametrize("storage, near", [("float32", 1.0 - 1e-6), ("int8", 0.99)])
def test_from_a_bundle(tmp_path: Path, storage: str, near: float):
    """Weights and tokenizer from disk give the task's own embeddings; no random number is drawn to load."""
    task = clip_task(storage=storage)
    bundle = saved(tmp_path / "a", task)
    state = torch.get_rng_state()
    clip = ClipModel.from_bundle(bundle, torch.device("cpu"), torch.float32)
    assert torch.equal(torch.get_rng_state(), state)
    assert clip.languages == ("en",)
    x = images(2, 3, 16, 16)
    with torch.no_grad():
        wanted = F.normalize(task.net.encode_image(x), dim=-1)
    assert (clip.image_emb(x) * wanted).sum(dim=-1).min() > near


def test_a_bundle_that_does_not_fit_is_refused(tmp_path: Path):
    """By the tensor that is missing."""
    task = clip_task()
    task.net.text.norm = torch.nn.Identity()  # type: ignore[assignment]
    with pytest.raises(BundleError, match="tensor text.norm.weight is missing"):
        ClipModel.from_bundle(saved(tmp_path / "a", task), torch.device("cpu"), torch.float32)
