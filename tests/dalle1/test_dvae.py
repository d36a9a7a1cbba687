"""The image tokenizer is the released one: its shapes, its function and its likelihood, each against another
way to get at the same.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from torch import Tensor
from torch.nn import functional as F

from armchair.dalle1.config import DVAEConfig
from armchair.dalle1.dvae import (
    DVAE,
    Relaxed,
    kl_from_uniform,
    logit_laplace_nll,
    map_pixels,
    relax,
    unmap_pixels,
)

SMALL = DVAEConfig(image_size=32, width=8, groups=4, blocks=2, vocab=24, code_width=12)


@pytest.fixture
def net() -> DVAE:
    torch.manual_seed(0)
    return DVAE(SMALL)


def released_shapes() -> dict[str, tuple[int, ...]]:
    """The released weights' names and shapes (openai/DALL-E), with w and b as weight and bias."""
    shapes: dict[str, tuple[int, ...]] = {}

    def conv(name: str, out: int, into: int, kernel: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (out, into, kernel, kernel), (out,)

    for part, first, widths, kernels in (
        ("encoder", (256, 3, 7), (256, 512, 1024, 2048), (3, 3, 3, 1)),
        ("decoder", (128, 8192, 1), (2048, 1024, 512, 256), (1, 3, 3, 3)),
    ):
        conv(f"{part}.blocks.input", *first)
        into = first[0]
        for group, out in enumerate(widths, start=1):
            for block in (1, 2):
                name = f"{part}.blocks.group_{group}.block_{block}"
                if into != out:
                    conv(f"{name}.id_path", out, into, 1)
                channels = (into, out // 4, out // 4, out // 4, out)
                for i, kernel in enumerate(kernels, start=1):
                    conv(f"{name}.res_path.conv_{i}", channels[i], channels[i - 1], kernel)
                into = out
    conv("encoder.blocks.output.conv", 8192, 2048, 1)
    conv("decoder.blocks.output.conv", 6, 256, 1)
    return shapes


def test_shapes_are_the_released_ones():
    """97,616,006 parameters under the released names: OpenAI's weights must fit without a thought."""
    with torch.device("meta"):
        net = DVAE(DVAEConfig())
    assert {name: tuple(value.shape) for name, value in net.state_dict().items()} == released_shapes()
    parts = [sum(p.numel() for p in part.parameters()) for part in (net.encoder, net.decoder)]
    assert parts == [53_786_240, 43_829_766]
    assert sum(p.numel() for p in net.parameters()) == 97_616_006


def plain(net: DVAE, part: str, x: Tensor) -> Tensor:
    """Encoder or decoder as the paper draws it, one operation after another, from the weights alone."""
    weights, c = net.state_dict(), net.config

    def conv(name: str, x: Tensor) -> Tensor:
        weight = weights[f"{part}.blocks.{name}.weight"]
        return F.conv2d(x, weight, weights[f"{part}.blocks.{name}.bias"], padding=weight.shape[-1] // 2)

    h = conv("input", x)
    for group in range(1, c.groups + 1):
        for block in range(1, c.blocks + 1):
            name = f"group_{group}.block_{block}"
            res = h
            for i in range(1, 5):
                res = conv(f"{name}.res_path.conv_{i}", F.relu(res))
            same = f"{part}.blocks.{name}.id_path.weight" not in weights
            h = (h if same else conv(f"{name}.id_path", h)) + res / (c.groups * c.blocks) ** 2
        if group < c.groups:
            h = F.max_pool2d(h, 2) if part == "encoder" else h.repeat_interleave(2, 2).repeat_interleave(2, 3)
    return conv("output.conv", F.relu(h))


def test_encoder_is_the_papers(net: DVAE):
    """The network computes what the paper draws, in whatever layout it holds its arrays."""
    x = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(net.encoder(x), plain(net, "encoder", x))


def test_decoder_is_the_papers(net: DVAE):
    """Ours does the pointwise part of a growing block before the growing: values and gradients stay."""
    z = torch.randn(2, 24, 4, 4).softmax(1)
    ours, theirs = torch.cat(net.decoder(z), dim=1), plain(net, "decoder", z)
    assert ours.shape == (2, 6, 32, 32)
    torch.testing.assert_close(ours, theirs)
    weight = net.decoder.get_parameter("blocks.group_3.block_1.id_path.weight")
    (grad,) = torch.autograd.grad(ours.square().sum(), weight)
    assert grad.abs().sum() > 0
    step = 1e-2 * grad / grad.norm()
    with torch.no_grad():
        sums = []
        for sign in (1, -1):
            weight.add_(sign * step)
            sums.append(plain(net, "decoder", z).double().square().sum().item())
            weight.sub_(sign * step)
    assert (sums[0] - sums[1]) / 2e-2 == pytest.approx(grad.norm().item(), rel=1e-2)


def test_lookup_is_the_one_hot(net: DVAE):
    """Drawing skips the one-hot input; it must not change a picture."""
    codes = torch.randint(24, (2, 4, 4))
    one_hot = F.one_hot(codes, 24).movedim(-1, 1).float()
    torch.testing.assert_close(net.decoder.lookup(codes), net.decoder(one_hot))


def test_encode_and_decode(net: DVAE):
    """Codes are the likeliest ones of the squeezed picture; a decoded picture is in [0, 1] at its size."""
    image = torch.rand(2, 3, 32, 32)
    codes = net.encode(image)
    assert codes.shape == (2, 4, 4) and codes.dtype == torch.int64
    assert torch.equal(codes, plain(net, "encoder", 0.8 * image + 0.1).argmax(1))
    mu = net.decoder.lookup(codes)[0]
    torch.testing.assert_close(net.decode(codes), ((mu.sigmoid() - 0.1) / 0.8).clamp(0, 1))
    assert not net.decode(codes).requires_grad


def test_layout_of_the_input_does_not_matter(net: DVAE):
    """A picture may come with its channels first or last in memory."""
    image = torch.rand(2, 3, 32, 32)
    last = image.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(net.encoder(last), net.encoder(image), rtol=0, atol=0)


def test_initial_weights(net: DVAE):
    """Normal with variance 1 / fan in, biases 0: with another start the small post-gain loses its point."""
    for name, value in net.named_parameters():
        if name.endswith("bias"):
            assert not value.any(), name
        else:
            fan_in = value[0].numel()
            assert value.std().item() == pytest.approx(fan_in**-0.5, rel=5 / value.numel() ** 0.5), name


def test_codebook_layers_stay_in_float32(net: DVAE):
    """Under autocast the logits and the codebook's lookup keep full precision (appendix A)."""
    seen: dict[str, torch.dtype] = {}
    for name in ("encoder.blocks.output.conv", "decoder.blocks.input", "encoder.blocks.input"):
        net.get_submodule(name).register_forward_hook(
            lambda _module, _inputs, output, name=name: seen.update({name: output.dtype})
        )
    with torch.autocast("cpu", torch.bfloat16):
        logits = net.encoder(torch.rand(1, 3, 32, 32))
        mu, log_scale = net.decoder(logits.softmax(1))
    assert seen == {
        "encoder.blocks.input": torch.bfloat16,
        "encoder.blocks.output.conv": torch.float32,
        "decoder.blocks.input": torch.float32,
    }
    assert logits.dtype == mu.dtype == log_scale.dtype == torch.float32


def test_pixels_map_there_and_back():
    """Equation 3: the ends go to 0.1 and 0.9, the inverse is exact inside and clamps outside."""
    x = torch.linspace(0, 1, 101)
    assert map_pixels(x)[[0, -1]].tolist() == pytest.approx([0.1, 0.9])
    torch.testing.assert_close(unmap_pixels(map_pixels(x)), x)
    assert unmap_pixels(torch.tensor([0.0, 0.05, 0.95, 1.0])).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(("mu", "scale"), [(0.0, 1.0), (1.5, 0.3), (-2.0, 0.6)])
def test_likelihood_is_a_density(mu: float, scale: float):
    """It integrates to 1 over (0, 1): a forgotten Jacobian would not (equation 2)."""

    def density(x: float) -> float:
        args = (torch.tensor(v, dtype=torch.float64) for v in (x, mu, math.log(scale)))
        return math.exp(-logit_laplace_nll(*args).item())

    peak = 1 / (1 + math.exp(-mu))
    assert scipy.integrate.quad(density, 0, 1, points=[peak])[0] == pytest.approx(1, abs=1e-6)


def test_likelihood_in_closed_form():
    """Against scipy's Laplace law of the logit, the change of variables by hand; negative where sharp."""
    rng = np.random.default_rng(0)
    x, mu, log_scale = rng.uniform(0.1, 0.9, 50), rng.normal(size=50), rng.normal(size=50)
    ours = logit_laplace_nll(*(torch.from_numpy(v) for v in (x, mu, log_scale)))
    theirs = scipy.stats.laplace.logpdf(np.log(x / (1 - x)), mu, np.exp(log_scale)) - np.log(x * (1 - x))
    np.testing.assert_allclose(ours.numpy(), -theirs, rtol=1e-9)
    half = torch.tensor(0.5)
    assert logit_laplace_nll(half, torch.tensor(0.0), torch.tensor(-6.0)) < 0


def test_kl_limits():
    """0 for the uniform posterior, ln K for a certain one, scipy's relative entropy between."""
    logits = torch.randn(2, 16, 3, 3)
    assert kl_from_uniform(torch.zeros(1, 16, 1, 1)).item() == pytest.approx(0, abs=1e-6)
    certain = torch.zeros(1, 16, 1, 1)
    certain[0, 5] = 100
    assert kl_from_uniform(certain).item() == pytest.approx(math.log(16))
    theirs = scipy.stats.entropy(logits.softmax(1).numpy(), np.full(logits.shape, 1 / 16), axis=1)
    np.testing.assert_allclose(kl_from_uniform(logits).numpy(), theirs, rtol=1e-5)


def test_relaxed_codes_statistics():
    """Its largest entry is drawn from softmax(logits) whatever the temperature (the Gumbel-max trick); cold
    it is one-hot, hot it is flat.
    """
    logits = torch.tensor([0.0, 1.0, 2.0, -1.0])[None, :, None, None].expand(1, 4, 100, 100)
    noise = torch.rand(logits.shape, generator=torch.Generator().manual_seed(0))
    cold, warm, hot = (relax(logits, noise, t)[0] for t in (1e-3, 0.5, 1e3))
    torch.testing.assert_close(cold.sum(1), torch.ones(1, 100, 100))
    assert torch.equal(cold.argmax(1), warm.argmax(1))
    drawn = torch.bincount(warm.argmax(1).flatten(), minlength=4) / 10_000
    torch.testing.assert_close(drawn, logits[0, :, 0, 0].softmax(0), rtol=0, atol=0.02)
    assert (cold.amax(1) > 0.99).float().mean() > 0.99
    torch.testing.assert_close(hot, torch.full_like(hot, 0.25), rtol=0, atol=0.02)


def test_relaxed_codes_and_their_gradients_equal_the_formula():
    """It is written for memory, in pieces and with its own backward pass: here is what it must be."""
    torch.manual_seed(0)
    B, K, h, w = 2, 7, 5, 4  # 40 cells: not a multiple of the piece
    assert B * h * w % Relaxed.CELLS != 0
    uniform = torch.rand(B, K, h, w)
    ours, plain = (torch.randn(B, K, h, w, generator=torch.Generator().manual_seed(1)) for _ in range(2))
    weight, amount = torch.randn(B, K, h, w), torch.randn(B, h, w)
    ours.requires_grad_()
    plain.requires_grad_()

    z, kl = relax(ours, uniform, 0.7)
    ((z * weight).sum() + (kl * amount).sum()).backward()
    gumbel = -torch.log(-torch.log(uniform))
    expected = torch.softmax((plain + gumbel) / 0.7, dim=1)
    ((expected * weight).sum() + (kl_from_uniform(plain) * amount).sum()).backward()
    torch.testing.assert_close(z, expected)
    torch.testing.assert_close(kl, kl_from_uniform(plain))
    assert ours.grad is not None
    assert plain.grad is not None
    torch.testing.assert_close(ours.grad, plain.grad)


def test_relaxed_codes_at_the_ends_of_the_noise():
    """A uniform number of exactly 0 occurs in every large batch: no NaN, forward or backward."""
    logits = torch.randn(1, 4, 1, 2, requires_grad=True)
    noise = torch.tensor([[0.0, 0.3, 1 - 2**-24, 0.5], [0.2, 0.0, 0.4, 0.6]]).T[None, :, None, :]
    z, _ = relax(logits, noise, 1 / 16)
    assert z[0, 0, 0, 0] == 0 and z[0, 1, 0, 1] == 0
    (z * torch.randn(z.shape)).sum().backward()
    assert z.isfinite().all() and logits.grad is not None and logits.grad.isfinite().all()
