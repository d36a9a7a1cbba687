"""Ending a run whose numbers are not finite, and saying where it began."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor, nn

from armchair.core.errors import TrainingError
from armchair.core.rng import SeedBatch
from armchair.core.task import Batch
from armchair.train import checkpoint


def finite(*numbers: float) -> bool:
    return bool(torch.isfinite(torch.tensor(numbers)).all())


def halt(
    model: nn.Module,
    net: nn.Module,
    batches: Sequence[tuple[Batch, list[int]]],
    shares: Sequence[Mapping[str, float | Tensor]],
    numbers: Mapping[str, float],
    checkpoints: Path,
    device: torch.device,
) -> NoReturn:
    """Raise the TrainingError that names the step, the samples and the last good checkpoint.

    model: the loss as a module, without DDP; batches: this process's micro-batches with the seeds of their
    generators.
    """
    first = batches[0][0]
    weights = [
        n for n, p in net.named_parameters() if p.grad is not None and not torch.isfinite(p.grad).all()
    ]
    guilty: list[int] = []
    for (batch, seeds), share in zip(batches, shares, strict=True):
        if not finite(float(share["loss"])):
            guilty += _guilty(model, batch, seeds, device)
    named = guilty if guilty else [index for batch, _ in batches for index in batch.indices]
    last = checkpoint.newest_good(checkpoints)
    where = f", first in {weights[0]}" if weights else ""
    raise TrainingError(
        f"step {first.step + 1}: not finite: loss {numbers['loss']:.4g}, norm of the gradient "
        f"{numbers['grad_norm']:.4g}{where}; {'of' if guilty else 'among'} the samples "
        f"{', '.join(map(str, named))}. The update was not made. Last good checkpoint: "
        f"{'none' if last is None else last}. Look at these samples, or lower the learning rate "
        "(--set optim.lr=...) and go on with --resume"
    )


@torch.no_grad()
def _guilty(model: nn.Module, batch: Batch, seeds: list[int], device: torch.device) -> list[int]:
    """The samples whose own loss is not finite; all of the batch where none is, alone."""
    found: list[int] = []
    for row, index in enumerate(batch.indices):
        data = {name: value[row : row + 1] for name, value in batch.data.items()}
        loss, _ = model(Batch(data, [index], batch.step, batch.totals), SeedBatch([seeds[row]], device))
        if not finite(float(loss)):
            found.append(index)
    return found if found else batch.indices
