"""The KL autoencoder: Stable Diffusion's size to the last parameter, its law, what its cells see."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from armchair.nn.autoencoder import Autoencoder, AutoencoderConfig, Moments
from armchair.nn.resnet import ConvResample

TINY = AutoencoderConfig(image_size=16, widths=(8, 16), depth=1, channels=3, patch=2, groups=4)


def woken(config: AutoencoderConfig) -> Autoencoder:
    """Without the zeros of its initial weights, which would hide what reaches the output."""
    torch.manual_seed(0)
    net = Autoencoder(config)
    for p in net.parameters():
        if not p.any():
            torch.nn.init.normal_(p, std=0.1)
    return net.eval()


def test_size_of_stable_diffusions():
    """SPEC 5.3: widths 128, 256, 512, 512, two blocks, 4 channels: 83,653,863 parameters, a stride of 8."""
    with torch.device("meta"):
        net = Autoencoder(AutoencoderConfig())
    assert sum(p.numel() for p in net.parameters()) == 83_653_863
    assert (net.config.stride, net.config.grid) == (8, 32)


@pytest.mark.parametrize("patch", [1, 2])
def test_shapes(patch: int):
    """Any height and width that the stride divides, and back to the same."""
    config = replace(TINY, patch=patch)
    x = torch.randn(2, 3, 4 * config.stride, 6 * config.stride)
    moments = woken(config).encode(x)
    assert moments.mean.shape == moments.log_variance.shape == (2, 3, 4, 6)
    assert woken(config).decode(moments.mean).shape == x.shape


def test_everything_learns():
    """A gradient reaches every parameter from a drawn latent's reconstruction."""
    net = woken(TINY)
    moments = net.encode(torch.randn(2, 3, 16, 16))
    net.decode(moments.draw(torch.randn_like(moments.mean))).square().sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_moments():
    """Drawing and the KL are those of the normal law with that mean and variance; the log variance is kept
    where its exponential can be held.
    """
    mean, log_variance = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    law = Normal(mean, (0.5 * log_variance).exp())
    moments, eps = Moments(mean, log_variance), torch.randn(2, 3, 4, 4)
    torch.testing.assert_close((moments.draw(eps) - mean) / law.stddev, eps, rtol=1e-4, atol=1e-5)
    wanted = kl_divergence(law, Normal(torch.zeros(()), torch.ones(()))).sum(dim=(1, 2, 3))
    torch.testing.assert_close(moments.kl(), wanted)
    net = woken(TINY)
    with torch.no_grad():
        net.moments.bias += 1e6  # type: ignore[operator]
    assert net.encode(torch.randn(1, 3, 16, 16)).log_variance.max() == 20


def test_halving_pads_right_and_below():
    """Stable Diffusion's encoder pads there alone: shifted by a pixel, its weights would blur."""
    layer = ConvResample(1, "down", corner=True)
    with torch.no_grad():
        layer.conv.weight.zero_()
        layer.conv.weight[0, 0, 0, 0] = 1
        layer.conv.bias.zero_()  # type: ignore[union-attr]
    x = torch.arange(16.0).view(1, 1, 4, 4)
    assert torch.equal(layer(x)[0, 0], x[0, 0, ::2, ::2])
    plain = ConvResample(1, "down")
    plain.load_state_dict(layer.state_dict())
    assert plain(x)[0, 0].tolist() == [[0, 0], [0, 5]], "the U-Net's pads on all sides"


def test_attention_is_the_configs():
    """Without it a far corner is out of reach; with it every cell sees every other."""
    x = torch.randn(1, 3, 128, 128)
    other = x.clone()
    other[..., -8:, -8:] += 1
    for attention, reaches in ((True, True), (False, False)):
        config = replace(TINY, attention=attention, groups=8)
        net = woken(config)
        for module in net.modules():  # norms would carry it everywhere
            if isinstance(module, torch.nn.GroupNorm):
                module.forward = lambda h: h  # type: ignore[method-assign]
        a, b = net.encode(x).mean, net.encode(other).mean
        assert torch.equal(a[..., 0, 0], b[..., 0, 0]) is not reaches


def test_wrong_sizes_are_refused():
    """Each with its value."""
    with pytest.raises(ValueError, match="width 12 is no multiple of groups 8"):
        AutoencoderConfig(image_size=16, widths=(8, 12), groups=8)
    with pytest.raises(ValueError, match="image_size 20 is no multiple of the stride 8"):
        AutoencoderConfig(image_size=20)
