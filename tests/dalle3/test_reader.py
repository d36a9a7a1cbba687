"""The reader between CLIP's states and the U-Net, and its sketch."""

from __future__ import annotations

import pytest
import torch

from armchair.dalle3.config import LatentConfig, ReaderConfig, T5Config
from armchair.dalle3.reader import Reader, Sketch


def test_reader_tells_what_comes_first_of_what_follows():
    """Untrained it changes nothing. Then a state depends on the tokens after it and on their distance, not
    on what is no token.
    """
    torch.manual_seed(0)
    net = Reader(ReaderConfig(width=16, depth=1, heads=2, head_width=8, hidden=24, token_width=4), 40).eval()
    states, keep = torch.randn(1, 6, 16), torch.tensor([[True] * 5 + [False]])
    assert torch.equal(net(states, torch.arange(6)[None], keep), states)
    for weight in net.parameters():
        torch.nn.init.normal_(weight, std=0.3)

    def first(*tokens: int) -> torch.Tensor:
        return net(states, torch.tensor([tokens]), keep)[0, 0]

    usual = first(1, 2, 3, 4, 5, 0)
    assert not torch.allclose(usual, first(1, 2, 3, 4, 6, 0), atol=1e-4)
    assert not torch.allclose(usual, first(1, 3, 2, 4, 5, 0), atol=1e-4)
    assert torch.equal(usual, first(1, 2, 3, 4, 5, 7))


def test_sketch_lies_where_nothing_is_known():
    """Untrained it is zero; what is known stays as it is; the mask too; padding does not count."""
    torch.manual_seed(0)
    net = Sketch(ReaderConfig(width=8, sketch=2), 3).eval()
    states, keep = torch.randn(2, 5, 8), torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    stays = (torch.rand(2, 1, 6, 4) < 0.5).float()
    known = torch.cat([torch.randn(2, 3, 6, 4) * stays, stays], dim=1)
    assert torch.equal(net.over(known, states, keep), known)
    torch.nn.init.normal_(list(net.mlp.parameters())[-2])
    shown = net.over(known, states, keep)
    assert torch.equal(shown[:, 3:], stays)
    assert torch.equal(shown[:, :3] * stays, known[:, :3])
    cells = torch.nn.functional.interpolate(net(states, keep), (6, 4), mode="bilinear")
    torch.testing.assert_close(shown[:, :3] * (1 - stays), cells * (1 - stays))
    alone = net(states[1:, :3], keep[1:, :3])
    torch.testing.assert_close(net(states, keep)[1:], alone)


def test_reader_of_another_width():
    with pytest.raises(ValueError, match="reader has width 8, and the text's states 16"):
        LatentConfig(words=T5Config(width=16), reader=ReaderConfig(width=8))


def test_sketch_needs_the_channels_of_inpainting():
    with pytest.raises(ValueError, match="needs inpaints"):
        LatentConfig(words=T5Config(width=16), reader=ReaderConfig(width=16, sketch=4), inpaints=False)
