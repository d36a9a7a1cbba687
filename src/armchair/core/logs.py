"""Keeping a logger's lines off the screen for a while."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Generator


@contextlib.contextmanager
def silenced(name: str, level: int) -> Generator[None]:
    """Inside, the logger lets nothing through below `level`; afterwards what it did before."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)
