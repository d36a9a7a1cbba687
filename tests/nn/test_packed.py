"""Packed weights give the numbers of plain ones, where a layer is drawn with and nowhere else."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armchair.nn import packed
from armchair.nn.packed import Conv
from armchair.nn.resnet import ConvResample, UpConv


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every weight counts as a large one."""
    monkeypatch.setattr(packed, "WIDE", 1)


def picture(channels: int, dtype: torch.dtype = torch.float32) -> Tensor:
    x = torch.randn(2, channels, 6, 4, generator=torch.Generator().manual_seed(1)).to(dtype)
    return x.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kernel", [1, 3])
def test_the_same_numbers(dtype: torch.dtype, kernel: int):
    """For any size of picture, with one and with two strides; the plain weights are given back."""
    layer = Conv(16, 32, kernel).to(dtype).requires_grad_(False)
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    for x in (picture(16, dtype), picture(16, dtype)[:1, :, :3]):
        want = F.conv2d(x, before["weight"], before["bias"], padding=kernel // 2)
        got = layer(x)
        torch.testing.assert_close(got, want, rtol=0, atol=0 if dtype == torch.float32 else 1e-2)
        assert got.dtype == dtype and got.is_contiguous(memory_format=torch.channels_last)
    assert layer.weight.is_mkldnn
    after = layer.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in before)
    other = Conv(16, 32, kernel).to(dtype)
    other.load_state_dict(after)


def test_resampling():
    """Half of the side with zeros around and with a corner; twice the side as a transposed convolution."""
    x = picture(16)
    for corner in (False, True):
        net = ConvResample(16, "down", corner=corner).requires_grad_(False)
        weight, bias = net.conv.weight.clone(), net.conv.bias
        around = F.pad(x, (0, 1, 0, 1)) if corner else x
        assert torch.equal(net(x), F.conv2d(around, weight, bias, stride=2, padding=0 if corner else 1))
        assert net.conv.weight.is_mkldnn
    up = UpConv(16, 24).requires_grad_(False)
    with torch.no_grad():
        got = up(x)
        with torch.autocast("cpu", torch.bfloat16):
            assert up(x).dtype == torch.bfloat16, "the kept weight is of another type"
        assert torch.equal(up(x), got)
    want = F.conv2d(F.interpolate(x, scale_factor=2.0), up.weight, up.bias, padding=1)
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


def test_training_knows_nothing_of_it():
    """Weights that learn stay as they are; a frozen layer that was drawn with lets gradients through, and
    takes part in autocast.
    """
    learning = Conv(16, 16, 3)
    with torch.no_grad():
        learning(picture(16))
    assert not learning.weight.is_mkldnn
    frozen = Conv(16, 16, 3).requires_grad_(False)
    weight = frozen.weight.clone()
    frozen(picture(16))
    assert frozen.weight.is_mkldnn
    x = picture(16).requires_grad_()
    frozen(x).sum().backward()
    want = picture(16).requires_grad_()
    F.conv2d(want, weight, frozen.bias, padding=1).sum().backward()
    assert x.grad is not None and want.grad is not None
    torch.testing.assert_close(x.grad, want.grad)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert frozen(picture(16)).dtype == torch.bfloat16
    assert isinstance(nn.Sequential(frozen).state_dict()["0.weight"], Tensor)


def test_small_layers_stay_plain(monkeypatch: pytest.MonkeyPatch):
    """Packing them gains nothing."""
    monkeypatch.setattr(packed, "WIDE", 2**20)
    layer = Conv(16, 16, 3).requires_grad_(False)
    layer(picture(16))
    assert not layer.weight.is_mkldnn
