"""Foreign configs: what is computed here, and every other variant refused by its name and value."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, cast

from armchair.core.errors import BadInput, Unsupported


def check(config: Mapping[str, Any], stated: Mapping[str, Any], where: str) -> None:
    """Raises Unsupported for a value that is not the one stated. What the config leaves out is as stated."""
    for name, supported in stated.items():
        value = config.get(name, supported)
        if value != supported:
            raise Unsupported(f"{where} has {name} {value!r}; {supported!r} is supported")


def one_of(config: Mapping[str, Any], name: str, absent: str, known: Iterable[str], where: str) -> str:
    """A word out of a few; `absent` where the config says none. Raises Unsupported for another."""
    value, words = config.get(name, absent), list(known)
    if value not in words:
        raise Unsupported(f"{where} has {name} {value!r}; {', '.join(words)} are supported")
    return str(value)


def number(config: Mapping[str, Any], name: str, where: str, absent: int | None = None) -> int:
    """A whole number above 0; `absent` where the config says none. Raises BadInput for anything else."""
    value = config.get(name, absent)
    if type(value) is not int or value < 1:
        raise BadInput(f"{where}: {name} is {value!r}, not a whole number above 0")
    return value


def real(config: Mapping[str, Any], name: str, where: str, absent: float) -> float:
    """Likewise a number above 0, whole or not."""
    value = config.get(name, absent)
    if type(value) not in (int, float) or not 0 < value < math.inf:
        raise BadInput(f"{where}: {name} is {value!r}, not a number above 0")
    return float(value)


def flag(config: Mapping[str, Any], name: str, where: str, absent: bool) -> bool:
    """Likewise true or false."""
    value = config.get(name, absent)
    if type(value) is not bool:
        raise BadInput(f"{where}: {name} is {value!r}, neither true nor false")
    return value


def texts(config: Mapping[str, Any], name: str, where: str) -> tuple[str, ...]:
    """A list of words. Raises BadInput where there is none."""
    value = config.get(name)
    found = cast(list[Any], value) if isinstance(value, list) else []
    if not found or any(type(x) is not str for x in found):
        raise BadInput(f"{where}: {name} is {value!r}, not a list of words")
    return tuple(found)


def numbers(config: Mapping[str, Any], name: str, where: str) -> tuple[int, ...]:
    """A list of whole numbers above 0. Raises BadInput where there is none."""
    value = config.get(name)
    found = cast(list[Any], value) if isinstance(value, list) else []
    if not found or any(type(x) is not int or x < 1 for x in found):
        raise BadInput(f"{where}: {name} is {value!r}, not a list of whole numbers above 0")
    return tuple(found)
