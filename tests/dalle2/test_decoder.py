"""The decoder network: its size, its two ways in for the embedding, its inpainting channels."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from armchair.dalle2.caption import PAD, CaptionEncoder, caption_tokens
from armchair.dalle2.config import CaptionConfig, DecoderConfig
from armchair.dalle2.decoder import Decoder
from armchair.dalle2.scale import Standardise
from armchair.diffusion.masks import known_part, random_keep
from tests.dalle2.tiny import DECODER_TINY, wake


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def tiny() -> Decoder:
    torch.manual_seed(0)
    net = Decoder(DECODER_TINY)
    wake(net)
    return net.eval()


def test_paper_size():
    """SPEC 3.2: GLIDE's network has 3,554,938,374 parameters. Ours has four more input channels for
    inpainting and what takes in the embedding.
    """
    with torch.device("meta"):
        net = Decoder(DecoderConfig())
    glide = count(net.unet) + count(net.caption) + count(net.caption_to_time) - 4 * 9 * 512
    assert glide == 3_554_938_374
    assert count(net.image_to_time) == 1024 * 2048 + 2048
    assert count(net.image_to_tokens) == 4 * (1024 * 2048 + 2048)
    assert count(net) == 3_554_938_374 + 4 * 9 * 512 + 5 * (1024 * 2048 + 2048) + 1024


def test_the_embedding_enters_twice():
    """Section 2.1: added to the timestep, and as four tokens before the caption's; hidden, a learned vector
    stands in its place and nothing of it is left.
    """
    net, tokens = tiny(), torch.tensor([[1, 2, PAD, PAD, PAD, PAD]])
    z = nn.functional.normalize(torch.randn(2, DECODER_TINY.embed), dim=-1)
    yes, no = torch.tensor([True]), torch.tensor([False])
    one, two = net.conditions(tokens, z[:1], yes), net.conditions(tokens, z[1:], yes)
    assert one["context"].shape == (1, 4 + 6, 16) and one["extra"].shape == (1, 32)
    assert (one["extra"] - two["extra"]).abs().max() > 1e-3
    assert (one["context"][:, :4] - two["context"][:, :4]).abs().max() > 1e-3
    torch.testing.assert_close(one["context"][:, 4:], two["context"][:, 4:])
    hidden, other = net.conditions(tokens, z[:1], no), net.conditions(tokens, z[1:], no)
    for name in ("extra", "context"):
        assert torch.equal(hidden[name], other[name])


def test_inpainting_channels_matter():
    """Known pixels and the mask reach the network; without them it sees zeros."""
    net, x, t = tiny(), torch.randn(1, 3, 16, 16), torch.tensor([50])
    given = net.conditions(torch.full((1, 6), PAD), torch.zeros(1, 99), torch.tensor([False]))
    assert not given["known"].any()
    keep = torch.ones(1, 1, 16, 16, dtype=torch.bool)
    plain, masked = net(x, t, **given), net(x, t, **{**given, "known": known_part(0 * x, keep)})
    assert plain.shape == (1, 6, 16, 16)
    assert (plain - masked).abs().max() > 1e-3
    known = known_part(x, keep.triu())
    assert torch.equal(known[:, :3], x * keep.triu()) and torch.equal(known[:, 3:], keep.triu().float())


def test_captions():
    """Padding has a vector a place, so an empty caption is not nothing; the transformer looks both ways."""
    torch.manual_seed(0)
    net = CaptionEncoder(CaptionConfig(vocab=20, length=5, width=8, depth=1, heads=2))
    tokens = torch.tensor([[1, 2, 3, PAD, PAD], [1, 2, 4, PAD, PAD]])
    first, second = net(tokens)
    assert (first[0] - second[0]).abs().max() > 1e-4, "the first place sees the third"
    assert caption_tokens([5, 6], 4).tolist() == [5, 6, PAD, PAD]
    assert caption_tokens(range(9), 4).tolist() == [0, 1, 2, 3]


def test_scale():
    """Constant: 17.2 at 1,024 numbers (appendix C). Fitted: each number gets mean 0 and deviation 1. Both
    ways lead back.
    """
    z = nn.functional.normalize(torch.randn(50, 1024) + 1, dim=-1)
    scale = Standardise(1024)
    torch.testing.assert_close(scale(z), 17.2 * z, rtol=1e-3, atol=0)
    scale.fit(z)
    torch.testing.assert_close(scale(z).mean(dim=0), torch.zeros(1024), atol=1e-4, rtol=0)
    torch.testing.assert_close(scale(z).std(dim=0), torch.ones(1024), atol=1e-3, rtol=0)
    torch.testing.assert_close(scale.back(scale(z)), z)


def test_masks():
    """Both kinds occur, always something is painted and something stays, and every mask draws as much from
    the generator.
    """
    shares, after = [], set()
    for seed in range(200):
        generator = torch.Generator().manual_seed(seed)
        keep = random_keep(16, 16, generator)
        assert keep.shape == (1, 16, 16) and keep.dtype == torch.bool
        shares.append(keep.float().mean().item())
        twin = torch.Generator().manual_seed(seed)
        torch.rand(14, generator=twin)
        after.add(torch.equal(generator.get_state(), twin.get_state()))
    assert after == {True}
    assert 0 < min(shares) < 0.1 and 0.9 < max(shares) < 1


def test_flow_needs_no_steps():
    """A kind of prediction that this schedule has no place for is refused with a remedy."""
    with pytest.raises(ValueError, match="take eps, v or x0"):
        DecoderConfig(prediction="flow")
    with pytest.raises(ValueError, match="image_size 20 is not a multiple"):
        DecoderConfig(image_size=20)


def test_captions_read_by_clip():
    """States of CLIP's text tower are tokens beside the embedding's, the one of the end joins the timestep,
    and what is no token is not read, whatever stands there.
    """
    torch.manual_seed(0)
    net = Decoder(replace(DECODER_TINY, caption=None, text_width=24))
    wake(net)
    net.eval()
    assert net.caption is None and net.config.context_width == 24
    states, keep = torch.randn(2, 5, 24), torch.tensor([[True] * 3 + [False] * 2, [True] * 5])
    z, shown = torch.zeros(2, DECODER_TINY.embed), torch.tensor([False, False])
    given = net.conditions(states, z, shown, keep=keep)
    assert given["context"].shape == (2, 4 + 5, 24)
    assert given["keep"].tolist() == [[True] * 7 + [False] * 2, [True] * 9]
    torch.testing.assert_close(
        given["extra"] - net.image_to_time(net.no_image),
        net.caption_to_time(torch.stack([states[0, 2], states[1, 4]])),
    )
    x, t = torch.randn(2, 3, 16, 16), torch.tensor([50, 50])
    whole = net(x, t, **given)
    cut = net.conditions(states[:1, :3], z[:1], shown[:1], keep=keep[:1, :3])
    torch.testing.assert_close(whole[:1], net(x[:1], t[:1], **cut))
    assert (whole[1:] - net(x[1:], t[1:], **net.conditions(states[1:] + 1, z[1:], shown[1:], keep=keep[1:])))[
        0
    ].abs().max() > 1e-3
