"""What a run will cost, measured on this machine before it starts."""

from __future__ import annotations

import contextlib
import sys
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from armchair.core.config import to_json
from armchair.core.rng import SeedBatch, generator, mix
from armchair.core.task import Batch, Source, Task
from armchair.train.loader import Examples, Micro, Split, load
from armchair.train.metrics import clock
from armchair.train.optim import build_optimizers
from armchair.train.processes import place, start_accelerator
from armchair.train.recipe import Recipe

TIMED = 2  # micro-batches, after one that warms up


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run's size and cost. Times are measured; the device's other work slows them."""

    recipe: dict[str, Any]
    parameters: dict[str, int]  # by part of the network, frozen ones too
    trained: int  # parameters that the optimizer changes
    samples: int  # in the data
    epochs: float
    flops_per_sample: int  # multiply and add counted as two; forward and backward
    samples_per_second: float  # one process
    seconds: float  # the whole run at that speed, without previews and evaluations
    memory_bytes: int  # peak: of the process on a CPU, allocated on a GPU
    checkpoint_bytes: int  # one checkpoint on disk
    device: str
    threads: int

    def to_json(self) -> dict[str, Any]:
        return to_json(self)

    def text(self) -> str:
        """For a person; one fact a line."""
        total = sum(self.parameters.values())
        steps, batch = self.recipe["steps"], self.recipe["batch"]
        rows = [
            ("recipe", self.recipe["name"]),
            (
                "parameters",
                f"{total:,}" + ("" if total == self.trained else f", {self.trained:,} of them trained"),
            ),
            *((f"  {name}", f"{count:,}") for name, count in self.parameters.items()),
            ("data", f"{self.samples:,} samples, each seen {self.epochs:.3g} times"),
            ("updates", f"{steps:,} of {batch:,} samples"),
            ("FLOPs a sample", f"{self.flops_per_sample:.3g}"),
            (
                "speed here",
                f"{self.samples_per_second:.3g} samples/s on {self.device}, {self.threads} threads",
            ),
            ("time", clock(self.seconds)),
            ("memory", f"{self.memory_bytes / 2**20:,.0f} MiB at the peak"),
            ("checkpoint", f"{self.checkpoint_bytes / 2**20:,.1f} MiB, the last {self.recipe['keep']} kept"),
        ]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def plan(recipe: Recipe, task: Task, source: Source) -> Plan:
    """Measure a micro-batch or three with the recipe's optimizer. The task's weights are as before
    afterwards.
    """
    device = start_accelerator().device
    split = Split(recipe.batch // Split(recipe.batch, recipe.accumulate).accumulate)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        task.prepare(source, generator(recipe.seed, "prepare"))
        place(task, device)
        task.net.train()
        before = {name: value.clone() for name, value in task.net.state_dict().items()}
        examples = Examples(source, task, recipe.seed)
        with contextlib.closing(load(examples, split, 0, 1 + TIMED, recipe.workers)) as micros:
            flops, update_seconds, stored = _measure(recipe, task, split, micros, device)
        task.net.load_state_dict(before)
        task.net.zero_grad(set_to_none=True)
    speed = recipe.batch / update_seconds
    weights = sum(value.nbytes for value in before.values())
    averaged = sum(p.nbytes for p in task.net.parameters() if p.requires_grad) if recipe.ema else 0
    return Plan(
        recipe=to_json(recipe),
        parameters=parameters(task.net),
        trained=sum(p.numel() for p in task.net.parameters() if p.requires_grad),
        samples=len(source),
        epochs=recipe.steps * recipe.batch / len(source),
        flops_per_sample=flops // split.micro,
        samples_per_second=speed,
        seconds=recipe.steps * update_seconds,
        memory_bytes=peak_memory(device),
        checkpoint_bytes=weights + averaged + stored,
        device=str(device),
        threads=torch.get_num_threads(),
    )


def show(plan: Plan) -> None:
    """Print a plan's text on the terminal."""
    from rich.console import Console

    Console().print(plan.text(), highlight=False, markup=False, soft_wrap=True)


def parameters(net: nn.Module) -> dict[str, int]:
    """Parameters of each direct child of the network, and "own" for its own; a shared one counts once."""
    counts: dict[str, int] = {}
    for name, p in net.named_parameters():
        part = name.split(".")[0] if "." in name else "own"
        counts[part] = counts.get(part, 0) + p.numel()
    return counts


def peak_memory(device: torch.device) -> int:
    """Bytes at the peak so far: resident in this process, or allocated on a CUDA device. 0 where nobody
    counts.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS says bytes, Linux KiB


def _measure(
    recipe: Recipe, task: Task, split: Split, micros: Any, device: torch.device
) -> tuple[int, float, int]:
    """FLOPs of a micro-batch, seconds of an update (all its micro-batches), bytes of optimizer state."""
    optimizers = build_optimizers(recipe.optim, task.net)
    # the CPU's fused attention is unknown to the counter, its plain form is not
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        _backward(recipe, task, next(micros), device)
    optimizers.step(1.0)
    _wait(device)
    start = time.perf_counter()
    for micro in micros:
        _backward(recipe, task, micro, device)
    _wait(device)
    backward = (time.perf_counter() - start) / TIMED
    start = time.perf_counter()
    optimizers.step(1.0)
    _wait(device)
    passes = recipe.accumulate * (2 if recipe.optim.sam > 0 else 1)
    seconds = backward * passes + time.perf_counter() - start
    return counter.get_total_flops(), seconds, sum(value.nbytes for value in optimizers.state().values())


def _backward(recipe: Recipe, task: Task, micro: Micro, device: torch.device) -> None:
    data = {name: value.to(device) for name, value in micro.data.items()}
    rng = SeedBatch([mix(recipe.seed, "plan", position) for position in micro.positions], device)
    batch = Batch(data, micro.indices, 0, task.counts(micro.data))
    with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
        loss, _ = task.loss(batch, rng)
    loss.backward()


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
