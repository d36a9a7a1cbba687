"""The bundle: a folder with bundle.json and one safetensors file a component, and nothing else needed to
load it.

Knows no system. Every file is checked against its sha256 before a byte of it is used. Never pickle.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from armchair.core.config import from_json, to_json
from armchair.core.errors import BadInput, BundleError, nearest
from armchair.core.files import dump_json, new_folder

if TYPE_CHECKING:
    import torch
    from PIL import Image
    from torch import Tensor

    from armchair.core.packing import Prepare
    from armchair.core.tensorfile import Lazy, Mapped

FORMAT = 1
MANIFEST = "bundle.json"
SHIPPED = Path(__file__).resolve().parents[1] / "bundles"  # src/armchair/bundles/NAME/
MIGRATIONS: dict[
    int, Callable[[dict[str, Any]], dict[str, Any]]
] = {}  # from format N to N + 1, one function each


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    path: str  # inside the bundle's folder
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class ComponentEntry:
    """A component as bundle.json lists it."""

    config: dict[str, Any]
    storage: str  # float32, float16, bfloat16, int8, int6, mixed or file
    files: list[FileEntry]
    tensors: dict[str, list[int]] = field(default_factory=dict[str, list[int]])  # name -> shape once unpacked


@dataclass(frozen=True, kw_only=True)
class SharedEntry:
    """A component that lies in another bundle, beside this one or among the shipped."""

    bundle: str
    component: str
    sha256: str  # of the component's files


@dataclass(frozen=True, kw_only=True)
class Golden:
    """A picture that this bundle drew when it was made: `verify` draws it again."""

    prompt: str
    seed: int
    file: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """bundle.json."""

    format: int
    kind: str  # what can load it: weights.kinds
    name: str
    components: dict[str, Any]  # ComponentEntry or SharedEntry
    languages: list[str]
    licence: str
    trained: dict[str, Any]  # recipe, data, samples_seen, enough, steps ...
    scores: dict[str, Any]
    golden: Golden | None = None
    defaults: dict[str, Any] = field(default_factory=dict[str, Any])  # drawing options where none is given


@dataclass(frozen=True, kw_only=True)
class Component:
    """A component to be saved: tensors in a storage, or the bytes of an opaque file (storage "file")."""

    config: dict[str, Any]
    tensors: Mapping[str, Tensor] | None = None
    storage: str = "float16"
    file: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class Streamed:
    """A component to be saved with one tensor in memory at a time, each in the type that it has."""

    config: dict[str, Any]
    tensors: Mapping[str, Lazy]


@dataclass(frozen=True, kw_only=True)
class Shared:
    """A component to be saved as a pointer into another bundle, which must be there when this one is
    opened.
    """

    bundle: str
    component: str
    sha256: str


def save_bundle(
    folder: str | Path,
    *,
    kind: str,
    name: str,
    components: Mapping[str, Component | Streamed | Shared],
    languages: Iterable[str],
    licence: str,
    trained: Mapping[str, Any],
    scores: Mapping[str, Any],
    golden: tuple[str, int, Image.Image] | None = None,
    defaults: Mapping[str, Any] | None = None,
    replace: bool = False,
) -> Bundle:
    """Write a bundle atomically: it appears whole or not at all.

    golden: (prompt, seed, picture).  defaults: drawing options.  replace: an old bundle at `folder` gives
    way once the new one is on disk.
    Raises BadInput where the folder exists, BundleError for values that the storage cannot hold,
    ArmchairError for a full disk.
    """
    with new_folder(folder, replace=replace) as temp:
        entries = {key: _save_component(temp, key, value) for key, value in components.items()}
        shown: Golden | None = None
        if golden is not None:
            prompt, seed, image = golden
            buffer = io.BytesIO()
            image.convert("RGB").save(buffer, format="PNG")
            (temp / "golden.png").write_bytes(buffer.getvalue())
            shown = Golden(prompt=prompt, seed=seed, file="golden.png", sha256=_hash(buffer.getvalue()))
        manifest = Manifest(
            format=FORMAT,
            kind=kind,
            name=name,
            components=entries,
            languages=list(languages),
            licence=licence,
            trained=dict(trained),
            scores=dict(scores),
            golden=shown,
            defaults={} if defaults is None else dict(defaults),
        )
        (temp / MANIFEST).write_bytes(dump_json(to_json(manifest)))
    return Bundle.open(folder)


@dataclass(frozen=True)
class Bundle:
    """An opened bundle. Its files are read, and checked, when they are asked for."""

    folder: Path
    manifest: Manifest
    digest: str  # sha256 of bundle.json, which holds the sha256 of all else

    @classmethod
    def open(cls, folder: str | Path) -> Bundle:
        """Read bundle.json. Raises BundleError naming the file and the field: missing, cut short, another
        format...
        """
        folder = Path(folder)
        path = folder / MANIFEST
        try:
            text = path.read_bytes()
        except OSError as error:
            reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
            raise BundleError(f"{path}: {reason}; a bundle is a folder with a {MANIFEST}") from error
        try:
            data = json.loads(text)
        except ValueError as error:
            raise BundleError(f"{path} is damaged or cut short: {error}") from error
        if not isinstance(data, dict):
            raise BundleError(f"{path} is damaged: it holds no JSON object")
        return cls(folder, _parse(migrate(cast(dict[str, Any], data), path), path), _hash(text))

    @property
    def kind(self) -> str:
        return self.manifest.kind

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def components(self) -> dict[str, ComponentEntry | SharedEntry]:
        return self.manifest.components

    @property
    def trained(self) -> dict[str, Any]:
        return self.manifest.trained

    def entry(self, name: str) -> ComponentEntry | SharedEntry:
        """A component's line in bundle.json. Raises BundleError for one it has not."""
        if name not in self.components:
            hint = nearest(name, self.components)
            raise BundleError(
                f"{self.folder}: no component {name!r} in a {self.kind} bundle.{hint} "
                f"It has {', '.join(self.components)}"
            )
        return self.components[name]

    def home(self, name: str) -> tuple[Bundle, str, ComponentEntry]:
        """Where a component really lies: this bundle, or the one that it is shared from (checked by its
        sha256).
        """
        entry = self.entry(name)
        if isinstance(entry, ComponentEntry):
            return self, name, entry
        other = self._sibling(entry, name)
        there = other.entry(entry.component)
        if isinstance(there, SharedEntry):
            raise BundleError(
                f"{other.folder}: component {entry.component} is itself shared; point at its own bundle"
            )
        if component_hash(there) != entry.sha256:
            raise BundleError(
                f"{self.folder}: component {name} needs {entry.bundle}/{entry.component} "
                f"{entry.sha256[:12]}, but {other.folder} holds {component_hash(there)[:12]}"
            )
        return other, entry.component, there

    def config(self, name: str) -> dict[str, Any]:
        """A component's config as plain JSON."""
        return self.home(name)[2].config

    def bytes(self, name: str) -> bytes:
        """An opaque component's bytes (storage "file")."""
        bundle, name, entry = self.home(name)
        if entry.storage != "file" or len(entry.files) != 1:
            raise BundleError(f"{bundle.folder}: component {name} holds tensors, not a file")
        return bundle._checked(name, entry.files[0])

    def tensors(self, name: str, dtype: torch.dtype | Prepare | None = None) -> dict[str, Tensor]:
        """A component's tensors in a floating type (None is float32), or as a function makes them of name and
        tensor; int8 unpacked. What is stored as it is wanted is mapped, and takes memory as it is read.
        Raises BundleError for a changed byte or a missing tensor.
        """
        import torch

        from armchair.core.packing import unpack
        from armchair.core.tensorfile import TensorFileError

        bundle, name, entry = self.home(name)
        if entry.storage == "file":
            raise BundleError(f"{bundle.folder}: component {name} is a file, not tensors")
        tensors: dict[str, Tensor] = {}
        for file in entry.files:
            try:
                area = bundle._mapped(name, file)
                tensors |= unpack(area.tensors(), torch.float32 if dtype is None else dtype, area.release)
            except TensorFileError as error:
                raise BundleError(str(error)) from error
        for key, shape in entry.tensors.items():
            if key not in tensors:
                raise BundleError(f"{bundle.folder}: component {name}: tensor {key} is missing")
            if list(tensors[key].shape) != shape:
                raise BundleError(
                    f"{bundle.folder}: component {name}: tensor {key} is {list(tensors[key].shape)}, "
                    f"{MANIFEST} says {shape}"
                )
        extra = sorted(set(tensors) - set(entry.tensors))
        if extra:
            raise BundleError(f"{bundle.folder}: component {name}: tensor {extra[0]} is not in {MANIFEST}")
        return tensors

    def share(self, name: str) -> Shared:
        """A pointer to a component of this bundle, to be saved in another one."""
        bundle, name, entry = self.home(name)
        return Shared(bundle=bundle.name, component=name, sha256=component_hash(entry))

    def golden(self) -> Image.Image | None:
        """The picture that this bundle drew when it was made (RGB)."""
        from armchair.core.images import open_image

        shown = self.manifest.golden
        if shown is None:
            return None
        data = _read(self.folder / shown.file)
        if _hash(data) != shown.sha256:
            raise BundleError(
                f"{self.folder / shown.file} is damaged: its sha256 is not the one in {MANIFEST}"
            )
        return open_image(data, name=shown.file).convert("RGB")

    def _sibling(self, entry: SharedEntry, name: str) -> Bundle:
        places = [self.folder.resolve().parent / entry.bundle, SHIPPED / entry.bundle]
        for place in places:
            if (place / MANIFEST).is_file():
                return Bundle.open(place)
        raise BundleError(
            f"{self.folder}: component {name} lies in the bundle {entry.bundle!r}, "
            f"which is neither beside it nor among the shipped ones ({places[0]})"
        )

    def _checked(self, name: str, file: FileEntry) -> bytes:
        data = _read(self.folder / file.path)
        self._same(name, file, len(data), lambda: _hash(data))
        return data

    def _mapped(self, name: str, file: FileEntry) -> Mapped:
        from armchair.core.tensorfile import Mapped

        with _reading(self.folder / file.path):
            area = Mapped(self.folder / file.path)
        self._same(name, file, len(area), area.sha256)
        return area

    def _same(self, name: str, file: FileEntry, size: int, sha256: Callable[[], str]) -> None:
        """Raises BundleError for a file that is not the one in bundle.json."""
        if size != file.bytes:
            raise BundleError(
                f"{self.folder / file.path} is cut short: component {name} has {file.bytes:,} bytes "
                f"in {MANIFEST}, the file {size:,}"
            )
        found = sha256()
        if found != file.sha256:
            raise BundleError(
                f"{self.folder / file.path} is damaged: component {name} has sha256 {file.sha256[:12]} "
                f"in {MANIFEST}, the file {found[:12]}"
            )


