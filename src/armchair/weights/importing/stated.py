"""Foreign configs: what is computed here, and every other variant refused by its name and value."""

from __future__ import annotations

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


def number(config: Mapping[str, Any], name: str, where: str) -> int:
    """A whole number. Raises BadInput where there is none."""
    value = config.get(name)
    if type(value) is not int:
        raise BadInput(f"{where}: {name} is {value!r}, not a whole number")
    return value


def numbers(config: Mapping[str, Any], name: str, where: str) -> tuple[int, ...]:
    """A list of whole numbers. Raises BadInput where there is none."""
    value = config.get(name)
    found = cast(list[Any], value) if isinstance(value, list) else []
    if not found or any(type(x) is not int for x in found):
        raise BadInput(f"{where}: {name} is {value!r}, not a list of whole numbers")
    return tuple(found)
