"""The two towers: what the released code's towers do, by independent means."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from armchair.clip.config import ResNetConfig, TextConfig
from armchair.clip.preprocess import MEAN, STD, normalise
from armchair.clip.resnet import AttentionPool, Bottleneck, ModifiedResNet
from armchair.clip.text import keep_of, tokens_of
from armchair.clip.vit import ViT
from armchair.nn.transformer import Block, QuickGELU
from tests.clip.tiny import RESNET, TINY, network

TOKENS = torch.stack([tokens_of(ids, TINY.text) for ids in ([5, 6, 7], [9] * 30, [], [5, 6, 7, 8])])


def test_the_text_is_read_at_its_end():
    """At the largest id, wherever it stands: what follows it changes nothing, what precedes it everything."""
    net = network()
    text_emb, text_seq = net.encode_text(TOKENS)
    torch.testing.assert_close(text_emb[0], text_seq[0, 4] @ net.text.projection)
    after = TOKENS.clone()
    after[0, 5:] = 77
    torch.testing.assert_close(net.encode_text(after)[0][0], text_emb[0])
    before = TOKENS.clone()
    before[0, 1] = 77
    assert not torch.allclose(net.encode_text(before)[0][0], text_emb[0], atol=1e-3)
    assert not torch.allclose(text_emb[0], text_emb[3], atol=1e-3)


def test_a_place_does_not_see_what_comes():
    """The mask is causal (section 2.4)."""
    net = network()
    changed = TOKENS.clone()
    changed[:, 6:] = 11
    kept = net.encode_text(changed)[1][:, :6], net.encode_text(TOKENS)[1][:, :6]
    torch.testing.assert_close(*kept)


def test_captions_of_like_length_go_together():
    """The fast pooled way, without most zeros, gives the plain one's embeddings, in the captions' order."""
    net = network()
    lengths = torch.randint(0, 12, (13,), generator=torch.Generator().manual_seed(0)).tolist()
    tokens = torch.stack([tokens_of([5 + n] * n, TINY.text) for n in lengths])
    torch.testing.assert_close(net.text.pooled(tokens), net.encode_text(tokens)[0], atol=1e-5, rtol=1e-5)


def test_tokens():
    """Start, ids, end, zeros; a long caption loses its last ids and never its end."""
    assert TOKENS[0].tolist() == [298, 5, 6, 7, 299, 0, 0, 0, 0, 0, 0, 0]
    assert TOKENS[1].tolist() == [298, *[9] * 10, 299]
    assert TOKENS[2].tolist() == [298, 299, *[0] * 10]
    assert keep_of(TOKENS).sum(dim=1).tolist() == [5, 12, 2, 6]
    released = TextConfig()
    assert (released.start, released.end) == (49_406, 49_407)


def test_patches_are_a_strided_convolution():
    """Cut and multiplied, they must be conv1 of the released code, whose weight they hold."""
    vit = network().image
    assert isinstance(vit, ViT)
    x = torch.randn(2, 3, 16, 16)
    cells = vit.patches(x).flatten(2).mT  # (B, N, W)
    first = vit.class_embedding.expand(2, 1, -1)
    wanted = vit.norm_pre(torch.cat([first, cells], dim=1) + vit.position_embedding)
    torch.testing.assert_close(vit.embed(x), wanted, atol=1e-5, rtol=1e-5)


def test_the_class_token_is_read():
    """Last block, norm, projection: the patches' own last states do not count."""
    vit = network().image
    assert isinstance(vit, ViT)
    x = torch.randn(2, 3, 16, 16)
    h = vit.embed(x)
    for block in vit.blocks:
        h = block(h)
    torch.testing.assert_close(vit(x), F.layer_norm(h[:, 0], (64,)) @ vit.projection)


def test_pictures_are_normalised_by_channel():
    """The released means and spreads, channel by channel."""
    x = torch.tensor(MEAN).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    assert normalise(x).abs().max() < 1e-6
    step = normalise(x + torch.tensor(STD).view(1, 3, 1, 1))
    torch.testing.assert_close(step, torch.ones(1, 3, 2, 2))


def test_activation_is_the_configs():
    """The released models have QuickGELU in both towers; others may have GELU."""
    for quick in (True, False):
        kinds = [type(m) for m in network(replace(TINY, quick_gelu=quick)).modules()]
        assert (QuickGELU in kinds, nn.GELU in kinds) == (quick, not quick)


