"""DALL·E 2 on an imported CLIP: its tokenizer is not ours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import armchair
from armchair.clip.network import Clip
from armchair.core.bundle import Component, save_bundle
from armchair.core.config import to_json
from armchair.core.errors import BadInput
from armchair.dalle2.parts import tokenizer
from armchair.text.clip_bpe import ClipBPE
from tests.dalle2.tiny import CLIP_TINY, whole_bundle
from tests.weights.made import VOCAB, merges_file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole system whose CLIP has CLIP's own tokenizer, as `armchair import` makes one."""
    home = tmp_path_factory.mktemp("imported")
    config = replace(CLIP_TINY, text=replace(CLIP_TINY.text, vocab=VOCAB))
    bpe = ClipBPE.from_merges(merges_file(), VOCAB)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        net = Clip(config)
    save_bundle(
        home / "clip",
        kind="clip",
        name="clip",
        components={
            "clip": Component(config=to_json(config), tensors=net.state_dict()),
            "text": Component(config={"vocab": bpe.vocab}, file=bpe.save(), storage="file"),
        },
        languages=["en"],
        licence="MIT",
        trained={},
        scores={},
    )
    return whole_bundle(home).folder


def test_it_trains_and_draws(folder: Path):
    """Prior, decoder and pipeline read captions with the tokenizer that the CLIP came with; ours refuses its
    file.
    """
    artist = armchair.load(folder)
    assert isinstance(tokenizer(artist.bundle), ClipBPE)
    (a,), (b,) = (artist.generate(text, seed=1) for text in ("the red cat", "the cat"))
    assert a.image.tobytes() != b.image.tobytes()


def test_dropout_of_merges_is_refused():
    """CLIP's tokenizer has none: said at once, and not as a model that never saw it."""
    bpe = ClipBPE.from_merges(merges_file(), VOCAB)
    with pytest.raises(BadInput, match="no dropout of merges"):
        bpe.encode("the cat", 0.1, torch.Generator())
