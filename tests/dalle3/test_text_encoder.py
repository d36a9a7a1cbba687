"""What reads the caption: T5's distances, padding, size, and CLIP's states."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from armchair.clip.config import ClipTextConfig, TextConfig
from armchair.clip.network import ClipText
from armchair.dalle3.config import ClipWordsConfig, T5Config
from armchair.dalle3.text_encoder import (
    ClipWords,
    T5Encoder,
    caption_tokens,
    keep_of,
    text_encoder,
    trimmed,
)
from armchair.nn.t5 import buckets

TINY = T5Config(vocab=40, length=10, width=16, depth=2, heads=2, head_width=8, hidden=24, pad=38, end=39)


def encoder(config: T5Config = TINY) -> T5Encoder:
    torch.manual_seed(0)
    net = text_encoder(config)
    assert isinstance(net, T5Encoder)
    return net.eval()


def test_size_of_xxl():
    """SPEC 5.3: 24 layers of width 4096, 64 heads of 64, a gated MLP of 10,240: 4.76e9 parameters. Exactly:
    the vocabulary, 32 x 64 distances, per layer four projections, three matrices of the MLP and two gains.
    """
    with torch.device("meta"):
        net = text_encoder(T5Config())
    layer = 4 * 4096 * 4096 + 3 * 4096 * 10_240 + 2 * 4096
    assert sum(p.numel() for p in net.parameters()) == 32_128 * 4096 + 32 * 64 + 24 * layer + 4096


def test_buckets():
    """Keys before and after have buckets of their own; near ones one each, far ones share, all beyond the
    last distance too.
    """
    table = buckets(300, T5Config())
    assert table[5, 5] == 0
    assert table[10, :10].flip(0).tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 8, 8]
    assert table[0, 1:8].tolist() == [17, 18, 19, 20, 21, 22, 23]
    far = table[299].flip(0)
    assert (far.diff() >= 0).all() and far[-1] == far[128] == far[91] == 15 > far[90]
    assert torch.equal(table.mT[300 - 1], torch.where(far.flip(0) > 0, far.flip(0) + 16, 0))


def test_block_by_hand():
    """The first layer written out, head by head: no scaling of scores, the distance's number added."""
    net = encoder()
    ids = torch.tensor([[3, 1, 4, 39]])
    found = encoder(replace(TINY, depth=1))
    found.load_state_dict({k: v for k, v in net.state_dict().items() if not k.startswith("blocks.1.")})
    h = found.token_embedding(ids)[0]  # (4, W)
    layer = dict(found.blocks[0].named_parameters())

    def norm(x: torch.Tensor) -> torch.Tensor:
        return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()

    q, k, v = (norm(h) @ layer["qkv.weight"].mT).chunk(3, dim=-1)
    bias = found.distance_embedding(buckets(4, TINY))  # (4, 4, heads)
    heads = []
    for i in range(2):
        part = slice(8 * i, 8 * i + 8)
        scores = q[:, part] @ k[:, part].mT + bias[..., i]
        heads.append(scores.softmax(-1) @ v[:, part])
    h = h + torch.cat(heads, dim=-1) @ layer["out.weight"].mT
    x = norm(h)
    gate = torch.nn.functional.gelu(x @ layer["gate.weight"].mT, approximate="tanh")
    h = h + (gate * (x @ layer["up.weight"].mT)) @ layer["down.weight"].mT
    torch.testing.assert_close(found(ids, torch.ones(1, 4, dtype=torch.bool))[0], norm(h))


def test_padding_is_not_read():
    """A caption's states are the same alone, beside a longer one, and whatever stands in the padding."""
    net = encoder()
    tokens = torch.stack([caption_tokens([1, 2, 3], TINY), caption_tokens(range(20), TINY)])
    both, keep = trimmed(tokens, TINY)
    alone, kept = trimmed(tokens[:1], TINY)
    assert alone.shape == (1, 4) and bool(kept.all()) and keep.sum(dim=1).tolist() == [4, 10]
    states = net(both, keep)
    torch.testing.assert_close(states[:1, :4], net(alone, kept))
    changed = both.clone()
    changed[0, 4:] = 7
    torch.testing.assert_close(net(changed, keep)[:1, :4], states[:1, :4])


def test_captions_as_tokens():
    """The end is never cut; an empty caption is its end alone."""
    assert caption_tokens([5, 6], TINY).tolist() == [5, 6, 39] + 7 * [38]
    assert caption_tokens(range(20), TINY).tolist() == [*range(9), 39]
    assert caption_tokens([], TINY).tolist() == [39] + 9 * [38]
    clip = ClipWordsConfig(text=TextConfig(vocab=20, length=6, width=64, depth=1))
    assert caption_tokens([5, 6], clip).tolist() == [18, 5, 6, 19, 19, 19]
    assert caption_tokens(range(9), clip).tolist() == [18, 0, 1, 2, 3, 19]
    assert bool(keep_of(caption_tokens([5], clip)[None], clip).all()), "Stable Diffusion reads all places"


def test_clips_states():
    """The same as the text tower that CLIP itself has, whose projection is left out."""
    config = ClipWordsConfig(text=TextConfig(vocab=20, length=6, width=64, depth=2))
    torch.manual_seed(0)
    tower = ClipText(ClipTextConfig(embed=5, text=config.text, quick_gelu=True)).text
    net = text_encoder(config)
    assert isinstance(net, ClipWords)
    weights = {name: value for name, value in tower.state_dict().items() if name != "projection"}
    net.load_state_dict(weights)
    tokens = caption_tokens([3, 4], config)[None]
    torch.testing.assert_close(net(tokens, keep_of(tokens, config)), tower(tokens)[1])


def test_wrong_sizes_are_refused():
    """Ids outside of the vocabulary would read another's row."""
    with pytest.raises(ValueError, match="0..vocab - 1, 39"):
        replace(TINY, end=40)
    with pytest.raises(ValueError, match="no multiple of 4"):
        replace(TINY, buckets=6)
