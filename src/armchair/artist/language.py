"""Operations on words and pictures that need networks beside the drawing ones. They say what is missing
until then.
"""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from PIL import Image

from armchair.core.errors import Unsupported


def caption(image: Image.Image | str | Path, *, long: bool = False, language: str = "en") -> str:
    """What a picture shows, in words. Raises Unsupported: it needs the captioner of DALL·E 3."""
    _needs("caption", "a captioner bundle, part of DALL·E 3")


def expand(prompt: str, *, writer: str = "builtin") -> str:
    """A short prompt as a long description. Raises Unsupported: it needs the prompt writer of DALL·E 3."""
    _needs("expand", "a writer bundle, part of DALL·E 3")


def chat() -> NoReturn:
    """Draw in a conversation. Raises Unsupported: it needs the prompt writer of DALL·E 3."""
    _needs("chat", "a writer bundle, part of DALL·E 3")


def _needs(what: str, need: str) -> NoReturn:
    raise Unsupported(
        f"{what} needs {need}; this version of Armchair has none. `armchair models` lists what is here"
    )
