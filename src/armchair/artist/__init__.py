"""Every operation over any system: load a bundle, then draw with it. torch comes with `artist.artist`, not
before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from armchair.artist.artist import Artist, load
    from armchair.artist.language import caption, chat, expand
    from armchair.artist.redo import redo, verify_golden
    from armchair.artist.scores import score

__all__ = ["Artist", "caption", "chat", "expand", "load", "redo", "score", "verify_golden"]

_HOMES = {
    "Artist": "artist",
    "load": "artist",
    "redo": "redo",
    "score": "scores",
    "verify_golden": "redo",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'armchair.artist' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"armchair.artist.{_HOMES.get(name, 'language')}"), name)
