"""Latent diffusion's attention and U-Net: Stable Diffusion's size, what reads what, masks in bf16."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from armchair.nn.attention import attend
from armchair.nn.cross import CrossBlock, CrossTransformer
from armchair.nn.embeddings import TimeEmbedding
from armchair.nn.resnet import ResBlock
from armchair.nn.unet import LevelSpec, UNet, UNetConfig

LATENT = UNetConfig(
    channels_in=4,
    channels_out=4,
    levels=(
        *(LevelSpec(width=width, depth=2, attention="cross") for width in (320, 640, 1280)),
        LevelSpec(width=1280, depth=2),
    ),
    middle_attention="cross",
    time_width=320,
    context_width=768,
    heads=8,
    modulation="add",
    resample="conv",
)
TINY = replace(
    LATENT,
    levels=(LevelSpec(width=8, depth=1, attention="cross"), LevelSpec(width=16, depth=1)),
    time_width=4,
    context_width=10,
    heads=2,
    groups=4,
)


def woken(net: torch.nn.Module) -> torch.nn.Module:
    """Without the zeros of its initial weights, which would hide what reaches the output."""
    torch.manual_seed(0)
    for p in net.parameters():
        if not p.any():
            torch.nn.init.normal_(p, std=0.1)
    return net.eval()


def test_size_of_stable_diffusions():
    """SPEC 7.5: widths 320, 640, 1280, 1280, two layers, eight heads, context 768: 859,520,964 parameters."""
    with torch.device("meta"):
        net = UNet(LATENT)
    assert sum(p.numel() for p in net.parameters()) == 859_520_964
    assert [LATENT.head_width_at(width) for width in (320, 1280)] == [40, 160]


@pytest.mark.parametrize("modulation", ["add", "film"])
def test_everything_learns(modulation):
    """A gradient reaches every parameter, also where the timestep scales and shifts."""
    net = woken(UNet(replace(TINY, modulation=modulation)))
    out = net(torch.randn(2, 4, 4, 8), torch.tensor([3, 9]), context=torch.randn(2, 5, 10))
    assert out.shape == (2, 4, 4, 8)
    out.square().sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_hidden_tokens_are_not_read():
    """What `keep` hides may hold anything; what it shows counts."""
    net, x, t = woken(UNet(TINY)), torch.randn(1, 4, 4, 4), torch.tensor([7])
    context, keep = torch.randn(1, 5, 10), torch.tensor([[True, True, True, False, False]])
    found = net(x, t, context=context, keep=keep)
    hidden, shown = context.clone(), context.clone()
    hidden[:, 3:], shown[:, 2] = 9.0, 9.0
    torch.testing.assert_close(net(x, t, context=hidden, keep=keep), found)
    torch.testing.assert_close(net(x, t, context=context[:, :3]), found)
    assert not torch.allclose(net(x, t, context=shown, keep=keep), found)


def test_block_by_hand():
    """The transformer written out: the picture, then the tokens, then value times GELU of gate."""
    net = woken(CrossTransformer(8, 4, 10, groups=4))
    assert isinstance(net, CrossTransformer)
    x, context = torch.randn(2, 8, 2, 3), torch.randn(2, 5, 10)
    block = net.blocks[0]
    assert isinstance(block, CrossBlock)
    h = net.into(net.norm(x).permute(0, 2, 3, 1).flatten(1, 2))
    n = block.own_norm(h)
    h = h + block.own(n, block.own.read(n))
    h = h + block.context(block.context_norm(h), block.context.read(context))
    value, gate = block.up(block.mlp_norm(h)).chunk(2, dim=-1)
    h = h + block.down(value * F.gelu(gate))
    wanted = x + net.out(h).transpose(1, 2).view(2, 8, 2, 3)
    torch.testing.assert_close(net(x, net.read(context)), wanted)
    layer = block.context
    q, (k, v) = layer.q(n), layer.kv(context).chunk(2, dim=-1)
    heads = [
        F.scaled_dot_product_attention(q[..., part], k[..., part], v[..., part])
        for part in (slice(0, 4), slice(4, 8))
    ]
    torch.testing.assert_close(layer(n, layer.read(context)), layer.out(torch.cat(heads, dim=-1)))


def test_timestep_is_added():
    """The block of latent diffusion written out; without a timestep it has no weights for one."""
    block = ResBlock(8, 12, 4, groups=4, modulation="add")
    woken(block)
    x, emb = torch.randn(2, 8, 4, 4), torch.randn(2, 4)
    assert block.film is not None
    h = block.conv_in(F.silu(block.norm_in(x))) + block.film(emb)[:, :, None, None]
    h = block.conv_out(F.silu(block.norm_out(h)))
    torch.testing.assert_close(block(x, emb), block.skip(x) + h)
    plain = ResBlock(8, 8, 0, groups=4)
    assert plain.film is None and plain(x).shape == x.shape


def test_learned_timesteps():
    """A row a timestep in place of the sinusoid."""
    net = TimeEmbedding(6, 8, times=5)
    assert net.time_embedding is not None
    wanted = net.down(F.silu(net.up(net.time_embedding.weight[3])))
    torch.testing.assert_close(net(torch.tensor([3]))[0], wanted)


def test_masks_in_bf16():
    """Keys that are hidden get no weight and no gradient, as in SDPA; each row has its own."""
    rng = torch.Generator().manual_seed(1)
    exact = [torch.randn(3, 2, n, 8, generator=rng).requires_grad_() for n in (5, 7, 7)]
    rounded = [x.detach().bfloat16().requires_grad_() for x in exact]
    keep = torch.rand(3, 7, generator=rng) > 0.4
    keep[:, 0] = True
    mask = keep[:, None, None, :]
    wanted = F.scaled_dot_product_attention(*exact, attn_mask=mask)
    found = attend(*rounded, mask=mask)
    torch.testing.assert_close(found.float(), wanted, rtol=0.05, atol=0.03)
    grads = [torch.autograd.grad(o.float().sum(), xs) for o, xs in ((wanted, exact), (found, rounded))]
    for one, two in zip(*grads, strict=True):
        torch.testing.assert_close(two.float(), one, rtol=0.1, atol=0.05)
    assert not grads[1][2][(~keep)[:, None].expand(-1, 2, -1)].any()


def test_wrong_sizes_are_refused():
    """Each with its value."""
    with pytest.raises(ValueError, match="no multiple of heads 5"):
        replace(TINY, heads=5)
    with pytest.raises(ValueError, match="context_width is 0"):
        replace(TINY, context_width=0)
