"""The U-Net skeleton: the papers' sizes to the last parameter, what reaches what, and its attention."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from armchair.core.config import from_json, to_json
from armchair.nn.cross import KeyedAttention
from armchair.nn.unet import AttentionKind, LevelSpec, Places, UNet, UNetConfig

TINY = UNetConfig(
    channels_in=3,
    channels_out=6,
    levels=(LevelSpec(width=8, depth=1), LevelSpec(width=16, depth=2, attention="keys")),
    middle_attention="keys",
    time_width=4,
    context_width=10,
    head_width=8,
    groups=4,
)


def woken(config: UNetConfig) -> UNet:
    """Without the zeros of its initial weights, which would hide what reaches the output."""
    torch.manual_seed(0)
    net = UNet(config)
    for p in net.parameters():
        if not p.any():
            torch.nn.init.normal_(p, std=0.1)
    return net.eval()


def adm(width: int, multiples: tuple[int, ...], depth: int, attend_from: int) -> tuple[LevelSpec, ...]:
    return tuple(
        LevelSpec(width=width * m, depth=depth, attention="keys" if i >= attend_from else None)
        for i, m in enumerate(multiples)
    )


@pytest.mark.parametrize(
    ("config", "count"),
    [
        (  # GLIDE's 64-px model without its text transformer (SPEC 3.2)
            UNetConfig(
                channels_out=6,
                levels=adm(512, (1, 2, 3, 4), 3, 1),
                middle_attention="keys",
                context_width=2048,
            ),
            2_238_164_486,
        ),
        (UNetConfig(channels_in=6, time_width=320, levels=adm(320, (1, 2, 3, 4), 3, 9)), 729_702_083),
        (UNetConfig(channels_in=6, time_width=192, levels=adm(192, (1, 1, 2, 2, 4, 4), 2, 9)), 282_059_139),
    ],
    ids=["glide", "64-to-256", "256-to-1024"],
)
def test_parameter_counts(config: UNetConfig, count: int):
    """DALL·E 2's table 3 says 3.5B (with the text), 700M and 300M: SPEC 3.2 and 4.2 count them out."""
    with torch.device("meta"):
        net = UNet(config)
    assert sum(p.numel() for p in net.parameters()) == count


@pytest.mark.parametrize("patch", [1, 2])
def test_shapes(patch: int):
    """Any height and width that the levels divide; folded pixels come back unfolded."""
    config = replace(TINY, patch=patch)
    x, t, context = torch.randn(2, 3, 4 * patch, 6 * patch), torch.tensor([0, 9]), torch.randn(2, 5, 10)
    assert woken(config)(x, t, context=context).shape == (2, 6, 4 * patch, 6 * patch)
    assert config.stride == 2 * patch


def test_starts_at_zero():
    """SPEC 3.7: the last convolution is zero, so the first prediction is the mean."""
    assert not UNet(TINY)(torch.randn(1, 3, 4, 4), torch.tensor([3]), context=torch.randn(1, 5, 10)).any()


