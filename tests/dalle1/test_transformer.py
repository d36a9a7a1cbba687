"""The transformer's stream: who sees whom, what stands where, and how large the paper's is."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from armchair.dalle1.config import TransformerConfig
from armchair.dalle1.transformer import PAD, Dalle1Transformer

TINY = TransformerConfig(
    text_vocab=50, image_vocab=40, text_length=6, grid=4, width=32, depth=4, heads=2, conv_kernel=3
)
LAYOUTS = ["start_of_image", "bos"]
PATTERNS = [None, ("row",) * 4, ("column",) * 4, ("conv",) * 4, ("full",) * 4]


def network(config: TransformerConfig) -> Dalle1Transformer:
    """Weights from a fixed seed, large enough that every place that is seen moves what sees it."""
    torch.manual_seed(0)
    net = Dalle1Transformer(config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(torch.randn(p.shape, generator=generator), alpha=0.2)
    return net.eval()


def inputs(net: Dalle1Transformer, batch: int = 2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    tokens = torch.randint(50, (batch, net.text_places - 1), generator=generator)
    tokens[0, 3:] = PAD
    return tokens, torch.randint(40, (batch, 16), generator=generator)


def stream(net: Dalle1Transformer, tokens: Tensor, codes: Tensor) -> Tensor:
    """One number for each logits place, in the order of the stream: the text's, then the image's."""
    with torch.no_grad():
        text, image = net(tokens, codes)
    return torch.cat([text.sum(-1), image.sum(-1)], dim=1)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("patterns", PATTERNS)
def test_nothing_moves_before_the_token_that_changed(layout, patterns):
    """Causality, for every pattern: a change at place t moves its own prediction of t + 1 and nothing before
    it. One cell ahead of time, and the loss would fall by copying.
    """
    net = network(replace(TINY, layout=layout, patterns=patterns))
    tokens, codes = inputs(net)
    before = stream(net, tokens, codes)
    texts = net.text_places - 1
    for t in range(texts):  # token t is read at place t + 1, so it first moves prediction t + 1
        changed = tokens.clone()
        changed[:, t] = (changed[:, t] + 7) % 50
        after = stream(net, changed, codes)
        assert torch.equal(after[:, : t + 1], before[:, : t + 1])
        assert (after[:, t + 1] != before[:, t + 1]).all()
    for c in range(15):  # code c first moves the prediction of code c + 1
        changed = codes.clone()
        changed[:, c] = (changed[:, c] + 7) % 40
        after = stream(net, tokens, changed)
        assert torch.equal(after[:, : texts + c + 1], before[:, : texts + c + 1])
        assert (after[:, texts + c + 1] != before[:, texts + c + 1]).all()
    changed = codes.clone()
    changed[:, 15] = (changed[:, 15] + 7) % 40
    assert torch.equal(stream(net, tokens, changed), before)  # the last code is only ever a target


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_image_place_reads_the_text(layout):
    """Also in sparse layers: a caption's last word must reach the first code and the last."""
    net = network(replace(TINY, layout=layout))
    tokens, codes = inputs(net)
    changed = tokens.clone()
    changed[1, -1] = (changed[1, -1] + 7) % 50
    moved = stream(net, tokens, codes) != stream(net, changed, codes)
    assert moved[1, net.text_places - 1 :].all()
    assert not moved[0].any()  # and never the neighbour's


def test_a_pad_is_one_learned_vector_a_place():
    """Section 2.2: where there is no token, the place's padding vector replaces token and position."""
    net = network(TINY)
    tokens, _ = inputs(net)
    h = net.embed_text(tokens)
    assert torch.equal(h[0, 4:], net.pad_embedding.weight[4:])  # tokens 3 and 4, at places 4 and 5
    assert torch.equal(h[:, 0], (net.start_of_text + net.text_position.weight[0]).expand(2, -1))
    expected = net.text_embedding(tokens[1]) + net.text_position.weight[1:]
    assert torch.equal(h[1, 1:], expected)


@pytest.mark.parametrize("layout,cell", [("start_of_image", 1), ("bos", 0)])
def test_rows_and_columns_of_the_image_places(layout, cell):
    """In the paper's layout a place carries the cell that it predicts, so the first code stands at cell 1; in
    `bos` it carries the cell of the code it holds."""
    net = network(replace(TINY, layout=layout))
    codes = torch.arange(15).unsqueeze(0)
    h = net.embed_image(codes)
    assert h.shape[1] == 15 + cell
    for i in (0, 3, 14 - cell):
        place = net.row_embedding.weight[(i + cell) // 4] + net.column_embedding.weight[(i + cell) % 4]
        torch.testing.assert_close(h[0, i + cell], net.image_embedding.weight[i] + place)


@pytest.mark.parametrize("layout,places,classes", [("start_of_image", 256, 16385), ("bos", 257, 16640)])
def test_both_layouts_are_1280_long(layout, places, classes):
    """The paper's 1,280 places, and a class for the pad that ends a caption: one, or one a place."""
    with torch.device("meta"):
        config = TransformerConfig(width=64, heads=1, depth=1, layout=layout)
        net = Dalle1Transformer(config)
    assert config.length == 1280
    assert net.text_places == places
    assert net.text_head.out_features == classes
    assert net.image_head.out_features == 8192


def test_the_papers_transformer_has_its_parameters():
    """64 blocks of 12 * 3968^2 in their matrices (appendix B.1 and table 1), biases and gains apart."""
    with torch.device("meta"):
        net = Dalle1Transformer(TransformerConfig())
    matrices = sum(p.numel() for p in net.blocks.parameters() if p.ndim == 2)
    assert matrices == 64 * 12 * 3968**2 == 12_092_178_432
    rest = sum(p.numel() for p in net.blocks.parameters() if p.ndim == 1)
    assert rest == 64 * (4 + 3 + 1 + 4 + 1) * 3968  # two norms; biases of qkv, out, up and down


def test_added_branches_start_small():
    """What is added to the stream starts at 0.02 / sqrt(2 * layers), as in Sparse Transformers; the rest at
    0.02.
    """
    torch.manual_seed(0)
    net = Dalle1Transformer(replace(TINY, width=128, depth=8, patterns=None))
    for block in net.blocks:
        for name, layer in block.named_modules():
            if isinstance(layer, nn.Linear):
                expected = 0.02 / 4 if name in ("attention.out", "mlp.2") else 0.02
                assert layer.weight.std().item() == pytest.approx(expected, rel=0.05)
                assert not layer.bias.any()


def test_logits_are_float32_under_autocast():
    """Appendix D stores the logits in float32: the loss is small differences of large numbers."""
    net = network(TINY)
    tokens, codes = inputs(net)
    with torch.autocast("cpu", torch.bfloat16):
        text, image = net(tokens, codes)
    assert text.dtype == image.dtype == torch.float32
