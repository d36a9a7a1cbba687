"""The residual block: what its initial weights do, what it is conditioned on, how it resamples."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from armchair.nn.resnet import ConvResample, ResBlock, UpConv, conv


def woken(block: ResBlock) -> ResBlock:
    """With a last convolution that is not zero."""
    torch.nn.init.normal_(block.conv_out.weight, std=0.1)
    return block.eval()


def test_starts_as_the_identity():
    """SPEC 3.7: the last convolution is zero, so that a deep network starts shallow."""
    block = ResBlock(8, 8, 4, groups=4)
    x = torch.randn(2, 8, 6, 6)
    assert torch.equal(block(x, torch.randn(2, 4)), x)


@pytest.mark.parametrize("resample", [None, "up", "down"])
def test_by_hand(resample):
    """The block written out: norm, SiLU, resampling, convolution, norm, scale, shift, SiLU, convolution."""
    torch.manual_seed(0)
    block = woken(ResBlock(8, 12, 4, groups=4, resample=resample))
    x, emb = torch.randn(2, 8, 4, 4), torch.randn(2, 4)

    def moved(h: Tensor) -> Tensor:
        if resample == "up":
            return h.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        return h.unflatten(2, (2, 2)).unflatten(4, (2, 2)).mean(dim=(3, 5)) if resample == "down" else h

    h = moved(F.silu(block.norm_in(x)))
    h = block.norm_out(F.conv2d(h, block.conv_in.weight, block.conv_in.bias, padding=1))
    assert block.film is not None
    scale, shift = block.film(emb).chunk(2, dim=1)
    h = F.silu(h * (1 + scale[:, :, None, None]) + shift[:, :, None, None])
    h = F.conv2d(h, block.conv_out.weight, block.conv_out.bias, padding=1)
    torch.testing.assert_close(block(x, emb), block.skip(moved(x)) + h)


def test_dropout_rests_outside_of_training():
    """A picture must not depend on the global generator."""
    block = woken(ResBlock(8, 8, 4, groups=4, dropout=0.5))
    x, emb = torch.randn(1, 8, 4, 4), torch.randn(1, 4)
    assert torch.equal(block(x, emb), block(x, emb))
    block.train()
    assert not torch.equal(block(x, emb), block(x, emb))


def test_convolutions_are_channels_last():
    """The order in which they are fast on a processor, from the start."""
    assert conv(4, 8, 3).weight.is_contiguous(memory_format=torch.channels_last)
    assert not conv(4, 8, 3, zero=True).weight.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_upsampling_while_drawing_is_the_two_steps_at_once(dtype: torch.dtype):
    """A transposed convolution stands in for nearest neighbours and a convolution, borders and odd sides
    included, when nothing learns; weights that change afterwards must be read anew.
    """
    generator = torch.Generator().manual_seed(3)
    layer = UpConv(5, 7)
    x = torch.randn(2, 5, 3, 6, generator=generator)
    near = 1e-5 if dtype == torch.float32 else 3e-2

    def two_steps() -> Tensor:
        grown = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        assert layer.bias is not None
        return F.conv2d(grown, layer.weight.float(), layer.bias.float(), padding=1).to(dtype)

    torch.testing.assert_close(layer(x).to(dtype), two_steps(), atol=near, rtol=near)
    layer.to(dtype).requires_grad_(False)
    with torch.no_grad():
        for scale in (1.0, -2.0):
            layer.weight.mul_(scale)
            torch.testing.assert_close(layer(x.to(dtype)), two_steps(), atol=near, rtol=near)
    assert set(layer.state_dict()) == {"weight", "bias"}


def test_training_keeps_to_the_two_steps(monkeypatch: pytest.MonkeyPatch):
    """Weights that learn change under the folded ones, so that a preview must not use those."""
    monkeypatch.delattr(F, "conv_transpose2d")
    blocks = ResBlock(8, 8, 4, groups=4, resample="up"), ConvResample(8, "up")
    for block in blocks:
        block(torch.randn(1, 8, 2, 2), torch.randn(1, 4)).sum().backward()
        with torch.no_grad():
            block(torch.randn(1, 8, 2, 2), torch.randn(1, 4))