@pytest.mark.parametrize("places", [0, 2])
def test_everything_learns_and_everything_matters(places: int):
    """No parameter is left out of the forward pass, and each input moves the output."""
    net = woken(replace(TINY, places=places))
    given = {"extra": torch.randn(2, 16), "context": torch.randn(2, 5, 10)}
    x, t = torch.randn(2, 3, 4, 4), torch.tensor([3, 400])
    out = net(x, t, **given)
    out.square().mean().backward()
    assert [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []
    with torch.no_grad():
        changes = [
            net(x + 1, t, **given),
            net(x, t + 100, **given),
            net(x, t, **{**given, "extra": given["extra"] + 1}),
            net(x, t, **{**given, "context": given["context"] + 1}),
        ]
    assert all((out - changed).abs().max() > 1e-3 for changed in changes)


def test_rows_do_not_mix():
    """Group norm and attention stay within a picture: a batch is its pictures one by one."""
    net = woken(TINY)
    x, t, context = torch.randn(3, 3, 4, 4), torch.tensor([3, 40, 400]), torch.randn(3, 5, 10)
    whole = net(x, t, context=context)
    for i in range(3):
        alone = net(x[i : i + 1], t[i : i + 1], context=context[i : i + 1])
        torch.testing.assert_close(whole[i : i + 1], alone, atol=1e-5, rtol=1e-4)


def test_without_attention_it_runs_at_any_size():
    """An upsampler is trained on quarter crops and used whole: far pixels do not change near ones but by the
    norms' statistics, and there is no attention even in the middle.
    """
    config = replace(TINY, levels=adm(8, (1, 2), 1, 9), middle_attention=None, context_width=0)
    net = woken(config)
    assert not [m for m in net.modules() if isinstance(m, KeyedAttention)]
    assert net(torch.randn(1, 3, 16, 12), torch.tensor([1])).shape == (1, 6, 16, 12)


def test_attention_by_hand():
    """The tokens' keys stand first and one softmax runs over both (SPEC 3.1, 3.7)."""
    torch.manual_seed(0)
    layer = KeyedAttention(8, 4, 6, groups=2)
    torch.nn.init.normal_(layer.out.weight)
    x, context = torch.randn(1, 8, 2, 3), torch.randn(1, 4, 6)
    cells = F.group_norm(x, 2, layer.norm.weight, layer.norm.bias)[0].flatten(1).T  # (6, 8)
    q, k, v = layer.qkv(cells).chunk(3, dim=1)
    assert layer.context_kv is not None
    own_k, own_v = layer.context_kv(context[0]).chunk(2, dim=1)
    k, v = torch.cat([own_k, k]), torch.cat([own_v, v])  # (10, 8)
    heads = [(q[:, h : h + 4] @ k[:, h : h + 4].T / 2).softmax(dim=1) @ v[:, h : h + 4] for h in (0, 4)]
    wanted = x + layer.out(torch.cat(heads, dim=1)).T.view(1, 8, 2, 3)
    torch.testing.assert_close(layer(x, layer.read(context)), wanted)


def test_places():
    """Untrained it changes nothing; then each cell gets a vector of its own, its halfway point the same on
    every grid.
    """
    net = Places(6, 3)
    x = torch.zeros(1, 6, 5, 9)
    assert torch.equal(net(x), x)
    torch.nn.init.normal_(net.projection.weight)
    with torch.no_grad():
        found = net(x)[0].flatten(1).mT
        assert len(torch.unique(found, dim=0)) == 45
        torch.testing.assert_close(net(x)[0, :, 2, 4], net(torch.zeros(1, 6, 3, 3))[0, :, 1, 1])


@pytest.mark.parametrize("qk_norm", [False, True])
def test_what_is_no_token_is_not_read(qk_norm: bool):
    """Karlo masks its padding: a masked token changes nothing, whatever it holds."""
    torch.manual_seed(0)
    layer = KeyedAttention(8, 4, 6, groups=2, qk_norm=qk_norm)
    torch.nn.init.normal_(layer.out.weight)
    x, context = torch.randn(1, 8, 2, 2), torch.randn(1, 4, 6)
    keep = torch.tensor([[True, True, False, False]])
    words = layer.read(context)
    torch.testing.assert_close(layer(x, words, keep), layer(x, layer.read(context[:, :2])))
    assert (layer(x, words) - layer(x, words, keep)).abs().max() > 1e-3


@pytest.mark.parametrize("kind", ["keys", "cross"])
def test_tokens_are_read_once(kind: AttentionKind):
    """Keys and values of the tokens hold for every step of a drawing: the same as if each step read them."""
    levels = tuple(replace(level, attention=kind) for level in TINY.levels)
    net = woken(replace(TINY, levels=levels, middle_attention=kind, qk_norm=True))
    assert isinstance(net, UNet)
    context, keep = torch.randn(2, 5, TINY.context_width), torch.arange(5) < torch.tensor([[3], [5]])
    words = net.read(context)
    for t in (3, 9):
        x, at = torch.randn(2, 3, 8, 8), torch.tensor([t, t])
        assert torch.equal(net(x, at, words=words, keep=keep), net(x, at, context=context, keep=keep))


@pytest.mark.parametrize("levels", [(True, True), (False, True), (False, False)])
@pytest.mark.parametrize("kind", ["keys", "cross"])
def test_pictures_are_repeated_where_words_come_in(kind: AttentionKind, levels: tuple[bool, bool]):
    """One picture for two captions is the picture twice; what lies before the first words runs once."""
    attended = (replace(x, attention=kind if y else None) for x, y in zip(TINY.levels, levels, strict=True))
    net = woken(replace(TINY, levels=tuple(attended), middle_attention=kind))
    context, keep = (
        torch.randn(4, 5, TINY.context_width),
        torch.arange(5) < torch.tensor([[3], [5], [1], [4]]),
    )
    x, t = torch.randn(2, 3, 8, 8), torch.tensor([3, 9])
    rows: list[int] = []
    for layer in (net.stem, net.out):
        layer.register_forward_hook(lambda module, inputs, output: rows.append(len(output)))
    with torch.no_grad():
        twice = net(torch.cat([x, x]), torch.cat([t, t]), context=context, keep=keep)
        once = net(x, t, context=context, keep=keep)
    torch.testing.assert_close(once, twice, rtol=1e-4, atol=1e-5)
    assert rows == [4, 4, 2, 4]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"levels": ()}, "levels is empty"),
        ({"levels": (LevelSpec(width=10, depth=1),)}, "width 10, no multiple of groups 4"),
        ({"levels": (LevelSpec(width=8, depth=0),)}, "depth 0"),
        ({"head_width": 5}, "no multiple of head_width 5"),
        ({"time_width": 5}, "time_width 5 is odd"),
    ],
)
def test_sizes_that_do_not_fit(changes: dict, words: str):
    """Said with the numbers, before a network is built."""
    with pytest.raises(ValueError, match=words):
        replace(TINY, **changes)


def test_config_survives_json():
    """It travels in bundles and in --set."""
    assert from_json(UNetConfig, to_json(TINY)) == TINY