def test_attention_pool_is_torchs():
    """Against torch's own multi-head attention, with the mean as the only query (section 2.4)."""
    torch.manual_seed(0)
    pool = AttentionPool(grid=3, channels=64, heads=4, embed=10)
    nn.init.normal_(pool.position_embedding)
    x = torch.randn(2, 64, 3, 3)
    cells = x.flatten(2).permute(2, 0, 1)  # (N, B, C), as torch wants it
    places = torch.cat([cells.mean(0, keepdim=True), cells]) + pool.position_embedding[:, None]
    wanted, _ = F.multi_head_attention_forward(
        query=places[:1],
        key=places,
        value=places,
        embed_dim_to_check=64,
        num_heads=4,
        in_proj_weight=None,
        in_proj_bias=torch.cat([pool.q.bias, pool.k.bias, pool.v.bias]),
        bias_k=None,
        bias_v=None,
        add_zero_attn=False,
        dropout_p=0.0,
        out_proj_weight=pool.out.weight,
        out_proj_bias=pool.out.bias,
        use_separate_proj_weight=True,
        q_proj_weight=pool.q.weight,
        k_proj_weight=pool.k.weight,
        v_proj_weight=pool.v.weight,
        need_weights=False,
    )
    torch.testing.assert_close(pool(x), wanted[0], atol=1e-5, rtol=1e-5)


def test_strides_average_and_never_skip():
    """Anti-aliased: with 1x1 kernels and no norm, a stride of 2 is the mean of four; a strided convolution
    would take one of them.
    """
    block = Bottleneck(4, 1, stride=2, norm="group")
    for name, _ in list(block.named_children()):
        if name.startswith("norm") or name == "shortcut_norm":
            setattr(block, name, nn.Identity())
    with torch.no_grad():
        block.conv_3.weight.zero_()
        assert block.shortcut is not None
        block.shortcut.weight.copy_(torch.eye(4).view(4, 4, 1, 1))
    x = torch.rand(1, 4, 4, 4)
    torch.testing.assert_close(block(x), F.avg_pool2d(x, 2))


def test_a_block_begins_as_its_shortcut():
    """The gain of each last norm starts at zero (section 2.5), so the branch adds nothing at first."""
    tower = ModifiedResNet(ResNetConfig(layers=(2, 1, 1, 1), width=2), grid=1, embed=4)
    block = tower.get_submodule("stages.0.1")
    x = torch.rand(2, 8, 4, 4)
    torch.testing.assert_close(block(x), x)


@pytest.mark.parametrize("stride, side", [(4, 64), (2, 32)])
def test_the_stem(stride: Literal[2, 4], side: int):
    """The paper's quarters the side; without its pool, for small pictures, it halves it."""
    config = ResNetConfig(layers=(1, 1, 1, 1), width=2, norm="group", stem_stride=stride)
    assert config.stride == 8 * stride
    tower = ModifiedResNet(config, grid=side // config.stride, embed=6)
    assert tower(torch.randn(3, 3, side, side)).shape == (3, 6)


def test_group_norm_knows_no_neighbours():
    """A picture's embedding must not depend on its batch while training either; batch norm's does."""
    image = torch.rand(4, 3, 32, 32)
    grouped = network(RESNET).train()
    torch.testing.assert_close(grouped.encode_image(image)[:1], grouped.encode_image(image[:1]))
    batched = replace(RESNET, image=replace(RESNET.image, norm="batch"))
    net = network(batched).train()
    assert not torch.allclose(net.encode_image(image)[:2], net.encode_image(image[:2]), atol=1e-3)


def test_initial_spreads():
    """Section 2.4's, as the released code has them; a fused qkv must not be drawn as one larger matrix."""
    net = network(replace(TINY, text=TextConfig(vocab=3_000, length=40, width=256, depth=3)))
    text, width, block = net.text, 256, net.text.blocks[0]
    assert isinstance(block, Block) and isinstance(net.image, ViT)
    up, down = (m for m in block.mlp if isinstance(m, nn.Linear))
    wanted = {
        text.token_embedding.weight: 0.02,
        text.position_embedding: 0.01,
        text.projection: width**-0.5,
        block.attention.qkv.weight: width**-0.5,
        block.attention.out.weight: width**-0.5 * 6**-0.5,
        up.weight: (2 * width) ** -0.5,
        down.weight: width**-0.5 * 6**-0.5,
    }
    for p, std in wanted.items():
        assert p.std().item() == pytest.approx(std, rel=0.05)
    assert net.image.class_embedding.std().item() == pytest.approx(64**-0.5, rel=0.3)
    assert net.logit_scale.exp().item() == pytest.approx(1 / 0.07)


def test_the_scale_is_bounded():
    """Logits are never multiplied by more than 100 (section 2.5), whatever the parameter holds."""
    net = network()
    assert net.scale.item() == pytest.approx(1 / 0.07)
    with torch.no_grad():
        net.logit_scale.fill_(9.0)
    assert net.scale.item() == pytest.approx(100) and math.log(100) < 9
