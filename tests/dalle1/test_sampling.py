"""Drawing codes: the cache against the whole network, one seed in any company, guidance at every step."""

import itertools
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from armchair.core.errors import BadInput
from armchair.core.packing import pack, unpack
from armchair.core.rng import SeedBatch
from armchair.dalle1.config import TransformerConfig
from armchair.dalle1.sampling import Decoder, choose, guided, sample
from armchair.dalle1.transformer import PAD, Dalle1Transformer
from armchair.nn.decode import PackedLinear

TINY = TransformerConfig(
    text_vocab=50, image_vocab=40, text_length=6, grid=4, width=32, depth=4, heads=2, conv_kernel=3
)
LAYOUTS = ["start_of_image", "bos"]


def network(config: TransformerConfig = TINY) -> Dalle1Transformer:
    """Weights from a fixed seed, large enough that logits depend on every place that is read."""
    torch.manual_seed(0)
    net = Dalle1Transformer(config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(torch.randn(p.shape, generator=generator), alpha=0.2)
    return net.eval()


def caption(net: Dalle1Transformer) -> Tensor:
    tokens = torch.arange(3, net.text_places + 2)
    tokens[3:] = PAD
    return tokens


def last(steps) -> Tensor:
    *_, step = steps
    return step.x


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("qk_norm", [False, True])
@pytest.mark.parametrize("patterns", [None, ("full",) * 4, ("conv",) * 4])
def test_cached_logits_are_the_networks(layout, qk_norm, patterns):
    """Cell by cell, for both texts of a guided drawing of three images, from nothing and from kept codes,
    against the training network run over the whole stream.
    """
    net = network(replace(TINY, layout=layout, qk_norm=qk_norm, patterns=patterns))
    decoder = Decoder(net)
    texts = torch.stack([caption(net), torch.full_like(caption(net), PAD)])
    codes = torch.randint(40, (3, 16), generator=torch.Generator().manual_seed(0))
    for kept in (0, 4, 12):
        codes[:, :kept] = codes[0, :kept]
        with torch.no_grad():
            expected = torch.stack([net(text.expand(3, -1), codes)[1] for text in texts])  # (2, 3, N, K)
        drawing = decoder.begin(texts, codes[0, :kept], 3)
        for cell in range(kept, 16):
            logits = drawing.next(codes[:, cell - 1] if cell > 0 else None)
            torch.testing.assert_close(logits, expected[:, :, cell], rtol=0, atol=1e-4)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_greedy_drawing_is_the_slow_way_round(layout):
    """Temperature 0 against argmax of the whole network, run again for every cell."""
    net = network(replace(TINY, layout=layout))
    tokens = caption(net)
    codes = torch.zeros(1, 16, dtype=torch.int64)
    with torch.no_grad():
        for cell in range(16):
            codes[0, cell] = net(tokens.unsqueeze(0), codes)[1][0, cell].argmax()
    drawn = last(sample(Decoder(net), tokens, SeedBatch([1]), temperature=0.0))
    assert torch.equal(drawn.flatten(1), codes)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_a_seed_draws_the_same_codes_in_any_company(guidance):
    """DESIGN section 4: alone or in a batch of 2, 3 or 8, at any place in it. Flat distributions over many
    codes, so that differing last bits would show.
    """
    config = TransformerConfig(
        text_vocab=50, image_vocab=500, text_length=9, grid=6, width=64, depth=4, heads=2, conv_kernel=5
    )
    net = network(config)
    decoder = Decoder(net)
    settings = {"guidance": guidance, "temperature": 3.0, "top_p": 0.99}
    alone = {s: last(sample(decoder, caption(net), SeedBatch([s]), **settings))[0] for s in (5, 7)}
    assert not torch.equal(alone[5], alone[7])
    for seeds in ([5, 7], [2, 7, 5], [1, 2, 3, 7, 4, 6, 8, 5], [*range(10, 19), 5, 7]):
        together = last(sample(decoder, caption(net), SeedBatch(seeds), **settings))
        for seed in (5, 7):
            assert torch.equal(together[seeds.index(seed)], alone[seed])


@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("storage", ["float32", "int8"])
def test_logits_have_the_same_bits_in_any_company(guided, storage):
    """What the test above rests on, where no sampling hides a difference: exact equality of every logit at
    widths as shipped, for weights in full precision and as a bundle keeps them.
    """
    config = TransformerConfig(
        text_vocab=50, image_vocab=300, text_length=24, grid=5, width=128, depth=2, heads=2, conv_kernel=3
    )
    net = network(replace(config, patterns=("row", "column")))
    net.load_state_dict(unpack(pack(net.state_dict(), storage)))
    decoder = Decoder(net)
    texts = torch.stack([caption(net), torch.full_like(caption(net), PAD)][: 1 + guided])
    codes = torch.randint(300, (1, 25), generator=torch.Generator().manual_seed(0)).expand(13, -1).clone()
    codes[1:] = torch.randint(300, (12, 25), generator=torch.Generator().manual_seed(1))
    nothing = codes[0, :0]
    drawings = {images: decoder.begin(texts, nothing, images) for images in (1, 2, 3, 8, 13)}
    for cell in range(25):
        logits = {
            images: drawing.next(codes[:images, cell - 1] if cell > 0 else None)
            for images, drawing in drawings.items()
        }
        for images in (2, 3, 8, 13):
            assert torch.equal(logits[images][:, 0], logits[1][:, 0])


def test_it_holds_where_kernels_depend_on_the_height(monkeypatch):
    """On a machine whose tall products have other bits, rows go four at a time, and the codes stay."""
    net = network()
    expected = last(sample(Decoder(net), caption(net), SeedBatch(range(9)), guidance=2.0))
    monkeypatch.setattr("armchair.nn.decode.rows_agree", lambda *_: False)
    decoder = Decoder(net)
    assert not decoder.head.steady
    assert torch.equal(last(sample(decoder, caption(net), SeedBatch(range(9)), guidance=2.0)), expected)


def test_guidance_pushes_at_every_step():
    """In dalle-pytorch 1.6.6 the unconditional pass equals the conditional one from the second code on. Here
    the caption and no caption must differ at every cell, and the guided logits be the formula's.
    """
    net = network()
    texts = torch.stack([caption(net), torch.full_like(caption(net), PAD)])
    drawing = Decoder(net).begin(texts, torch.empty(0, dtype=torch.int64), 2)
    code = None
    for _ in range(16):
        logits = drawing.next(code)
        cond, uncond = logits.clone()
        assert ((cond - uncond).abs().amax(dim=-1) > 0.01).all()
        torch.testing.assert_close(guided(logits, 3.0), uncond + 3 * (cond - uncond))
        assert torch.equal(logits, torch.stack([cond, uncond]))
        code = cond.argmax(dim=-1)


def test_guidance_changes_the_picture_and_no_input():
    """The other half of that bug: its guidance wrote zeros into the caller's caption."""
    net = network()
    tokens, start = caption(net), torch.arange(4).view(1, 4)
    weights = {name: value.clone() for name, value in net.state_dict().items()}
    kept = tokens.clone(), start.clone()
    decoder = Decoder(net)
    plain = last(sample(decoder, tokens, SeedBatch([3]), start=start))
    pushed = last(sample(decoder, tokens, SeedBatch([3]), start=start, guidance=4.0))
    assert not torch.equal(plain, pushed)
    assert torch.equal(tokens, kept[0]) and torch.equal(start, kept[1])
    assert all(torch.equal(value, weights[name]) for name, value in net.state_dict().items())


def test_guidance_of_one_costs_one_row(monkeypatch):
    """Scale 1 is the plain network: four images are four rows, and eight only under guidance."""
    net = network()
    decoder = Decoder(net)
    heights = set()
    call = PackedLinear.__call__
    monkeypatch.setattr(PackedLinear, "__call__", lambda self, x: heights.add(len(x)) or call(self, x))
    last(sample(decoder, caption(net), SeedBatch(range(4))))
    assert heights == {4}
    last(sample(decoder, caption(net), SeedBatch(range(4)), guidance=1.5))
    assert heights == {4, 8}


def test_the_text_is_read_once_for_all_images():
    """Its keys are stored once a text, whatever the number of images."""
    net = network()
    one, many = (
        Decoder(net).begin(caption(net).unsqueeze(0), torch.empty(0, dtype=torch.int64), n) for n in (1, 9)
    )
    for a, b in zip(one.caches, many.caches, strict=True):
        assert a.prefix_k.shape == b.prefix_k.shape == (1, 2, 6, 16)
        assert torch.equal(a.prefix_k, b.prefix_k)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rows", [0, 1, 3])
def test_rows_fill_from_the_top_and_kept_ones_stay(layout, rows):
    """A step a row; what is drawn never changes again, what is not is -1, what was given is kept."""
    net = network(replace(TINY, layout=layout))
    start = torch.arange(4 * rows).view(rows, 4) if rows else None
    steps = list(sample(Decoder(net), caption(net), SeedBatch([1, 2]), start=start))
    assert [(step.index, step.total) for step in steps] == [(i, 4 - rows) for i in range(4 - rows)]
    for i, step in enumerate(steps):
        drawn = rows + i + 1
        assert step.x.shape == (2, 4, 4) and step.x.dtype == torch.int64
        assert (step.x[:, drawn:] == -1).all()
        assert torch.equal(step.x[:, :drawn], steps[-1].x[:, :drawn])
    if start is not None:
        assert torch.equal(steps[-1].x[:, :rows], start.expand(2, -1, -1))
    assert ((steps[-1].x >= 0) & (steps[-1].x < 40)).all()


def test_bf16_strays_no_further_than_autocast():
    """The precision that is offered for speed: products in bf16, the rest in fp32. Its logits may not be half
    again as far from fp32's as those of training under autocast.
    """
    net = network()
    tokens, codes = caption(net).unsqueeze(0), torch.arange(16).unsqueeze(0)
    with torch.no_grad():
        truth = net(tokens, codes)[1]
        with torch.autocast("cpu", torch.bfloat16):
            theirs = net(tokens, codes)[1]
    drawing = Decoder(network().to(torch.bfloat16)).begin(tokens, codes[0, :4], 1)
    ours = torch.stack([drawing.next(codes[:, cell - 1])[0] for cell in range(4, 16)], dim=1)
    assert ours.dtype == torch.float32
    assert (ours - truth[:, 4:]).norm() < 1.5 * (theirs - truth)[:, 4:].norm()


def test_codes_come_by_the_inverse_of_the_distribution():
    """With noise in even steps, each code comes as often as its probability says, to within one step."""
    logits = torch.tensor([0.3, -1.0, 2.0, 0.0, -3.0])
    noise = torch.arange(1000) / 1000
    for temperature in (1.0, 0.5):
        chosen = choose(logits.expand(1000, -1), noise, temperature, None, None)
        share = torch.bincount(chosen, minlength=5) / 1000
        assert (share - (logits / temperature).softmax(0)).abs().max() <= 1.01e-3


def test_top_k_and_top_p_leave_only_the_likeliest():
    """Of the k likeliest; of the fewest that hold share p, of which there is always one; at both ends of
    noise.
    """
    logits = torch.tensor([[0.1, 3.0, 2.9, 1.0, -2.0]])  # softmax: 0.026, 0.48, 0.43, 0.065, 0.003
    noise = torch.tensor([0.0, 0.3, 0.6, 0.9, 1 - 2**-24])
    for (top_k, top_p), allowed in {
        (1, None): {1},
        (2, None): {1, 2},
        (9, None): {0, 1, 2, 3, 4},
        (None, 0.4): {1},
        (None, 0.5): {1, 2},
        (None, 0.92): {1, 2, 3},
        (3, 0.5): {1, 2},
        (None, 1.0): {0, 1, 2, 3, 4},
    }.items():
        chosen = choose(logits.expand(5, -1), noise, 1.0, top_k, top_p).tolist()
        assert set(chosen) <= allowed
        assert chosen[0] == min(allowed) and chosen[-1] == max(allowed)


def test_one_seed_goes_on_by_its_own_numbers():
    """Noise belongs to a cell: keeping the rows that a seed drew itself leads to the picture that it drew."""
    net = network()
    whole = last(sample(Decoder(net), caption(net), SeedBatch([11])))
    for rows in (1, 2, 3):
        again = last(sample(Decoder(net), caption(net), SeedBatch([11]), start=whole[0, :rows]))
        assert torch.equal(again, whole)


@pytest.mark.parametrize(
    "settings,words",
    [
        ({"guidance": float("nan")}, "guidance nan"),
        ({"temperature": -0.5}, "temperature -0.5"),
        ({"temperature": float("inf")}, "temperature inf"),
        ({"top_k": 0}, "top_k 0"),
        ({"top_p": 0.0}, "top_p 0.0"),
        ({"top_p": 1.5}, "top_p 1.5"),
    ],
)
def test_settings_out_of_range_are_refused(settings, words):
    """Before anything is drawn, in words that name the value."""
    net = network()
    with pytest.raises(BadInput, match=words):
        next(sample(Decoder(net), caption(net), SeedBatch([1]), **settings))


def test_no_gradient_and_no_grad_mode_leaks():
    """A generator that switches gradients off must not leave them off for whoever consumes its steps."""
    net = network()
    assert torch.is_grad_enabled()
    for step in itertools.islice(sample(Decoder(net), caption(net), SeedBatch([1])), 2):
        assert torch.is_grad_enabled()
        assert not step.x.requires_grad