def verify(folder: str | Path) -> list[str]:
    """Every problem that hashes and headers can show, one line each; [] for a sound bundle. Raises
    nothing.
    """
    try:
        bundle = Bundle.open(folder)
    except BundleError as error:
        return [str(error)]
    problems: list[str] = []
    for name in bundle.components:
        try:
            home, inner, entry = bundle.home(name)
            if entry.storage == "file":
                home.bytes(inner)
            else:
                home.tensors(inner)
        except BundleError as error:
            problems.append(str(error))
    try:
        bundle.golden()
    except (BundleError, BadInput) as error:
        problems.append(str(error))
    return problems


def migrate(data: dict[str, Any], path: Path) -> dict[str, Any]:
    """Bring an old bundle.json to today's format, one named function a step. Raises BundleError for an
    unknown one.
    """
    version = data.get("format")
    if not isinstance(version, int) or isinstance(version, bool):
        raise BundleError(f"{path}: field format is {version!r}; a whole number is needed")
    if version > FORMAT:
        raise BundleError(
            f"{path}: format {version} is newer than this Armchair reads ({FORMAT}); install a newer Armchair"
        )
    while version < FORMAT:
        if version not in MIGRATIONS:
            raise BundleError(f"{path}: format {version} is unknown; this Armchair reads up to {FORMAT}")
        data = MIGRATIONS[version](data)
        version = data["format"]
    return data


