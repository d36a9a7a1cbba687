"""The sparse patterns, and the blocked form that training computes them in."""

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from armchair.nn import attention, sparse
from armchair.nn.attention import Attention
from armchair.nn.sparse import (
    BlockedAttention,
    Blocks,
    Places,
    block_cells,
    conv_offsets,
    pattern_mask,
)


def seen(pattern: str, cell: int, kernel: int = 11) -> set[int]:
    """The cells of a 4 x 4 grid that one cell looks at."""
    mask = pattern_mask(pattern, 2, 4, 16, kernel)[2:, 2:]
    return set(mask[cell].nonzero().flatten().tolist())


def test_the_patterns_are_those_of_the_papers_figure():
    """Figure 11 draws a 4 x 4 grid: a row pattern sees "the previous 5 tokens", the last in the same column,
    and both it and the convolution wrap round at row ends. Worked out by hand from the figure.
    """
    assert seen("row", 6) == {2, 3, 4, 5, 6}
    assert seen("row", 8) == {4, 5, 6, 7, 8}  # the first of its row still sees all of the row above
    assert seen("row", 2) == {0, 1, 2}
    assert seen("column", 13) == {1, 5, 9, 13}
    assert seen("column", 2) == {2}
    assert seen("conv", 10, kernel=3) == {5, 6, 7, 9, 10}
    assert seen("conv", 8, kernel=3) == {3, 4, 5, 7, 8}  # left of the first column is the row above
    assert seen("full", 7) == set(range(8))


def test_a_full_size_kernel_has_61_offsets():
    """5 to the left, 5 rows of 11 above, and itself: what the sampler's cost is reckoned by."""
    offsets = conv_offsets(32, 11)
    assert len(offsets) == 61
    assert offsets[0] == 0 and offsets[-1] == 5 * 32 + 5


@pytest.mark.parametrize("pattern", ["row", "column", "conv", "full"])
def test_text_is_causal_blind_to_the_image_and_seen_by_all_of_it(pattern: str):
    """Section 2.2: every image token sees the whole text, the text never sees the image."""
    mask = pattern_mask(pattern, 5, 4, 15)
    assert torch.equal(mask[:5, :5], torch.ones(5, 5).tril().bool())
    assert not mask[:5, 5:].any()
    assert mask[5:, :5].all()


def test_an_unknown_pattern_is_refused():
    """A misspelt pattern must not become some other mask."""
    with pytest.raises(ValueError, match="diagonal"):
        pattern_mask("diagonal", 2, 4, 16)


def qkv(length: int, dtype: torch.dtype = torch.float64, width: int = 8) -> list[Tensor]:
    generator = torch.Generator().manual_seed(length)
    return [
        torch.randn(2, 3, length, width, dtype=torch.float64, generator=generator).to(dtype).requires_grad_()
        for _ in range(3)
    ]


def with_gradients(out: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    """out, and the gradients of a fixed weighted sum of it by the inputs."""
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape)
    return [out, *torch.autograd.grad((out * weights).sum(), inputs)]


@pytest.mark.parametrize("pattern", ["row", "column", "conv"])
@pytest.mark.parametrize("grid,kernel", [(4, 3), (6, 11)])
def test_blocks_give_what_masked_dense_attention_gives(pattern, grid, kernel, monkeypatch):
    """The blocked form is an optimisation: outputs and gradients must be the dense ones, for blocks that do
    not divide the grid, for grids whose last cells are missing, and however the work is cut into chunks.
    """
    for missing, block, chunk in itertools.product([0, 1, 3], [3, grid, 2 * grid, 99], [1, 2**21]):
        monkeypatch.setattr(sparse, "CHUNK", chunk)
        places = Places(pattern, 5, grid, grid * grid - missing, kernel)
        inputs = qkv(5 + places.cells)
        dense = F.scaled_dot_product_attention(*inputs, attn_mask=places.mask())
        expected = with_gradients(dense, inputs)
        for multiple in (1, 32):
            blocked = BlockedAttention.apply(*inputs, Blocks(places, block, multiple))
            for ours, theirs in zip(with_gradients(blocked, inputs), expected, strict=True):
                torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("pattern", ["row", "column", "conv"])
