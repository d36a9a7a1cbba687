"""The folder of a run: what may start or go on in it, and how its parts are named.

recipe.json metrics.jsonl tb/ previews/STEP.png checkpoints/STEP/ bundle/        STEP eight digits, updates
done
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from armchair.core.bundle import Bundle
from armchair.core.config import fill, to_json
from armchair.core.errors import BadInput, TrainingError
from armchair.core.files import write_json
from armchair.core.task import Source
from armchair.train import checkpoint
from armchair.train.recipe import Recipe

PATIENCE = 10.0  # seconds; the workers of a killed run hold its lock for some seconds longer
# what a checkpoint's weights and the order of the data depend on; all else may change on resume (--set with
# --resume)
FIXED = ("name", "task", "batch", "seed", "optim.name")


class RunFolder:
    """Paths of a run, and the rules for starting and going on."""

    def __init__(self, path: Path):
        self.path = path
        self.recipe = path / "recipe.json"
        self.metrics = path / "metrics.jsonl"
        self.tensorboard = path / "tb"
        self.previews = path / "previews"
        self.checkpoints = path / "checkpoints"
        self.bundle = path / "bundle"

    def preview(self, step: int) -> Path:
        return self.previews / f"{step:08d}.png"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Make the folder and hold it: two processes in one run would ruin it. Raises TrainingError when it
        is held.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        if os.name == "nt":  # neither flock nor folders that can be opened
            yield
            return
        handle = os.open(self.path, os.O_RDONLY)
        try:
            _hold(handle, self.path)
            yield
        finally:
            os.close(handle)

    def begin(self, recipe: Recipe, source: Source, using: Mapping[str, Bundle], resume: bool) -> None:
        """Check that this run may start, or go on, here; then write recipe.json.

        Raises BadInput where a run is here and `resume` was not asked for, or where it is another run.
        """
        now = describe(recipe, source, using)
        if self.recipe.exists() or self.checkpoints.exists():
            if not resume:
                raise BadInput(f"{self.path} holds a run already; go on with --resume, or name another --out")
            if self.recipe.exists():  # a field that recipes did not have then is as it is now
                then = {**saved(self.path), **to_json(saved_recipe(recipe, self.path))}
                _refuse_another(then, now, self.path)
        for folder in (self.path, self.checkpoints, self.previews):
            checkpoint.clean(folder)
        write_json(self.recipe, now)


def _hold(handle: int, path: Path) -> None:
    """Take the lock of an open folder."""
    import fcntl

    until = time.monotonic() + PATIENCE
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise TrainingError(
                    f"another process is training in {path}; wait for it, or end it"
                ) from None
            time.sleep(0.1)


def describe(recipe: Recipe, source: Source, using: Mapping[str, Bundle]) -> dict[str, Any]:
    """recipe.json: the recipe with every field, what the data was, and which bundles of earlier stages."""
    stages = {
        stage: {"bundle": bundle.name, "folder": str(bundle.folder), "sha256": bundle.digest}
        for stage, bundle in using.items()
    }
    return {**to_json(recipe), "source": describe_source(source), "using": stages}


def describe_source(source: Source) -> dict[str, Any]:
    """What the data was, for recipe.json and the bundle."""
    return {**source.describe(), "samples": len(source)}


def saved(folder: Path) -> dict[str, Any]:
    """The recipe.json of a run folder. Raises BadInput where there is none."""
    path = folder / "recipe.json"
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise BadInput(f"{folder} holds no run: {path.name} is missing") from None
    except ValueError as error:
        raise BadInput(f"{path} is damaged: {error}") from error
    if not isinstance(data, dict) or "name" not in data:
        raise BadInput(f"{path} is not a recipe: it has no name")
    return data


def saved_recipe(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe as a run folder holds it, with what --set changed when it began. recipe: the same by name,
    as it comes.

    For --resume: what was set then need not be said again. Raises BadInput for another recipe's folder.
    """
    data = saved(folder)
    if data["name"] != recipe.name:
        raise BadInput(f"{folder} holds a run of {data['name']}, not of {recipe.name}")
    fields = {key: value for key, value in data.items() if key not in ("source", "using")}
    return fill(recipe, fields, str(folder / "recipe.json"))


def saved_using(folder: Path) -> dict[str, dict[str, str]]:
    """The earlier stages of a run: stage -> the bundle's name, folder and sha256, as they were."""
    return saved(folder).get("using", {})


def _refuse_another(then: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    """A resumed run is the same run: same network, same data order."""
    for name in FIXED:
        old, new = _at(then, name), _at(now, name)
        if isinstance(old, dict) and isinstance(new, dict):
            name, old, new = _first_difference(name, old, new)
        if old != new:
            raise BadInput(
                f"{folder} holds a run with {name}={json.dumps(old)}, now it is {json.dumps(new)}; "
                "resume with the old value, or start again with another --out"
            )
    if (then.get("ema") == 0) != (now["ema"] == 0):
        raise BadInput(
            f"{folder} holds a run with ema={then.get('ema')}; it cannot be turned on or off on the way"
        )
    for stage, bundle in then.get("using", {}).items():
        old, new = bundle["sha256"], _at(now, f"using.{stage}.sha256")
        if old != new:
            raise BadInput(
                f"{folder} was trained with {stage}={bundle['folder']} ({old[:12]}), now it is "
                f"{'no bundle' if new is None else new[:12]}; name the old one with --using {stage}=BUNDLE, "
                "or start again with another --out"
            )
    old, new = _at(then, "source.samples"), _at(now, "source.samples")
    if old != new:
        raise BadInput(
            f"{folder} was trained on {old:,} samples and the data has {new:,} now, in another order then; "
            "bring the old data back, or start again with another --out and --init"
        )


def _at(data: Mapping[str, Any], path: str) -> Any:
    value: Any = data
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _first_difference(name: str, old: dict[str, Any], new: dict[str, Any]) -> tuple[str, Any, Any]:
    for key in sorted({*old, *new}):
        a, b = old.get(key), new.get(key)
        if a != b:
            if isinstance(a, dict) and isinstance(b, dict):
                return _first_difference(f"{name}.{key}", a, b)
            return f"{name}.{key}", a, b
    return name, old, new
