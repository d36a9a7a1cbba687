"""Repositories of the Hugging Face hub, at one revision, from its cache or its server."""

from __future__ import annotations

import importlib
import logging
import os
import re
from pathlib import Path
from typing import Any

from armchair.core.errors import ArmchairError, BadInput, MissingDependency
from armchair.core.logs import silenced
from armchair.data.world.packages import cache_folder

FORM = "hub:owner/name@revision, the revision as 40 hex digits"
WANTED = ["*.json", "*.txt", "*.md", "LICENSE*", "*.safetensors", "*.model"]
TORCH = ["*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt", "*.th"]  # where a repository has no safetensors
UNWANTED = ["*.fp16.*", "*.non_ema.*", "*flax*", "*onnx*", "*openvino*", "safety_checker/*"]


def parse(text: str, offline: bool = False) -> tuple[str, str]:
    """ "hub:owner/name@REVISION" -> ("owner/name", REVISION). Raises BadInput: a branch moves, so the message
    says which revision it stands at.
    """
    name, at, revision = text.removeprefix("hub:").partition("@")
    if not text.startswith("hub:") or re.fullmatch(r"[\w.-]+/[\w.-]+", name) is None:
        raise BadInput(f"{text!r} is not {FORM}")
    if re.fullmatch(r"[0-9a-f]{40}", revision):
        return name, revision
    branch = revision if at else "main"
    now = _stands_at(name, branch, offline)
    pin = (
        "pin its revision, 40 hex digits on its page under Files, History"
        if now is None
        else f"pin hub:{name}@{now}"
    )
    raise BadInput(f"{branch} of {name} may move, so that the same command brings other weights: {pin}")


def fetch(name: str, revision: str, offline: bool = False) -> Path:
    """The folder of a repository's files in the hub's cache, downloaded where they are not there; without a
    network, what is there. Raises ArmchairError: not there, a download that ends early, a licence that asks
    for acceptance.
    """
    hub = _hub()
    errors: Any = importlib.import_module("huggingface_hub.errors")
    network: Any = errors.HfHubHTTPError.__bases__[0]  # of the client that the hub's library is built on
    offline = offline or bool(hub.constants.HF_HUB_OFFLINE)
    why = "and nothing may be fetched offline"
    try:
        patterns = [*WANTED, *TORCH]
        if not offline:
            try:
                names = [file.rfilename for file in hub.HfApi().model_info(name, revision=revision).siblings]
                patterns = WANTED if any(file.endswith(".safetensors") for file in names) else patterns
            except network as error:
                if isinstance(error, errors.HfHubHTTPError):  # the hub answers
                    raise
                offline, why = True, f"and it cannot be fetched: {error}"
        with silenced("huggingface_hub", logging.CRITICAL):  # what ends a download is said in our words
            return Path(
                hub.snapshot_download(
                    name,
                    revision=revision,
                    allow_patterns=patterns,
                    ignore_patterns=UNWANTED,
                    cache_dir=_cache(hub),
                    local_files_only=offline,
                )
            )
    except errors.GatedRepoError as error:
        raise BadInput(
            f"{name} gives its weights to those who accepted its licence: accept it at "
            f"https://huggingface.co/{name}, then sign in with `hf auth login`"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise BadInput(f"{name} has no revision {revision}") from error
    except errors.RepositoryNotFoundError as error:
        raise BadInput(f"the hub has no {name}, or it is private: `hf auth login` signs in") from error
    except (errors.LocalEntryNotFoundError, errors.CachedRepoTreeNotFoundError, OSError, network) as error:
        if not offline:
            why = f"and it cannot be fetched: {' '.join(str(error).split())[:200]}"
        raise ArmchairError(f"{name}@{revision[:12]} is not in the hub's cache, {why}") from error


def lock_file(name: str, revision: str) -> Path:
    """Where the hashes of a repository's files are kept once it was imported."""
    return cache_folder() / "locks" / f"{name.replace('/', '--')}@{revision}.json"


def announced(folder: Path) -> dict[str, str]:
    """The sha256 that the hub gave for its large files: the cache keeps each under it."""
    found: dict[str, str] = {}
    for path in folder.rglob("*"):
        target = path.readlink().name if path.is_symlink() else ""
        if re.fullmatch(r"[0-9a-f]{64}", target):
            found[path.relative_to(folder).as_posix()] = target
    return found


def _stands_at(name: str, branch: str, offline: bool) -> str | None:
    """The revision of a branch, from the server or the cache; None where neither knows."""
    try:
        hub = _hub()
    except MissingDependency:
        return None
    if not offline and not hub.constants.HF_HUB_OFFLINE:
        try:
            return str(hub.HfApi().model_info(name, revision=branch).sha)
        except Exception:  # whatever the network says, the person is told to pin
            return None
    reference = _cache(hub) / f"models--{name.replace('/', '--')}" / "refs" / branch
    return reference.read_text().strip() if reference.is_file() else None


def _cache(hub: Any) -> Path:
    return Path(os.environ.get("HF_HUB_CACHE", str(hub.constants.HF_HUB_CACHE)))


def _hub() -> Any:
    try:
        importlib.import_module("huggingface_hub.constants")  # it does not come with the package by itself
        return importlib.import_module("huggingface_hub")
    except ModuleNotFoundError as error:
        raise MissingDependency("huggingface_hub", "hub") from error
