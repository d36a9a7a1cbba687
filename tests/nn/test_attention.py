"""Attention over everything, causal, and with places that do not count."""

import torch

from armchair.nn.attention import Attention
from armchair.nn.sparse import causal
from armchair.nn.transformer import Block


def test_a_place_that_does_not_count_changes_nothing():
    """A caption padded to a longer batch must be read as it is alone: causal or not."""
    torch.manual_seed(0)
    block = Block(16, 2, qk_norm=True, quick_gelu=True)
    x = torch.randn(2, 7, 16)
    keep = torch.arange(7) < torch.tensor([[4], [7]])
    for places, alone in ((None, None), (causal(7), causal(4))):
        whole = block(x, places, keep)
        torch.testing.assert_close(whole[:1, :4], block(x[:1, :4], alone))
        torch.testing.assert_close(whole[1], block(x[1:], places)[0])


def test_without_a_pattern_everything_is_seen():
    """An image tower has no order: the last place must reach the first, and the causal form must not."""
    torch.manual_seed(0)
    layer = Attention(8, 2)
    x = torch.randn(1, 5, 8)
    changed = x.clone()
    changed[0, -1] += 1
    moved = (layer(x) - layer(changed)).abs().amax(dim=-1)[0]
    assert (moved > 1e-4).all()
    moved = (layer(x, causal(5)) - layer(changed, causal(5))).abs().amax(dim=-1)[0]
    assert moved[:-1].max() < 1e-6 < moved[-1]
