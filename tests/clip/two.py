"""One backward pass of CLIP's loss, as the loop makes it: run by torchrun, each process with its rows.

python -m torch.distributed.run --nproc-per-node 2 tests/clip/two.py OUT
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import cast

import torch

from armchair.core.rng import SeedBatch
from armchair.core.task import Batch, Task
from armchair.train.loop import Shell
from armchair.train.processes import start_accelerator
from tests.clip.tiny import batch, clip_task

ROWS = 8


def main() -> None:
    accelerator = start_accelerator()
    task = clip_task()
    whole = batch(task, list(range(ROWS)))
    part = ROWS // accelerator.num_processes
    rows = slice(accelerator.process_index * part, (accelerator.process_index + 1) * part)
    mine = Batch({k: v[rows] for k, v in whole.data.items()}, whole.indices[rows], 0, whole.totals)
    model = accelerator.prepare_model(Shell(cast(Task, task), "float32"))
    loss, numbers = model(mine, SeedBatch(mine.indices))
    accelerator.backward(loss * accelerator.num_processes)
    found = {name: p.grad for name, p in task.net.named_parameters()}
    found |= {"loss": loss.detach(), "to_image": numbers["to_image"]}
    torch.save(found, Path(sys.argv[1]) / f"{accelerator.process_index}.pt")
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
