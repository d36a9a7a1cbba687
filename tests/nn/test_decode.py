"""Packed products whose rows do not know of each other, and the cells that each pattern keeps."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from armchair.core.packing import pack, unpack
from armchair.nn.decode import ROWS, PackedLinear, Window, halves, padded, rows_agree, shared_rows
from armchair.nn.sparse import Places, pattern_mask


@pytest.mark.parametrize(
    "pattern,cells", [("row", 36), ("column", 36), ("column", 35), ("conv", 36), ("full", 35)]
)
def test_a_window_holds_exactly_what_the_pattern_allows(pattern: str, cells: int):
    """Writing the cells one after another, every cell must find the keys of its mask's row in the slots it
    reads, not yet overwritten, and no other: both the cache's size and its reading follow from this.
    """
    places = Places(pattern, 1, 6, cells, 5)
    window = Window(places)
    allowed = pattern_mask(pattern, 1, 6, cells, 5)[1:, 1:]
    kept = [-1] * window.size
    for cell in range(cells):
        kept[window.slot(cell)] = cell
        look = window.seen(cell)
        read = kept[look] if isinstance(look, slice) else [kept[slot] for slot in look.tolist()]
        assert len(read) == len(set(read))
        assert set(read) == set(allowed[cell].nonzero().flatten().tolist())


def test_what_a_step_reads_at_the_papers_size():
    """Row at most 33 keys, column 32, convolution 61: the issue's numbers, on a 32 x 32 grid."""
    for pattern, most in (("row", 33), ("column", 32), ("conv", 61)):
        window = Window(Places(pattern, 256, 32, 1024))
        counts = [
            look.stop - look.start if isinstance(look, slice) else len(look)
            for look in (window.seen(cell) for cell in range(1024))
        ]
        assert max(counts) == most


@pytest.mark.parametrize("gelu", [False, True])
def test_a_packed_product_is_the_layers(gelu: bool):
    """Against the layer it was packed from, with the factor that folds the attention's scale in."""
    torch.manual_seed(0)
    layer = nn.Linear(48, 80)
    scale = torch.linspace(0.5, 2, 80)
    x = torch.randn(2 * ROWS, 48)
    expected = layer(x) * scale
    packed = PackedLinear(layer, scale=scale, gelu=gelu)
    torch.testing.assert_close(packed(x), F.gelu(expected) if gelu else expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_row_of_a_packed_product_does_not_depend_on_the_others(dtype: torch.dtype):
    """The same bits at every height that is a multiple of ROWS and at every place in it: what "the same seed
    is the same picture in a batch" rests on. A plain `x @ W` gives a row other bits at height 1 than at
    height 4.
    """
    torch.manual_seed(0)
    for inputs, outputs in ((64, 192), (256, 64), (40, 24)):
        packed = PackedLinear(nn.Linear(inputs, outputs).to(dtype))
        x = torch.randn(40, inputs)
        tall = packed(x)
        for start in range(0, 40, ROWS):
            assert torch.equal(packed(x[start : start + ROWS]), tall[start : start + ROWS])
        alone = torch.zeros(ROWS, inputs)
        alone[2] = x[17]
        assert torch.equal(packed(alone)[2], tall[17])


@pytest.mark.parametrize("storage", ["int8", "float16", "float32"])
def test_weights_as_a_bundle_keeps_them_come_apart_without_loss(storage: str):
    """Half precision times a factor must be the weight to the bit, or drawing in fp32 would not be what it
    says; weights in full precision have no such form, and a row of zeros has no scale.
    """
    weight = torch.randn(24, 40, generator=torch.Generator().manual_seed(0))
    weight[3] = 0
    stored = unpack(pack({"w": weight}, storage))["w"]
    found = halves(stored)
    assert (found is None) == (storage == "float32")
    if found is not None:
        q, factor = found
        assert torch.equal(q.half().float(), q)
        assert torch.equal(q if factor is None else q * factor[:, None], stored)


@pytest.mark.parametrize("storage", ["int8", "float16"])
@pytest.mark.parametrize("gelu", [False, True])
def test_a_product_with_half_precision_weights_is_the_layers_at_any_height(storage: str, gelu: bool):
    """As exact as fp32 allows, with the attention's scale; a row alone has the bits that it has among 40."""
    torch.manual_seed(0)
    layer = nn.Linear(96, 80)
    layer.load_state_dict(unpack(pack(layer.state_dict(), storage)))
    scale = torch.linspace(0.5, 2, 80)
    x = torch.randn(40, 96)
    expected = layer(x) * scale
    packed = PackedLinear(layer, scale=scale, gelu=gelu)
    tall = packed(x)
    torch.testing.assert_close(tall, F.gelu(expected) if gelu else expected, rtol=0, atol=1e-5)
    if packed.multiple == 1:
        for start, rows in ((0, 1), (39, 1), (17, 1), (5, 2), (9, 3), (20, 13)):
            assert torch.equal(packed(x[start : start + rows]), tall[start : start + rows])


def test_what_images_share_is_read_so_that_rows_agree():
    """Two and three rows of a text at a time only where they have the bits of one: the attention's half of
    what the packed products keep.
    """
    by = torch.randn(2, 24, 16, generator=torch.Generator().manual_seed(0))
    x = torch.randn(2, 9, 16, generator=torch.Generator().manual_seed(1))
    most = shared_rows(2, 24, 16)
    alone = torch.cat([torch.bmm(by, row.mT).mT for row in x.split(1, dim=1)], dim=1)
    assert torch.equal(torch.cat([torch.bmm(by, part.mT).mT for part in x.split(most, dim=1)], dim=1), alone)


def test_a_kernel_that_depends_on_the_height_is_noticed_and_avoided():
    """Another machine's kernels may differ: a product whose bits change with the height has to be caught, and
    then computed ROWS rows at a time.
    """

    def fickle(x: torch.Tensor) -> torch.Tensor:
        return x * (1 + 1e-6 * (len(x) > 2 * ROWS))

    heights = [2 * ROWS, 3 * ROWS]
    assert not rows_agree(fickle, 8, torch.float32, ROWS, heights)
    assert rows_agree(lambda x: 2 * x, 8, torch.float32, ROWS, heights)

    packed = PackedLinear(nn.Linear(8, 8))
    packed.product = fickle  # type: ignore[method-assign]
    x = torch.randn(3 * ROWS, 8, generator=torch.Generator().manual_seed(0))
    assert not packed.steady
    assert torch.equal(packed(x), x)


def test_rows_are_padded_to_whole_products():
    """Full-precision weights cost a product of ROWS rows, never less: shorter ones have other bits."""
    assert [padded(n) for n in (1, 3, 4, 5, 8, 9)] == [4, 4, 4, 8, 8, 12]
    assert [padded(n, 1) for n in (1, 3)] == [1, 3]
