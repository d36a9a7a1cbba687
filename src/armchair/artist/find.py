"""Where bundles are: the shipped ones, those of runs in this folder, and any folder by its path. No torch
here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from armchair.core import bundle as bundles
from armchair.core.bundle import MANIFEST, Bundle
from armchair.core.errors import BadInput, BundleError, nearest

RUNS = Path("runs")  # where `armchair train` puts its run folders, beside the person who runs it


@dataclass(frozen=True)
class Found:
    """A bundle that can be loaded by name."""

    name: str
    folder: Path
    where: str  # "shipped" or "run"


def available() -> list[Found]:
    """Shipped bundles, then those of the runs in ./runs, by name."""
    return [
        *(Found(folder.name, folder, "shipped") for folder in _with_manifest(bundles.SHIPPED, "")),
        *(Found(folder.parent.name, folder, "run") for folder in _with_manifest(RUNS, "bundle")),
    ]


def find(model: str | Path) -> Path:
    """A bundle's folder from a shipped name, a run's name, a run's folder or the bundle's folder itself.

    Raises BadInput with the nearest names, BundleError for a folder without a bundle.
    """
    if not isinstance(model, str | Path):
        raise BadInput(f"the model is {model!r}; give a bundle's name or folder")
    name = str(model)
    if not name.strip():
        raise BadInput("the model is empty; `armchair models` lists what is here")
    for found in available():
        if found.name == name:
            return found.folder
    folder = Path(model).expanduser()
    for place in (folder, folder / "bundle"):
        if (place / MANIFEST).is_file():
            return place
    if folder.is_dir():
        raise BundleError(f"{folder} holds no bundle: there is no {MANIFEST} in it or in its folder 'bundle'")
    if folder.name == MANIFEST and folder.is_file():
        return folder.parent
    names = [found.name for found in available()]
    listed = f" Here: {', '.join(names)}." if names else " No bundle is installed here."
    raise BadInput(f"unknown model {name!r}.{nearest(name, names)}{listed} A bundle's folder works too")


def find_digest(digest: str, *places: str) -> str:
    """The name or folder that `find` takes for the bundle with this digest: one of `places`, else any known
    one.

    Raises BundleError where it is not here.
    """
    here: list[str] = []
    for place in [*places, *(found.name for found in available())]:
        try:
            bundle = Bundle.open(find(place))
        except (BadInput, BundleError):
            continue
        if bundle.digest == digest:
            return place
        here.append(f"{bundle.name} {bundle.digest[:12]}")
    listed = f"; here: {', '.join(dict.fromkeys(here))}" if here else ""
    name = places[-1] if places else "with digest"
    raise BundleError(f"the bundle {name} {digest[:12]} is not here{listed}. Name its folder with --model")


def _with_manifest(root: Path, inner: str) -> list[Path]:
    if not root.is_dir():
        return []
    places = sorted(root.iterdir())
    return [
        place / inner
        for place in places
        if not place.name.startswith(".") and (place / inner / MANIFEST).is_file()
    ]
