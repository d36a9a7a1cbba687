"""The one training loop. It knows Task and Source, never a system.

An update is a function of the weights, the optimizer's state, the recipe and the update's number: every
random draw is keyed by (seed, step, position in the batch), every loss is a share of the mean over the whole
batch. Hence one process or two, one micro-batch or four, killed and resumed or not, give the same run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from armchair.core.bundle import Bundle, save_bundle
from armchair.core.config import to_json
from armchair.core.errors import TrainingError
from armchair.core.rng import SeedBatch, generator, mix
from armchair.core.task import Batch, Source, Task
from armchair.train import checkpoint
from armchair.train.checkpoint import Checkpoint, State
from armchair.train.ema import EMA
from armchair.train.folder import RunFolder, describe_source, saved
from armchair.train.halt import finite, halt
from armchair.train.loader import Examples, Micro, Split, load
from armchair.train.metrics import Metrics
from armchair.train.optim import Optimizers, ascended, build_optimizers, stored
from armchair.train.plan import plan, show
from armchair.train.processes import agree, place, start_accelerator, sum_up
from armchair.train.recipe import Recipe

if TYPE_CHECKING:
    from accelerate import Accelerator

PREVIEWS = 16  # seeds of a preview sheet, the same all through a run


def run(
    recipe: Recipe,
    *,
    source: Source,
    task: Task,
    out: str | Path,
    using: Mapping[str, Bundle] | None = None,
    resume: bool = False,
    dry_run: bool = False,
    progress: bool = True,
    held_out: Source | None = None,
) -> Path:
    """Train `task` on `source` as the recipe says, in the folder `out`, and write its bundle; returns `out`.

    using: the earlier stages that the task was built with; recipe.json names them, and a resumed run must
    have the same. resume: go on from the newest good checkpoint in `out`; at once done where the run is
    finished.
    dry_run: print the plan and write nothing.  held_out: samples for `task.evaluate`; None: `source`.
    Started by torchrun, the processes share each batch. Raises BadInput for a folder that holds another run
    or a batch that cannot be split, TrainingError for a loss or gradient that is not finite or a damaged
    checkpoint.
    """
    folder, accelerator = RunFolder(Path(out)), start_accelerator()
    if dry_run:
        planned = plan(recipe, task, source)
        if accelerator.is_main_process:
            show(planned)
        return folder.path
    main, device = accelerator.is_main_process, accelerator.device
    split = Split(recipe.batch, recipe.accumulate, accelerator.num_processes, accelerator.process_index)
    with contextlib.ExitStack() as stack:
        if main:
            stack.enter_context(folder.lock())
            folder.begin(recipe, source, {} if using is None else using, resume)
        found = agree(accelerator, checkpoint.resume_point(folder.checkpoints) if main else None)
        if found is not None and int(found.name) >= recipe.steps and (folder.bundle / "bundle.json").exists():
            return folder.path

        stack.enter_context(torch.random.fork_rng(devices=[device] if device.type == "cuda" else []))
        task.prepare(source, generator(recipe.seed, "prepare"))
        place(task, device)
        optimizers = build_optimizers(recipe.optim, task.net)
        ema = EMA(task.net, recipe.ema)
        state = State(step=0, samples_seen=0)
        if found is not None:
            state = _restore(checkpoint.load(found), task, optimizers, ema)
        shell = Shell(task, recipe.precision)
        model = accelerator.prepare_model(shell)
        trained = [p for p in task.net.parameters() if p.requires_grad]
        micros = load(Examples(source, task, recipe.seed), split, state.step, recipe.steps, recipe.workers)
        stack.enter_context(contextlib.closing(micros))
        metrics: Metrics | None = None
        if main:
            shown = Metrics(folder, state.step, steps=recipe.steps, batch=recipe.batch, progress=progress)
            metrics = stack.enter_context(contextlib.closing(shown))

        task.net.train()
        for step in range(state.step, recipe.steps):
            parts = list(islice(micros, recipe.accumulate))
            totals = sum_up(accelerator, (task.counts(part.data) for part in parts))
            batches = [_batch(part, step, totals, recipe.seed, device) for part in parts]
            with contextlib.ExitStack() as moved:
                if recipe.rounding is not None:
                    moved.enter_context(stored(trained, recipe.rounding))
                if recipe.optim.sam > 0:  # each process by its own examples (arXiv:2204.06125, appendix C)
                    _gradients(accelerator, model, batches, device, together=False)
                    moved.enter_context(ascended(trained, recipe.optim.sam))
                shares = _gradients(accelerator, model, batches, device)
            logged = sum_up(accelerator, shares)
            norm = torch.nn.utils.get_total_norm([p.grad for p in trained if p.grad is not None])
            logged["grad_norm"] = norm.item()
            if not finite(logged["loss"], logged["grad_norm"]):
                halt(shell, task.net, batches, shares, logged, folder.checkpoints, device)
            if recipe.clip > 0:
                torch.nn.utils.clip_grads_with_norm_(trained, recipe.clip, norm)
            scale = recipe.schedule.scale(step, recipe.steps)
            optimizers.step(scale)
            optimizers.zero_grad()
            ema.update(step)

            done = step + 1
            state = State(step=done, samples_seen=done * recipe.batch, scores=state.scores)
            end = done == recipe.steps
            if metrics is not None:
                metrics.update(done, {**logged, "lr": recipe.optim.lr * scale})
                if recipe.preview_every and (end or done % recipe.preview_every == 0):
                    _preview(task, ema, metrics, done, recipe, device)
                if recipe.evaluate_every and (end or done % recipe.evaluate_every == 0):
                    scores = _evaluate(task, ema, source if held_out is None else held_out, recipe)
                    metrics.scores(done, scores)
                    state = State(step=done, samples_seen=state.samples_seen, scores=scores)
                if end or done % recipe.checkpoint_every == 0:
                    metrics.sync()
                    kept = Checkpoint(state, task.net.state_dict(), ema.state(), optimizers.state())
                    checkpoint.save(folder.checkpoints, kept, recipe.keep)

        if main:
            with _resting(task, ema):
                write_bundle(folder.bundle, task, to_json(recipe), describe_source(source), state)
        accelerator.wait_for_everyone()
    return folder.path


def export(run_folder: str | Path, out: str | Path, *, task: Task, source: Source) -> Path:
    """Make a bundle at `out` from the newest good checkpoint of a run, finished or not; returns `out`.

    task: built from the run's recipe; it takes the averaged weights and keeps them. source: the run's, since
    a task may need it to fit its tokenizer again. Raises BadInput for a folder that holds no run or a bundle
    that exists, TrainingError where there is no good checkpoint.
    """
    folder = RunFolder(Path(run_folder))
    recipe = saved(folder.path)
    found = checkpoint.newest_good(folder.checkpoints)
    if found is None:
        raise TrainingError(f"{folder.path} has no good checkpoint yet; go on with --resume until it has one")
    kept = checkpoint.load(found)
    task.prepare(source, generator(recipe["seed"], "prepare"))
    _load_weights(task.net, {**kept.model, **kept.ema})
    task.net.eval()
    description = recipe.pop("source")
    recipe.pop("using", None)
    with torch.no_grad():
        write_bundle(Path(out), task, recipe, description, kept.state, replace=False)
    return Path(out)


def write_bundle(
    path: Path,
    task: Task,
    recipe: Mapping[str, Any],
    data: Mapping[str, Any],
    state: State,
    *,
    replace: bool = True,
) -> None:
    """Write the task's components, with the weights that it holds now, as a bundle."""
    enough = recipe["enough"] if recipe["enough"] > 0 else recipe["steps"] * recipe["batch"]
    trained = {
        "recipe": recipe,
        "data": data,
        "samples_seen": state.samples_seen,
        "enough": enough,
        "steps": state.step,
    }
    save_bundle(
        path,
        kind=task.bundle_kind,
        name=recipe["name"],
        components=task.components(),
        languages=list(task.languages),
        licence=recipe["licence"],
        trained=trained,
        scores=state.scores,
        golden=task.golden(),
        defaults=task.defaults,
        replace=replace,
    )