def component_hash(entry: ComponentEntry) -> str:
    """One sha256 for a component: its file's, or that of its shards' in order."""
    hashes = [file.sha256 for file in entry.files]
    return hashes[0] if len(hashes) == 1 else _hash("\n".join(hashes).encode())


def _save_component(
    folder: Path, name: str, component: Component | Streamed | Shared
) -> ComponentEntry | SharedEntry:
    if isinstance(component, Shared):
        return SharedEntry(bundle=component.bundle, component=component.component, sha256=component.sha256)
    if isinstance(component, Streamed):
        from armchair.core.packing import storage_of, stream

        return ComponentEntry(
            config=to_json(component.config),
            storage=storage_of(component.tensors),
            files=[
                FileEntry(path=path, bytes=size, sha256=sha256)
                for path, size, sha256 in stream(folder, name, component.tensors)
            ],
            tensors={key: list(value.shape) for key, value in sorted(component.tensors.items())},
        )
    if (component.tensors is None) == (component.file is None):
        raise BadInput(f"component {name} needs either tensors or a file")
    if component.file is not None:
        suffix = "json" if component.file[:1] in b"{[" and component.file else "bin"
        contents, shapes, storage = {f"{name}.{suffix}": component.file}, {}, "file"
    else:
        from armchair.core.packing import pack, shards

        tensors = cast("Mapping[str, Tensor]", component.tensors)
        storage = component.storage
        contents = shards(name, pack(tensors, storage, name))
        shapes = {key: list(value.shape) for key, value in sorted(tensors.items())}
    files: list[FileEntry] = []
    for path, data in contents.items():
        (folder / path).write_bytes(data)
        files.append(FileEntry(path=path, bytes=len(data), sha256=_hash(data)))
    return ComponentEntry(config=to_json(component.config), storage=storage, files=files, tensors=shapes)


def _parse(data: dict[str, Any], path: Path) -> Manifest:
    try:
        manifest = from_json(Manifest, data, str(path))
        components: dict[str, Any] = {}
        for name, entry in manifest.components.items():
            kind = SharedEntry if isinstance(entry, dict) and "bundle" in entry else ComponentEntry
            components[name] = from_json(kind, entry, f"{path}: components.{name}")
    except BadInput as error:
        raise BundleError(str(error)) from error
    names = [
        file.path
        for entry in components.values()
        if isinstance(entry, ComponentEntry)
        for file in entry.files
    ]
    names += [] if manifest.golden is None else [manifest.golden.file]
    for name in names:
        if Path(name).name != name or name in {"", ".", ".."}:
            raise BundleError(f"{path}: the file {name!r} lies outside the bundle")
    return dataclasses.replace(manifest, components=components)


def _read(path: Path) -> bytes:
    with _reading(path):
        return path.read_bytes()


@contextlib.contextmanager
def _reading(path: Path) -> Generator[None]:
    try:
        yield
    except FileNotFoundError:
        raise BundleError(f"{path} is missing") from None
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}") from error


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
