"""Training a sketch while the network that it is shown to stands still."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from armchair.core.errors import BadInput
from armchair.core.rng import SeedBatch
from armchair.core.task import Batch, Sample, Source
from armchair.nn.sketch import Sketch, SketchConfig

ROWS = 32  # pictures that evaluation computes at a time


class SketchLearning(ABC):
    """Mixed into the task of the whole network: mean squared error of the sketch alone, on several times as
    many captions a second.
    """

    net: nn.Module

    if TYPE_CHECKING:  # the whole network's task has it

        def _plain(self, samples: list[Sample], device: torch.device) -> dict[str, Tensor]: ...

    @property
    @abstractmethod
    def sketch(self) -> Sketch:
        """The one network that learns."""

    @abstractmethod
    def errors(self, data: Mapping[str, Tensor]) -> Tensor:
        """(B,) mean squared errors against the means in the sketch's cells"""

    def _hold_still(self) -> None:
        """Keep all but the sketch."""
        self.net.requires_grad_(False)
        self.sketch.requires_grad_()

    def loss(self, batch: Batch, rng: SeedBatch) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Mean squared error of the sketch."""
        return self.errors(batch.data).sum() / batch.totals["samples"], {}

    def evaluate(self, source: Source, n: int) -> dict[str, float]:
        """Mean squared error of the sketch."""
        device, errors = next(self.net.parameters()).device, []
        for start in range(0, n, ROWS):
            rows = range(start, min(n, start + ROWS))
            errors.append(self.errors(self._plain([source[i % len(source)] for i in rows], device)))
        return {"sketch": torch.cat(errors).mean().item()}

    def preview(self, rng: SeedBatch) -> None:
        """Nothing: the U-Net learns to listen afterwards."""
        return


def check_sketch(alone: bool, config: SketchConfig | None) -> None:
    """Raises BadInput where a sketch is to be trained and there is none."""
    if alone and config is None:
        raise BadInput("task.sketch_alone trains a sketch, and task.net.sketch is null")