class Shell(nn.Module):
    """The network behind a forward that computes the loss, so that DDP's hooks see every backward pass."""

    def __init__(self, task: Task, precision: str):
        super().__init__()
        self.net = task.net
        self.task = task
        self.precision = precision

    def forward(self, batch: Batch, rng: SeedBatch) -> tuple[Tensor, Mapping[str, float | Tensor]]:
        """-> () float32 this micro-batch's share of the mean, and numbers to log without a graph"""
        low = self.precision == "bfloat16"
        with torch.autocast(rng.device.type, torch.bfloat16, enabled=low):
            loss, numbers = self.task.loss(batch, rng)
        return loss.float(), {k: v.detach() if isinstance(v, Tensor) else v for k, v in numbers.items()}


def _gradients(
    accelerator: Accelerator,
    model: nn.Module,
    batches: Sequence[tuple[Batch, list[int]]],
    device: torch.device,
    *,
    together: bool = True,
) -> list[Mapping[str, float | Tensor]]:
    """Add up the gradients of an update's micro-batches, over the processes as well where they go `together`;
    each one's share of the numbers to log.
    """
    shares: list[Mapping[str, float | Tensor]] = []
    for batch, seeds in batches:
        last = together and len(shares) + 1 == len(batches)
        with contextlib.nullcontext() if last else accelerator.no_sync(model):
            torch.manual_seed(seeds[0])  # what a library draws unasked is keyed as well
            loss, numbers = model(batch, SeedBatch(seeds, device))
            accelerator.backward(loss * accelerator.num_processes)  # DDP divides by their number
            shares.append({**numbers, "loss": loss.detach()})
    return shares


