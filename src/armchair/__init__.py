"""Armchair: DALL·E 1, 2 and 3, open: train, run and serve them on your own machine.

Importing is instant: torch comes with the first `armchair.load(...)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from armchair.core.version import VERSION as __version__

if TYPE_CHECKING:
    from armchair.artist import Artist, caption, chat, expand, load, score
    from armchair.core.errors import (
        ArmchairError,
        BadInput,
        BundleError,
        DataError,
        MissingDependency,
        TrainingError,
        Unsupported,
    )
    from armchair.core.picture import Picture


__all__ = [
    "ArmchairError",
    "Artist",
    "BadInput",
    "BundleError",
    "DataError",
    "MissingDependency",
    "Picture",
    "TrainingError",
    "Unsupported",
    "__version__",
    "caption",
    "chat",
    "expand",
    "load",
    "score",
]

_HOMES = {
    "Artist": "armchair.artist",
    "Picture": "armchair.core.picture",
    "caption": "armchair.artist",
    "chat": "armchair.artist",
    "expand": "armchair.artist",
    "load": "armchair.artist",
    "score": "armchair.artist",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'armchair' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES.get(name, "armchair.core.errors")), name)


def __dir__() -> list[str]:
    return sorted(__all__)
