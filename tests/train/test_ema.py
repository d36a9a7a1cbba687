"""The averaged weights."""

import numpy as np
import pytest
import torch
from torch import nn

from armchair.core.errors import TrainingError
from armchair.train.ema import EMA


def test_average_against_a_plain_loop():
    """The recurrence in float64, with its warm-up: 0.1, 2/11, 3/12, ... up to the decay."""
    net = nn.Linear(3, 2)
    ema = EMA(net, 0.4)
    expected = net.weight.detach().numpy().astype(np.float64)
    for step in range(12):
        with torch.no_grad():
            net.weight.normal_(generator=torch.Generator().manual_seed(step))
        ema.update(step)
        decay = min(0.4, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * net.weight.detach().numpy()
    np.testing.assert_allclose(ema.state()["weight"].numpy(), expected, atol=1e-6)


def test_applied_swaps_and_gives_back():
    """Inside, the averages; afterwards the weights bit for bit, also when a preview fails, and training goes
    on.
    """
    net = nn.Linear(3, 2)
    ema = EMA(net, 0.9)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1)
    with torch.no_grad():
        net.weight.add_(1.0)
    ema.update(100)
    own, average = net.weight.detach().clone(), ema.state()["weight"].clone()
    with pytest.raises(RuntimeError, match="preview"), ema.applied():
        assert torch.equal(net.weight, average)
        raise RuntimeError("preview")
    assert torch.equal(net.weight, own)
    assert torch.equal(ema.state()["weight"], average)
    net(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    assert not torch.equal(net.weight, own)
    assert torch.equal(ema.state()["weight"], average), (
        "the optimizer moved the averages: the swap was not undone"
    )


def test_decay_zero_keeps_nothing():
    net = nn.Linear(3, 2)
    ema = EMA(net, 0.0)
    ema.update(0)
    assert ema.state() == {}
    with ema.applied():
        assert torch.equal(net.weight, net.weight)


def test_other_network_is_refused():
    with pytest.raises(TrainingError, match="bias"):
        EMA(nn.Linear(3, 2), 0.9).load({"weight": torch.zeros(2, 3)})
