"""Where weights come from: a folder, a file or a repository of the Hugging Face hub, every file hashed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from armchair.core.errors import BadInput
from armchair.core.files import sha256, write_json
from armchair.core.tensorfile import Lazy, identity, lazy
from armchair.weights.importing.pickled import pickled

TORCH = {".pt", ".pth", ".bin", ".ckpt", ".pkl", ".th"}
POINTER = b"version https://git-lfs.github.com/spec/"  # what git leaves where Git LFS has not run
PARTS = (".incomplete", ".part", ".partial", ".crdownload", ".aria2")  # of downloads that did not end
LICENCES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "COPYING")


@dataclass
class Source:
    """Files by their names in a folder. Every one that is opened is hashed, and must stay as it was."""

    name: str  # as it goes into the bundle: no folder of this machine
    files: Mapping[str, Path]
    revision: str | None = None  # of a repository
    locked: Mapping[str, str] | None = None  # file -> sha256 that it must have, every file that is used
    announced: Mapping[str, str] = field(default_factory=dict[str, str])  # likewise, of some files
    lock: Path | None = None  # where `write_lock` notes what was used
    used: dict[str, str] = field(default_factory=dict[str, str])  # file -> sha256
    _seen: dict[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])

    def has(self, *names: str) -> bool:
        return all(name in self.files for name in names)

    def unfinished(self, start: str) -> str:
        """For a message: the file with this start whose download did not end; empty where there is none."""
        found = next((name for name in self.files if name.startswith(start) and name.endswith(PARTS)), None)
        return "" if found is None else f": {found} was not downloaded to the end"

    def open(self, name: str) -> Path:
        """A file's path, once its hash is taken. Raises BadInput: missing, unfinished, another hash."""
        if name not in self.files:
            raise BadInput(f"{self.name}: {name} is not there{self.unfinished(name)}")
        path = self.files[name]
        if name not in self.used:
            self._seen[name] = identity(path)
            with open(path, "rb") as file:
                if file.read(len(POINTER)) == POINTER:
                    raise BadInput(f"{path} is a Git LFS pointer and not the file: run git lfs pull")
            self.used[name] = sha256(path)
            self._compare(name)
        return path

    def _compare(self, name: str) -> None:
        """Raises BadInput for a file that is not the one that was announced or locked."""
        found = self.used[name]
        for where, hashes in (("hub", self.announced), ("lock file", self.locked)):
            wanted = found if hashes is None else hashes.get(name, found if where == "hub" else None)
            if found != wanted:
                raise BadInput(
                    f"{self.name}: {name} has sha256 {found[:16]}, the {where} says "
                    f"{'nothing of it' if wanted is None else wanted[:16]}: fetch it again"
                )

    def bytes(self, name: str) -> bytes:
        return self.open(name).read_bytes()

    def json(self, name: str) -> dict[str, Any]:
        """A JSON object. Raises BadInput."""
        try:
            data = json.loads(self.bytes(name))
        except ValueError as error:
            raise BadInput(f"{self.name}: {name} is damaged or cut short: {error}") from error
        if not isinstance(data, dict):
            raise BadInput(f"{self.name}: {name} holds no JSON object")
        return cast(dict[str, Any], data)

    def tensors(self, name: str) -> dict[str, Lazy]:
        """A file's tensors: safetensors, a file of torch's, or the index of a sharded one. Raises
        ArmchairError.
        """
        if name.endswith(".index.json"):
            folder = name.rpartition("/")[0]
            shards = sorted(set(self.json(name).get("weight_map", {}).values()))
            found: dict[str, Lazy] = {}
            for shard in shards:
                found |= self.tensors(f"{folder}/{shard}" if folder else shard)
            return found
        path = self.open(name)
        if path.suffix in {".safetensors", *TORCH}:
            found = lazy(path) if path.suffix == ".safetensors" else pickled(path)
            return {key: self._watched(name, tensor) for key, tensor in found.items()}
        raise BadInput(f"{self.name}: {name} is no file of weights: .safetensors, {', '.join(sorted(TORCH))}")

    def weights(self, folder: str, *stems: str) -> dict[str, Lazy]:
        """The tensors of FOLDER/STEM in any format, safetensors before what torch wrote. Raises BadInput."""
        found = self.find_weights(folder, *stems)
        if found is None:
            start = f"{folder}/" if folder else ""
            part = next((part for stem in stems if (part := self.unfinished(start + stem))), "")
            raise BadInput(f"{self.name}: there is no {start}{stems[0]}.safetensors{part}")
        return self.tensors(found)

    def find_weights(self, folder: str, *stems: str) -> str | None:
        """The name of the file that `weights` reads."""
        start = f"{folder}/" if folder else ""
        for ending in (".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json"):
            for stem in stems:
                if f"{start}{stem}{ending}" in self.files:
                    return f"{start}{stem}{ending}"
        return None

    def _watched(self, name: str, tensor: Lazy) -> Lazy:
        """The tensor; reading it raises BadInput where its file was replaced or written to since."""

        def read() -> Tensor:
            value = tensor.read()
            path = self.files[name]
            if not path.exists() or identity(path) != self._seen[name]:
                raise BadInput(f"{self.name}: {name} changed while it was read: try again once it is whole")
            return value

        return replace(tensor, read=read)

    def licence(self) -> str | None:
        """What the folder says: the card's licence, else the first line of its licence file."""
        if "README.md" in self.files:
            card = self.files["README.md"].read_text(encoding="utf-8", errors="replace")
            if card.startswith("---"):
                for line in card.split("---")[1].splitlines():
                    key, colon, value = line.partition(":")
                    if colon and key == "license" and value.strip():
                        return value.strip().strip("\"'")
        for name in LICENCES:
            if name in self.files:
                text = self.files[name].read_text(encoding="utf-8", errors="replace")
                return next((line.strip() for line in text.splitlines() if line.strip()), None)
        return None

    def write_lock(self) -> None:
        """Note the hashes of what was used, where there is no lock yet."""
        if self.lock is not None and self.locked is None:
            write_json(self.lock, dict(sorted(self.used.items())))

    def origin(self) -> dict[str, Any]:
        """Where the weights come from, for bundle.json."""
        return {"source": self.name, "revision": self.revision, "files": dict(sorted(self.used.items()))}