def _batch(
    part: Micro, step: int, totals: Mapping[str, float], seed: int, device: torch.device
) -> tuple[Batch, list[int]]:
    """A micro-batch on the device, and the seeds of its examples' generators."""
    data = {name: value.to(device, non_blocking=True) for name, value in part.data.items()}
    # a position of the run is (step, place in the batch)
    return Batch(data, part.indices, step, totals), [
        mix(seed, "loss", position) for position in part.positions
    ]


def _restore(kept: Checkpoint, task: Task, optimizers: Optimizers, ema: EMA) -> State:
    _load_weights(task.net, kept.model)
    optimizers.load(kept.optimizer)
    ema.load(kept.ema)
    return kept.state


def _load_weights(net: nn.Module, weights: Mapping[str, Tensor]) -> None:
    here = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    there = {name: tuple(value.shape) for name, value in weights.items()}
    for name in [*here, *there]:
        if here.get(name) != there.get(name):
            raise TrainingError(
                f"the checkpoint does not fit this network: {name} is {there.get(name, 'none')} there, "
                f"{here.get(name, 'none')} here; use the recipe that it was made with"
            )
    net.load_state_dict(weights)


@contextlib.contextmanager
def _resting(task: Task, ema: EMA, rounding: str | None = None) -> Iterator[None]:
    """The averaged weights, in evaluation mode and without a graph; rounding: as it rounds them, since those
    that learned rounded are not good otherwise.
    """
    task.net.eval()
    with contextlib.ExitStack() as moved:
        moved.enter_context(ema.applied())
        moved.enter_context(torch.no_grad())
        if rounding is not None:
            trained = [p for p in task.net.parameters() if p.requires_grad]
            moved.enter_context(stored(trained, rounding))
        yield
    task.net.train()


def _preview(task: Task, ema: EMA, metrics: Metrics, step: int, recipe: Recipe, device: torch.device) -> None:
    # as a person would type them
    seeds = [mix(recipe.seed, "preview", index) % 2**31 for index in range(PREVIEWS)]
    with _resting(task, ema, recipe.rounding):
        image = task.preview(SeedBatch(seeds, device))
    if image is not None:
        metrics.preview(step, image)


def _evaluate(task: Task, ema: EMA, source: Source, recipe: Recipe) -> dict[str, float]:
    with _resting(task, ema, recipe.rounding):
        found = task.evaluate(source, recipe.evaluate_samples)
    return {name: float(value) for name, value in found.items()}
