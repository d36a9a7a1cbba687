"""Training one part that reads captions while the network that it is shown to stands still."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor, nn

from armchair.core.errors import BadInput
from armchair.core.rng import SeedBatch
from armchair.core.task import Batch, Sample, Source

ROWS = 32  # pictures that evaluation computes at a time

PartName = Literal["sketch", "layout", "draft"]


class Alone(ABC):
    """Mixed into the task of the whole network: the error of one part alone, on several times as many
    captions a second.
    """

    net: nn.Module
    what: ClassVar[PartName]

    if TYPE_CHECKING:  # the whole network's task has it

        def _plain(self, samples: list[Sample], device: torch.device) -> dict[str, Tensor]: ...

    @property
    @abstractmethod
    def part(self) -> nn.Module:
        """The one network that learns."""

    @abstractmethod
    def errors(self, data: Mapping[str, Tensor]) -> Tensor:
        """(B,) what it is to make small"""

    def _hold_still(self) -> None:
        """Keep all but the part."""
        self.net.requires_grad_(False)
        self.part.requires_grad_()

    def loss(self, batch: Batch, rng: SeedBatch) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Mean error of the part."""
        return self.errors(batch.data).sum() / batch.totals["samples"], {}

    def evaluate(self, source: Source, n: int) -> dict[str, float]:
        """Mean error of the part, nothing hidden."""
        device, errors = next(self.net.parameters()).device, []
        for start in range(0, n, ROWS):
            rows = range(start, min(n, start + ROWS))
            errors.append(self.errors(self._plain([source[i % len(source)] for i in rows], device)))
        return {self.what: torch.cat(errors).mean().item()}

    def preview(self, rng: SeedBatch) -> None:
        """Nothing: the U-Net stands still."""
        return


def check_alone(alone: PartName | None, net: object) -> None:
    """Raises BadInput where a part is to be trained that the network `net` configures has not."""
    if alone is not None and getattr(net, alone, None) is None:
        raise BadInput(f"task.alone={alone} trains a {alone}, and task.net.{alone} is null")