def open_source(text: str, *, lock: Path | None = None, offline: bool = False) -> Source:
    """A folder, a file, or hub:OWNER/NAME@REVISION.

    lock: a JSON file of sha256 by file name; read where it exists. offline: the hub's cache alone.
    Raises BadInput for what is not there, a branch in place of a revision ...
    """
    if text.startswith("hub:"):
        from armchair.weights.importing.hub import announced, fetch, lock_file, parse

        repository, revision = parse(text, offline)
        folder = fetch(repository, revision, offline)
        path = lock_file(repository, revision) if lock is None else lock
        return Source(
            name=f"hub:{repository}",
            files=dict(_files(folder)),
            revision=revision,
            locked=read_lock(path),
            announced=announced(folder),
            lock=path,
        )
    path = Path(text).expanduser()
    locked = None if lock is None else read_lock(lock)
    if path.is_dir():
        return Source(path.resolve().name, dict(_files(path)), locked=locked, lock=lock)
    if path.is_file():
        return Source(path.name, {path.name: path}, locked=locked, lock=lock)
    raise BadInput(f"{text}: no such file or folder, and no hub:owner/name@revision")


def read_lock(path: Path) -> dict[str, str] | None:
    """A lock file's hashes; None where there is no such file. Raises BadInput."""
    if not path.exists():
        return None
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BadInput(f"the lock file {path} cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise BadInput(f"the lock file {path} is no object of sha256 by file name")
    return {str(name): str(value) for name, value in cast(dict[Any, Any], data).items()}


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file of a folder by its name in it, hidden ones left out."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in inside.parts):
            yield inside.as_posix(), path
