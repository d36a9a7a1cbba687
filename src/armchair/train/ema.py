"""An exponential moving average of the weights: what previews, scores and bundles use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from armchair.core.errors import TrainingError


class EMA:
    """ema <- decay ema + (1 - decay) weights after each update, with a decay that warms up.

    The decay of update n (from 0) is min(decay, (1 + n) / (10 + n)), so that the first, random weights are
    soon forgotten. Decay 0 keeps nothing: the average is the weights themselves.
    """

    def __init__(self, net: nn.Module, decay: float):
        self.decay = decay
        self.weights = {name: p for name, p in net.named_parameters() if p.requires_grad} if decay > 0 else {}
        self.average = {name: p.detach().clone() for name, p in self.weights.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after update `step`, from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, average in self.average.items():
            average.lerp_(self.weights[name], 1.0 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the network holds the averaged weights; afterwards its own again, bit for bit. Nothing is
        copied.
        """
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def state(self) -> dict[str, Tensor]:
        """The averages by parameter name; empty at decay 0."""
        return dict(self.average)

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take the averages of a checkpoint. Raises TrainingError where the names differ."""
        different = sorted(set(state) ^ set(self.average))
        if different:
            raise TrainingError(
                f"the averaged weights of the checkpoint do not fit this network: {different[0]} differs"
            )
        for name, average in self.average.items():
            average.copy_(state[name])

    def _swap(self) -> None:
        for name, weight in self.weights.items():
            weight.data, self.average[name] = self.average[name], weight.data
