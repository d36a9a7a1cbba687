"""Which prompts may be drawn: all of them, unless the operator names words or brings a function."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

from armchair.core.errors import BadInput


class Policy:
    """words: phrases that no prompt may hold        judge: prompt -> whether it may be drawn, or awaitable"""

    def __init__(self, words: list[str], judge: Callable[[str], Any] | None = None):
        latin = [re.escape(plain(word)) for word in words if word.isascii()]
        # a Korean word carries its particle: there the phrase may stand anywhere
        other = [re.escape(plain(word)) for word in words if not word.isascii()]
        patterns = ([rf"\b(?:{'|'.join(latin)})\b"] if latin else []) + other
        self._banned = re.compile("|".join(patterns)) if patterns else None
        self._judge = judge

    @classmethod
    def load(cls, words: str | None, judge: str | None) -> Policy:
        """From a file of phrases and a "module:function". Raises BadInput."""
        found: list[str] = []
        if words is not None:
            try:
                lines = Path(words).read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise BadInput(f"banned words {words}: {error}") from error
            found = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        return cls(found, None if judge is None else _function(judge))

    async def admits(self, prompt: str) -> bool:
        """A judge that raises ends the request: what was not judged is not drawn."""
        if self._banned is not None and self._banned.search(plain(prompt)):
            return False
        if self._judge is None:
            return True
        verdict = await asyncio.to_thread(self._judge, prompt)
        return bool(await verdict if inspect.isawaitable(verdict) else verdict)


def plain(text: str) -> str:
    """Compatibility forms, case and runs of blanks made one."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _function(name: str) -> Callable[[str], Any]:
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise BadInput(f"policy {name!r}: MODULE:FUNCTION is needed; {error}") from error
    if not callable(found):
        raise BadInput(f"policy {name!r} is not a function")
    return found