def test_gathering_and_scattering_are_adjoint(pattern: str):
    """<gather(x), y> = <x, scatter(y)>: a key that is copied into several blocks collects all their
    gradients.
    """
    places = Places(pattern, 3, 4, 14, 3)
    blocks = Blocks(places, 4)
    x = torch.randn(2, 1, 17, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    gathered = blocks.gather(x)
    y = torch.randn(gathered.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    back = torch.zeros_like(x)
    blocks.scatter(y, back)
    torch.testing.assert_close((gathered * y).sum(), (x * back).sum())


@pytest.mark.parametrize("pattern", ["row", "column", "conv"])
def test_in_bf16_the_blocks_are_as_exact_as_sdpa(pattern: str):
    """Scores are rounded to bf16 here and not in SDPA: no output or gradient may be more than half again as
    far from float64 as SDPA's, else training would pay for the speed.
    """
    places = Places(pattern, 8, 8, 64, 5)
    exact = qkv(72, width=32)
    truth = with_gradients(F.scaled_dot_product_attention(*exact, attn_mask=places.mask()), exact)
    half = qkv(72, torch.bfloat16, width=32)
    dense = with_gradients(F.scaled_dot_product_attention(*half, attn_mask=places.mask()), half)
    blocked = with_gradients(BlockedAttention.apply(*half, Blocks(places, 16)), half)
    for ours, theirs, true in zip(blocked, dense, truth, strict=True):
        assert (ours - true).norm() <= 1.5 * (theirs - true).norm()


@pytest.mark.parametrize("qk_norm", [False, True])
@pytest.mark.parametrize("pattern", ["row", "column", "conv", "full"])
def test_the_layer_computes_the_same_with_blocks_and_without(pattern, qk_norm, monkeypatch):
    """Which form a size gets is a rule about speed, so it must not show in the result. 12 x 12 cells is a
    size that gets blocks (row, column) or not (conv, full) in fp32.
    """
    torch.manual_seed(0)
    layer = Attention(16, 2, qk_norm=qk_norm)
    places = Places(pattern, 4, 12, 143, 11)
    x = torch.randn(2, 147, 16)
    by_rule = layer(x, places)
    monkeypatch.setattr(attention, "block_cells", lambda places, dtype: None)
    torch.testing.assert_close(by_rule, layer(x, places), rtol=0, atol=1e-5)


def test_the_rule_for_blocks():
    """The sizes it was measured at, so that a change of the rule is a decision: 64 cells a block, whole rows
    or columns; dense where a query would keep more than three fifths of its keys in fp32.
    """
    bf16, fp32 = torch.bfloat16, torch.float32
    assert block_cells(Places("row", 48, 16, 256), bf16) == 64
    assert block_cells(Places("row", 48, 16, 256), fp32) == 64
    assert block_cells(Places("row", 48, 12, 144), bf16) == 72
    assert block_cells(Places("row", 48, 12, 144), fp32) is None
    assert block_cells(Places("conv", 48, 16, 256), fp32) is None
    assert block_cells(Places("column", 256, 32, 1024), fp32) == 64
    assert block_cells(Places("conv", 48, 12, 144), fp32) is None
    assert block_cells(Places("conv", 48, 12, 144), bf16) == 72
    assert block_cells(Places("conv", 256, 32, 1024), fp32) == 64
    assert block_cells(Places("full", 256, 32, 1024), bf16) is None


def test_autocast_does_not_reach_into_the_blocks():
    """Autocast would cast the products of a float32 call to bf16 inside the function, and its backward would
    not match its forward.
    """
    places = Places("row", 4, 8, 64)
    inputs = qkv(68, torch.float32)
    blocks = Blocks(places, 16)
    plain = BlockedAttention.apply(*inputs, blocks)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(BlockedAttention.apply(*inputs, blocks), plain)
