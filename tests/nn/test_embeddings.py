"""The timestep as a vector: the order and the frequencies that published weights were trained with."""

import math

import torch

from armchair.nn.embeddings import TimeEmbedding, sinusoid


def test_sinusoid_by_hand():
    """Cosines first (a swapped order loads without a complaint and draws noise), frequencies from 1 down."""
    t = torch.tensor([0, 7, 999])
    found = sinusoid(t, 6)
    for row, value in zip(found.tolist(), t.tolist(), strict=True):
        angles = [value * 10_000 ** (-i / 3) for i in range(3)]
        wanted = [*map(math.cos, angles), *map(math.sin, angles)]
        torch.testing.assert_close(torch.tensor(row), torch.tensor(wanted), atol=2e-4, rtol=0)


def test_times_of_any_type():
    """Schedules count whole steps, flows lie between 0 and 1; the same number is the same time."""
    net = TimeEmbedding(8, 12)
    whole, real = net(torch.tensor([3])), net(torch.tensor([3.0], dtype=torch.float64))
    assert whole.shape == (1, 12)
    torch.testing.assert_close(whole, real)
    assert (net(torch.tensor([0.25])) - net(torch.tensor([0.75]))).abs().max() > 1e-3
