"""The sketch that the U-Net is shown where nothing is known."""

from __future__ import annotations

import pytest
import torch

from armchair.dalle3.config import LatentConfig, T5Config
from armchair.nn.sketch import Sketch, SketchConfig, filled

SMALL = SketchConfig(width=16, depth=1, heads=2, head_width=8, hidden=24, token_width=4, side=2)


def test_sketch_reads_all_words_and_their_order():
    """Untrained it is zero. Then it depends on the tokens and their order, and not on what is no token."""
    torch.manual_seed(0)
    net = Sketch(SMALL, 40, 3).eval()
    states, keep = torch.randn(1, 6, 16), torch.tensor([[True] * 5 + [False]])
    tokens = torch.tensor([[1, 2, 3, 4, 5, 0]])
    assert net(states, tokens, keep).shape == (1, 3, 2, 2) and not net(states, tokens, keep).any()
    for weight in net.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    usual = net(states, tokens, keep)
    for other in ([1, 2, 3, 4, 6, 0], [1, 3, 2, 4, 5, 0]):
        assert not torch.allclose(usual, net(states, torch.tensor([other]), keep), atol=1e-4)
    assert torch.equal(usual, net(states, torch.tensor([[1, 2, 3, 4, 5, 7]]), keep))
    torch.testing.assert_close(usual, net(states[:, :5], tokens[:, :5], keep[:, :5]))


def test_sketch_lies_where_nothing_is_known():
    """What is known stays as it is, the mask too."""
    torch.manual_seed(0)
    sketch = torch.randn(2, 3, 2, 2)
    stays = (torch.rand(2, 1, 6, 4) < 0.5).float()
    known = torch.cat([torch.randn(2, 3, 6, 4) * stays, stays], dim=1)
    assert torch.equal(filled(known, torch.zeros_like(sketch)), known)
    shown = filled(known, sketch)
    assert torch.equal(shown[:, 3:], stays)
    assert torch.equal(shown[:, :3] * stays, known[:, :3])
    cells = torch.nn.functional.interpolate(sketch, (6, 4), mode="bilinear")
    torch.testing.assert_close(shown[:, :3] * (1 - stays), cells * (1 - stays))


def test_configs_that_do_not_fit():
    """Another width than the text's; a denoiser that is not told what is known."""
    words = T5Config(width=16)
    with pytest.raises(ValueError, match="sketch has width 8, and the text's states 16"):
        LatentConfig(words=words, sketch=SketchConfig(width=8))
    with pytest.raises(ValueError, match="needs inpaints"):
        LatentConfig(words=words, sketch=SMALL, inpaints=False)
