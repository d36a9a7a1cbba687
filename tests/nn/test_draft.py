"""Drafts: how canvases are laid on cells, and what a draft depends on."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from armchair.nn.draft import Draft, DraftConfig, check_draft, laid
from armchair.nn.layout import LOOK, LayoutConfig

SMALL = DraftConfig(widths=(8, 8), side=2, hidden=12, depth=1, groups=4)
LAYOUT = LayoutConfig(bins=8, most=3, looks=("flat", "line"))


def woken() -> Draft:
    torch.manual_seed(0)
    net = Draft(SMALL, LAYOUT, 10, 4)
    for weight in net.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return net.eval()


def drawn(net: Draft, rows: list[tuple[int, ...]], look: int = 0, **changes: Any) -> Tensor:
    """(4, 8, 8)"""
    torch.manual_seed(1)
    spots = LAYOUT.nothing(1)
    for i, row in enumerate(rows):
        spots[0, i] = torch.tensor(row)
    spots[0, -1, LOOK] = look
    told = {
        "text_seq": torch.randn(1, 5, 10),
        "context": torch.randn(1, 5, 10),
        "keep": torch.tensor([[True] * 4 + [False]]),
        "spots": spots,
        "sketch": torch.zeros(1, 4, 2, 2),
        "height": 8,
        "width": 8,
    }
    with torch.no_grad():
        return net(**{**told, **changes})[0]


def test_canvases_are_laid_by_their_areas():
    """A box of two cells' extent takes two parts of a canvas of four in each; what hangs over is cut."""
    share = laid(torch.tensor([0.5]), torch.tensor([0.5]), 4, 4)[0]  # cells 1 and 2
    expected = torch.tensor([[0.0] * 4, [0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5], [0.0] * 4])
    torch.testing.assert_close(share, expected)
    torch.testing.assert_close(
        laid(torch.tensor([0.375]), torch.tensor([0.25]), 4, 4).sum(), torch.tensor(1.0)
    )
    torch.testing.assert_close(laid(torch.tensor([0.0]), torch.tensor([1.0]), 4, 4).sum(), torch.tensor(2.0))


def test_untrained_it_is_the_sketch():
    """And so it stays where there are no spots."""
    sketch = torch.randn(1, 4, 2, 2)
    large = torch.nn.functional.interpolate(sketch, (8, 8), mode="bilinear")[0]
    fresh = Draft(SMALL, LAYOUT, 10, 4)
    assert torch.equal(drawn(fresh, [(2, 3, 3, 4, 4)], sketch=sketch), large)
    assert torch.equal(drawn(woken(), [], sketch=sketch), large)
    assert not torch.allclose(drawn(woken(), [(2, 3, 3, 4, 4)], sketch=sketch), large)


def test_a_thing_is_painted_alike_wherever_it_stands():
    """Moved by a bin, which is a cell here, it is the same picture, moved, but for what norms see."""
    net = woken()
    here, there = drawn(net, [(2, 3, 3, 1, 1)]), drawn(net, [(2, 4, 3, 1, 1)])
    torch.testing.assert_close(here[:, 3, 3], there[:, 3, 4], atol=0.01, rtol=0)
    assert not torch.allclose(here[:, 3, 3], here[:, 3, 4], atol=0.1)


def test_what_it_reads():
    """The thing's own word, all the caption by its mean, and the look; not what is no token."""
    net, spots = woken(), [(2, 3, 3, 4, 4)]
    before, states = drawn(net, spots), {}
    for name in ("text_seq", "context"):
        torch.manual_seed(1)
        states["text_seq"], states["context"] = torch.randn(1, 5, 10), torch.randn(1, 5, 10)
        for place, moves in ((1, True), (3, name == "context"), (4, False)):
            changed = states[name].clone()
            changed[0, place] += 1
            same = torch.allclose(drawn(net, spots, **{name: changed}), before, atol=1e-5)
            assert same != moves, (name, place)
    looks = [drawn(net, spots, look) for look in range(3)]
    assert not any(torch.allclose(looks[i], looks[i - 1]) for i in range(3))
    both, other = [(2, 3, 3, 4, 4), (3, 6, 6, 2, 2)], [(3, 6, 6, 2, 2), (2, 3, 3, 4, 4)]
    torch.testing.assert_close(drawn(net, both), drawn(net, other))


def test_a_batch_is_its_rows():
    """Rows with and without spots."""
    net = woken()
    torch.manual_seed(2)
    spots = torch.cat([LAYOUT.nothing(1)] * 3)
    spots[0, 0], spots[2, 1] = torch.tensor([1, 2, 3, 4, 5]), torch.tensor([3, 5, 5, 3, 2])
    told = [
        torch.randn(3, 5, 10),
        torch.randn(3, 5, 10),
        torch.ones(3, 5, dtype=torch.bool),
        spots,
        torch.randn(3, 4, 2, 2),
    ]
    with torch.no_grad():
        together = net(*told, 8, 14)
        rows = torch.cat([net(*(part[i : i + 1] for part in told), 8, 14) for i in range(3)])
    assert together.shape == (3, 4, 8, 14)
    torch.testing.assert_close(together, rows)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"widths": ()}, "needs draft.widths"),
        ({"side": 0}, "draft.side and draft.depth of at least 1"),
        ({"widths": (8, 6)}, "draft.widths has 6, no multiple of draft.groups 4"),
    ],
)
def test_sizes_that_do_not_fit(changes: dict[str, Any], words: str):
    """Said with the numbers; and a draft without a layout."""
    with pytest.raises(ValueError, match=words):
        DraftConfig(**{"widths": (8, 8), "groups": 4, **changes})
    with pytest.raises(ValueError, match="layout is null"):
        check_draft(SMALL, None)
