"""Layouts: what is laid on which cells, and the prior's numbers, drawn and counted."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from armchair.core.task import Spot
from armchair.nn.layout import (
    NOWHERE,
    NUMBERS,
    Laid,
    Layout,
    LayoutConfig,
    LayoutPrior,
    spots_tensor,
    unstretched,
)

SMALL = LayoutConfig(width=12, depth=2, heads=3, most=3, bins=8, hidden=6, octaves=2)


def spots(*rows: tuple[int, ...]) -> Tensor:
    """(1, M, 5) of rows of a place and four bins."""
    made = SMALL.nothing(1)
    for i, row in enumerate(rows):
        made[0, i] = torch.tensor(row)
    return made


def woken(net: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(0)
    for weight in net.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return net.eval()


def test_spots_become_bins():
    """Places count from one, shares fall into bins, the last bin takes 1; what is too many is left out."""
    made = spots_tensor([(4, Spot(9, 0.5, 0.0, 1.0, 0.249))] + [(1, Spot(2, 0.1, 0.1, 0.1, 0.1))] * 3, SMALL)
    assert made.shape == (3, NUMBERS)
    assert made[0].tolist() == [5, 4, 0, 7, 1]
    assert made[2, 0] == 2
    assert not spots_tensor([], SMALL).any()


def test_a_thing_covers_its_cells_alone():
    """Untrained it is zero, and so it stays without spots. Then the cells of a box learn of its word, each of
    its own place in it, and others nothing; things that lie over each other are added.
    """
    torch.manual_seed(0)
    states = torch.randn(1, 4, 10)
    here, there = spots((2, 3, 3, 4, 4)), spots((3, 6, 6, 2, 2))
    assert not Laid(SMALL, 10, 5)(states, here, 8, 8).any()
    net = woken(Laid(SMALL, 10, 5))
    assert not net(states, SMALL.nothing(1), 8, 8).any()
    cells = net(states, here, 8, 8)[0].abs().sum(dim=0)  # bins of 1/8: middle 7/16, extent 9/16
    assert cells[2:5, 2:5].all() and not cells[7].any() and not cells[:, 7].any()
    assert len(torch.unique(net(states, here, 8, 8)[0, :, 2:5, 2:5].flatten(1), dim=1).T) == 9
    other = states.clone()
    other[0, 1] += 1
    assert not torch.allclose(net(other, here, 8, 8), net(states, here, 8, 8), atol=1e-4)
    assert torch.equal(net(other, there, 8, 8), net(states, there, 8, 8))
    both = spots((2, 3, 3, 4, 4), (3, 6, 6, 2, 2))
    summed = net(states, here, 8, 8) + net(states, there, 8, 8)
    torch.testing.assert_close(net(states, both, 8, 8), summed)


def test_prior_learns_and_draws_what_it_learned():
    """It is told two captions with a layout each, and draws those; the same numbers give the same layout."""
    torch.manual_seed(0)
    net = LayoutPrior(SMALL, 10)
    context, keep = torch.randn(2, 5, 10), torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    truth = torch.cat([spots((2, 1, 2, 3, 4), (5, 7, 0, 1, 1)), spots((3, 4, 4, 6, 6))])
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    first = float(net(context, keep, truth).detach().mean())
    for _ in range(150):
        loss = net(context, keep, truth).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert first > 1 and float(loss.detach()) < 0.05
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []
    uniform = torch.rand(4, NUMBERS * SMALL.most) * 0.9 + 0.05
    for row, words in ((0, 5), (1, 3)):
        drawn = net.draw(context[row, :words], uniform)
        assert torch.equal(drawn, truth[row : row + 1].expand(4, -1, -1))


def test_prior_does_not_read_what_is_no_token():
    """Nor does a row depend on the others, however many spots they have."""
    net = woken(LayoutPrior(SMALL, 10))
    assert isinstance(net, LayoutPrior)
    context, keep = torch.randn(2, 5, 10), torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    truth = torch.cat([spots((2, 1, 2, 3, 4), (5, 7, 0, 1, 1), (1, 1, 1, 1, 1)), spots((3, 4, 4, 6, 6))])
    both = net(context, keep, truth)
    alone = net(context[1:, :3], keep[1:, :3], truth[1:])
    torch.testing.assert_close(both[1:], alone)
    assert not torch.allclose(net(context, keep, truth[[0, 0]])[1:], alone)


def test_boxes_are_drawn_by_their_shares_and_words_are_not():
    """How often a first bin is drawn is what `forward` counts for it; the word is the likeliest, always."""
    net = woken(LayoutPrior(SMALL, 10))
    assert isinstance(net, LayoutPrior)
    net.end.data -= 10 * net.pointer(torch.zeros(12)).detach()  # surely some word
    context = torch.randn(1, 4, 10)
    drawn = net.draw(context[0], torch.rand(4000, NUMBERS * SMALL.most))[:, 0]
    place = int(drawn[0, 0])
    assert place != NOWHERE and (drawn[:, 0] == place).all()

    counted = torch.tensor([float((drawn[:, 1] == x).float().mean()) for x in range(SMALL.bins)])
    torch.testing.assert_close(counted, _first(net, context, place), atol=0.03, rtol=0)


def test_the_likeliest_candidate_is_taken():
    """Of so many drawn with the seed's numbers; a seed's layout does not depend on the others."""
    torch.manual_seed(0)
    context, keep = torch.randn(1, 4, 10), torch.ones(1, 4, dtype=torch.bool)
    nats = []
    for candidates in (1, 8):
        net = Layout(replace(SMALL, candidates=candidates), 10, 20, 2)
        woken(net.prior)
        made = net.draw(context, range(30))
        assert torch.equal(made[7:9], net.draw(context, [7, 8]))
        count = NUMBERS * (made[..., 0] != NOWHERE).sum(dim=1) + 1
        nats.append(net.prior(context.expand(30, -1, -1), keep.expand(30, -1), made).detach() * count)
    assert nats[1].mean() < nats[0].mean() - 0.5


def test_looks():
    """The row after all spots says the look, of what names it knows; looks are drawn by their shares, each
    seed's own, and learned where they are known. What lies on cells does not read them.
    """
    config = replace(SMALL, looks=("flat", "line", "soft"))
    spot = [(2, Spot(9, 0.5, 0.5, 0.5, 0.5))]
    made = spots_tensor(spot, config, "line")
    assert made.shape == (4, NUMBERS) and made[-1].tolist() == [NOWHERE, 2, 0, 0, 0]
    assert torch.equal(spots_tensor(spot * 9, config, "pencil")[:3], spots_tensor(spot * 3, config)[:3])
    assert not spots_tensor(spot * 9, config, "pencil")[-1].any()

    net = Layout(config, 10, 20, 2)
    woken(net)
    context, keep = torch.randn(1, 4, 10), torch.ones(1, 4, dtype=torch.bool)
    drawn = net.draw(context, range(600))
    assert torch.equal(drawn[7:9], net.draw(context, [7, 8])) and (drawn[:, -1, 0] == NOWHERE).all()
    rows = torch.stack([spots_tensor(spot, config, look) for look in ("", *config.looks)])
    nats = net.errors(context.expand(4, -1, -1), keep.expand(4, -1), rows).detach()
    shares = torch.stack([(drawn[:, -1, 1] == look).float().mean() for look in (1, 2, 3)])
    torch.testing.assert_close(shares, (nats[0] - nats[1:]).exp(), atol=0.06, rtol=0)
    states = torch.randn(1, 4, 10)
    assert torch.equal(net(states, context, rows[1:2], 8, 8), net(states, context, rows[2:3], 8, 8))


def test_things_keep_their_proportions():
    """On a wide picture boxes are as much narrower as it is wider; on a square they stay."""
    made = spots((2, 4, 3, 4, 6), (3, 1, 1, 7, 2))
    assert torch.equal(unstretched(made, 4, 4), made)
    assert unstretched(made, 4, 8)[0].tolist() == [[2, 4, 3, 2, 6], [3, 1, 1, 3, 2], [0] * 5]
    assert unstretched(made, 8, 4)[0, 0].tolist() == [2, 4, 3, 4, 3]


def _first(net: LayoutPrior, context: Tensor, place: int) -> Tensor:
    """(bins,) the shares of x after a place, worked out step by step"""
    x = (context.new_zeros(1, SMALL.width) + net.position_embedding[0])[:, None]
    after = (net.place_projection(context[:, place - 1]) + net.position_embedding[1])[:, None]
    h = torch.cat([x, after], dim=1)
    for block in net.blocks:
        h, _ = block(h, block.context(context))
    return net.numbers(net.norm(h))[0, 1].unflatten(0, (4, -1))[0].softmax(dim=0).detach()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"width": 10}, "no multiple of layout.heads"),
        ({"most": 0}, "layout.most 0 is at least 1"),
        ({"bins": 1}, "layout.bins 1 at least 2"),
        ({"candidates": 0}, "layout.candidates 0 is at least 1"),
        ({"temperature": 0.0}, "layout.temperature above 0"),
        ({"look_temperature": 0.0}, "looks' too"),
    ],
)
def test_sizes_that_do_not_fit(changes: dict[str, float], words: str):
    """Said with the numbers."""
    with pytest.raises(ValueError, match=words):
        LayoutConfig(**{"width": 12, "heads": 3, **changes})
