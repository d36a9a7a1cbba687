"""Devices and processes: all that we use accelerate for. Start several with torchrun."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from armchair.core.errors import MissingDependency
from armchair.core.task import Task

if TYPE_CHECKING:
    from accelerate import Accelerator


def start_accelerator() -> Accelerator:
    """The device and the processes of this run: a GPU where there is one, or what torchrun and ACCELERATE_*
    say.

    Precision is not accelerate's here, because it fixes one for the life of a process. Raises
    MissingDependency.
    """
    try:
        from accelerate import Accelerator, InitProcessGroupKwargs
    except ImportError as error:
        raise MissingDependency("accelerate", "train") from error
    patient = InitProcessGroupKwargs(
        timeout=timedelta(hours=2)
    )  # the others wait while the first one evaluates
    return Accelerator(mixed_precision="no", kwargs_handlers=[patient])


def place(task: Task, device: torch.device) -> None:
    """Move a task's network, and the frozen ones that it holds beside it, to the device."""
    for part in vars(task).values():
        if isinstance(part, nn.Module):
            part.to(device)


def sum_up(accelerator: Accelerator, tables: Iterable[Mapping[str, float | Tensor]]) -> dict[str, float]:
    """Numbers by name, added up over this process's tables and over the processes, which all have the same
    names.
    """
    total: defaultdict[str, float] = defaultdict(float)
    for table in tables:
        for name, value in table.items():
            total[name] += float(value)
    if accelerator.num_processes == 1:
        return dict(total)
    names = sorted(total)
    # float64, which keeps counts exact; Apple's GPU has none, and no second process either
    packed = torch.tensor([total[name] for name in names], dtype=torch.float64, device=accelerator.device)
    torch.distributed.all_reduce(packed)
    return dict(zip(names, packed.tolist(), strict=True))


def agree(accelerator: Accelerator, path: Path | None) -> Path | None:
    """The first process's path, in all processes."""
    said = [None if path is None else str(path)]
    if accelerator.num_processes > 1:
        torch.distributed.broadcast_object_list(said)
    return None if said[0] is None else Path(said[0])
