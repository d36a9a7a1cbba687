"""Checkpoints: a folder each, complete or absent, checked before use, of which a good one always remains.

    checkpoints/00000010/model.safetensors        weights and buffers after 10 updates
                         ema.safetensors          averaged weights; absent at decay 0
                         optimizer.safetensors    the optimizer's tensors, "KIND/PARAMETER"
                         state.json               step, samples seen, last scores
                         manifest.json            size and sha256 of the others; written last

No generator's state is stored: every draw is keyed by (seed, step, position), so the step is the whole of it.
"""

from __future__ import annotations

import errno
import json
import logging
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from armchair.core.config import from_json, to_json
from armchair.core.errors import ArmchairError, TrainingError
from armchair.core.files import dump_json, new_folder, sha256, temp_name

log = logging.getLogger("armchair")

FORMAT = 1
MANIFEST = "manifest.json"
STATE = "state.json"
PARTS = ("model", "ema", "optimizer")


@dataclass(frozen=True, kw_only=True)
class State:
    """Where a run stands, besides its tensors."""

    step: int  # updates done
    samples_seen: int
    scores: dict[str, float] = field(default_factory=dict[str, float])  # of the last evaluation


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds, on the CPU."""

    state: State
    model: dict[str, Tensor]
    ema: dict[str, Tensor]
    optimizer: dict[str, Tensor]


def save(folder: Path, checkpoint: Checkpoint, keep: int) -> Path:
    """Write `folder`/STEP durably, read it back, then remove all others but the newest `keep - 1` good ones
    before it.

    A folder of that step, or of a later one, can only be a damaged one that the run went on from before: it
    goes too. Raises TrainingError for a tensor with a non-finite value, ArmchairError for a full disk; older
    checkpoints stay.
    """
    tensors = {"model": checkpoint.model, "ema": checkpoint.ema, "optimizer": checkpoint.optimizer}
    _refuse_non_finite(tensors, checkpoint.state.step)
    path = folder / f"{checkpoint.state.step:08d}"
    with new_folder(path, replace=True) as temp:
        for part in PARTS:
            if tensors[part]:
                _write_tensors(temp / f"{part}.safetensors", tensors[part])
        (temp / STATE).write_bytes(dump_json(to_json(checkpoint.state)))
        files = {p.name: {"bytes": p.stat().st_size, "sha256": sha256(p)} for p in sorted(temp.iterdir())}
        (temp / MANIFEST).write_bytes(
            dump_json({"format": FORMAT, "step": checkpoint.state.step, "files": files})
        )
    reason = problem(path)
    if reason is not None:
        raise TrainingError(
            f"checkpoint {path} did not survive being written ({reason}); older ones are untouched"
        )
    _prune(folder, path, keep)
    return path


def load(path: Path) -> Checkpoint:
    """Read a checkpoint. Raises TrainingError naming the file that is missing or damaged."""
    reason = problem(path)
    if reason is not None:
        raise TrainingError(f"checkpoint {path} is damaged: {reason}")
    state = from_json(State, json.loads((path / STATE).read_bytes()), str(path / STATE))
    return Checkpoint(state, *(_read_tensors(path / f"{part}.safetensors") for part in PARTS))


def newest_good(folder: Path) -> Path | None:
    """The newest checkpoint that passes its hashes, or None. Warns of each newer one that does not."""
    for path in reversed(_steps(folder)):
        reason = problem(path)
        if reason is None:
            return path
        log.warning("checkpoint %s is damaged and skipped: %s", path, reason)
    return None


def resume_point(folder: Path) -> Path | None:
    """The checkpoint to go on from; None where there is none yet. Raises TrainingError where none is good."""
    found = newest_good(folder)
    if found is None and _steps(folder):
        raise TrainingError(f"no checkpoint in {folder} is good any more; start again with another --out")
    return found


def problem(path: Path, *, hashes: bool = True) -> str | None:
    """What is wrong with a checkpoint, or None. hashes: read every byte, and not only the sizes."""
    try:
        manifest: Any = json.loads((path / MANIFEST).read_bytes())
        if manifest["format"] != FORMAT:
            return f"{MANIFEST} has format {manifest['format']}, not {FORMAT}"
        files: Mapping[str, Mapping[str, Any]] = manifest["files"]
        for name, entry in files.items():
            size = (path / name).stat().st_size
            if size != entry["bytes"]:
                return f"{name} has {size:,} bytes, not {entry['bytes']:,}"
            if hashes and sha256(path / name) != entry["sha256"]:
                return f"{name} does not have the sha256 of {MANIFEST}"
        needed = {STATE, "model.safetensors"} - set(files)
        return f"{min(needed)} is not in {MANIFEST}" if needed else None
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{MANIFEST} is not what was written"


def clean(folder: Path) -> None:
    """Remove what an interrupted write or removal has left behind."""
    for left in folder.glob(".*.partial-*"):
        shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)


def _steps(folder: Path) -> list[Path]:
    """The checkpoints' folders, oldest first, whether good or not."""
    if not folder.is_dir():
        return []
    return sorted((p for p in folder.iterdir() if re.fullmatch(r"\d{8,}", p.name)), key=lambda p: int(p.name))


def _prune(folder: Path, newest: Path, keep: int) -> None:
    """Keep `newest`, which was read back and is good, and the `keep - 1` whole ones before it."""
    before = [
        p for p in _steps(folder) if int(p.name) < int(newest.name) and problem(p, hashes=False) is None
    ]
    kept = {newest, *before[max(0, len(before) - keep + 1) :]}
    for path in _steps(folder):
        if path not in kept:
            gone = temp_name(path)
            path.rename(gone)  # in one go, so that a crash leaves no half of a checkpoint under its name
            shutil.rmtree(gone)


def _refuse_non_finite(tensors: Mapping[str, Mapping[str, Tensor]], step: int) -> None:
    for part, table in tensors.items():
        for name, tensor in table.items():
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                raise TrainingError(
                    f"step {step}: {name} ({part}) holds a value that is not finite; nothing was saved. "
                    "Lower the learning rate, then go on from the last checkpoint with --resume"
                )


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file(_apart(tensors), path)
    except SafetensorError as error:  # a full disk, said in its own way: "... (os error 28)"
        code = re.search(r"os error (\d+)", str(error))
        if code is None:
            raise ArmchairError(f"cannot save {path.name}: {error}") from error
        raise OSError(int(code[1]), errno.errorcode.get(int(code[1]), str(error)), str(path)) from error


def _read_tensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(path) if path.exists() else {}


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """On the CPU, contiguous, and no two sharing memory (tied weights), which safetensors refuses."""
    seen: set[int] = set()
    out: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        there = tensor.detach().cpu().contiguous()
        place = there.untyped_storage().data_ptr()
        out[name] = (
            there.clone() if place in seen or there.untyped_storage().nbytes() != there.nbytes else there
        )
        seen.add(place)
    return out
