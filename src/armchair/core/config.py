"""Configs are frozen dataclasses; this reads and writes them as JSON and refuses what they do not know."""

from __future__ import annotations

import ast
import dataclasses
import enum
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from armchair.core.errors import ArmchairError, BadInput, nearest

T = TypeVar("T")


def to_json(config: Any) -> Any:
    """A dataclass as a plain dict that JSON can hold; tuples become lists, paths and enums their text."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {f.name: to_json(getattr(config, f.name)) for f in dataclasses.fields(config) if f.init}
    if isinstance(config, Mapping):
        return {str(key): to_json(value) for key, value in cast(Mapping[Any, Any], config).items()}
    if isinstance(config, list | tuple | set | frozenset):
        values = cast(Sequence[Any], config)
        return [
            to_json(value) for value in (sorted(values) if isinstance(config, set | frozenset) else values)
        ]
    if isinstance(config, enum.Enum):
        return config.value
    if isinstance(config, Path):
        return config.as_posix()
    if config is None or isinstance(config, bool | int | float | str):
        return config
    raise TypeError(f"a config holds {type(config).__name__} {config!r}, which JSON cannot")


def from_json(cls: type[T], data: Any, where: str = "") -> T:
    """Build `cls` (a dataclass, or any type) from parsed JSON, strictly: no unknown key, no text for a
    number.

    where: what the data is, for the message ("bundle.json"). Raises BadInput naming the field and the value.
    """
    import pydantic

    _forbid_unknown(cls, set())
    if dataclasses.is_dataclass(cls):
        _check_names(cls, data, where)
    try:
        # JSON mode: strict about types, yet a list may fill a tuple and 1 may fill a float
        return pydantic.TypeAdapter(cls).validate_json(json.dumps(data), strict=True)
    except pydantic.ValidationError as error:
        raise BadInput(_first_problem(error, cls, data, where)) from error
    except (ValueError, TypeError) as error:
        raise BadInput(f"{where}: {error}" if where else str(error)) from error


def fill(default: T, data: Mapping[str, Any], where: str = "") -> T:
    """A copy of the dataclass instance `default` with the values of `data`, recursively.

    Nested dataclasses take the class of the default's value, so that fields typed Any or Protocol work too.
    Raises BadInput for an unknown key (with the nearest one) or a value of the wrong type.
    """
    return _rebuild(default, {name: _filled(default, name, data[name], where) for name in data}, where)


def override(config: T, settings: Sequence[str]) -> T:
    """A copy of a dataclass with dotted settings such as "optim.lr=1e-3" applied in order. One that is not
    allowed yet waits for those behind it, so that "a=0", "b=1" sets what may not both be 0.

    Values are read by the field's type: numbers, true/false, null or none, "0.9,0.95" for tuples, JSON for
    the rest.
    Raises BadInput naming the field (with the nearest one) or the value.
    """
    waiting: list[tuple[str, str]] = []
    for setting in settings:
        path, equals, raw = setting.partition("=")
        if not equals or not path.strip():
            raise BadInput(f"--set takes key=value, as in optim.lr=1e-3; {setting!r} has no '='")
        waiting.append((path.strip(), raw.strip()))
    while waiting:
        refused: dict[tuple[str, str], BadInput] = {}
        for path, raw in waiting:
            try:
                config = _set(config, path.split("."), raw, path)
            except BadInput as error:
                refused[path, raw] = error
        if len(refused) == len(waiting):
            raise next(iter(refused.values()))
        waiting = list(refused)
    return config


def field_type(config: Any, name: str) -> Any:
    """The declared type of a field; the type of its value where the declaration says nothing (Any, a
    Protocol).
    """
    value = getattr(config, name)
    hint = _hints(cast(Any, type(config))).get(name, Any)
    if hint is Any or getattr(hint, "_is_protocol", False):
        return Any if value is None else cast(Any, type(value))
    return hint


def _set(config: Any, path: list[str], raw: str, whole: str) -> Any:
    name, rest = path[0], path[1:]
    if isinstance(config, Mapping):
        table = cast(Mapping[str, Any], config)
        if rest and name not in table:
            raise BadInput(f"{whole}: there is no {name!r}.{nearest(name, table)}")
        return {**table, name: _set(table[name], rest, raw, whole) if rest else _parse(Any, raw, whole)}
    _known(config, name, whole)
    value = getattr(config, name)
    if not rest:
        return _rebuild(config, {name: _parse_field(config, name, raw, whole)}, whole)
    if value is None:
        value = _fresh(field_type(config, name))
    if value is None or not (dataclasses.is_dataclass(value) or isinstance(value, Mapping)):
        raise BadInput(f"{whole}: {name} is {getattr(config, name)!r} and has no field {rest[0]!r}")
    return _rebuild(config, {name: _set(value, rest, raw, whole)}, whole)


def _fresh(hint: Any) -> Any:
    """An instance with defaults for a field that is None now, where its type has exactly one dataclass."""
    options = [t for t in (get_args(hint) or (hint,)) if dataclasses.is_dataclass(t)]
    if len(options) != 1:
        return None
    try:
        return cast(Any, options[0])()
    except TypeError:
        return None


def _parse_field(config: Any, name: str, raw: str, where: str) -> Any:
    value = getattr(config, name)
    if dataclasses.is_dataclass(value) and raw.startswith("{"):
        try:
            return fill(value, json.loads(raw), where)
        except json.JSONDecodeError as error:
            raise BadInput(f"{where}: {raw!r} is not JSON: {error}") from error
    return _parse(field_type(config, name), raw, where)


def _parse(hint: Any, raw: str, where: str) -> Any:
    problem: BadInput | None = None
    for candidate in _readings(raw):
        if hint is Any:
            return candidate
        try:
            return from_json(hint, candidate, where)
        except BadInput as error:
            problem = problem or error
    assert problem is not None
    raise BadInput(f"{where}={raw}: not {_describe(hint)}") from problem


def _readings(raw: str) -> list[Any]:
    """What the text on the right of a setting may mean, the likeliest first."""
    found: list[Any] = []
    if raw.lower() in {"none", "null", "off"}:
        found.append(None)
    if raw.lower() in {"true", "false"}:
        found.append(raw.lower() == "true")
    for text in (raw, f"[{raw}]" if "," in raw else raw):
        for read in (json.loads, ast.literal_eval):
            try:
                value = read(text)
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                continue
            if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
                found.append(int(value))  # steps=1e5 is an int to a person
                found.append(value)
            elif not isinstance(value, bytes | complex | set):
                found.append(to_json(value))
    found.append(raw)
    return found


def _filled(default: Any, name: str, value: Any, where: str) -> Any:
    label = f"{where}.{name}" if where else name
    _known(default, name, label)
    old = getattr(default, name)
    if dataclasses.is_dataclass(old) and isinstance(value, Mapping):
        return fill(old, cast(Mapping[str, Any], value), label)
    hint = field_type(default, name)
    if hint is Any:
        return value
    if value is None and _hints(cast(Any, type(default))).get(name, Any) is Any:
        return None
    return from_json(hint, value, label)


def _rebuild(config: T, changes: dict[str, Any], where: str) -> T:
    try:
        return cast(T, dataclasses.replace(cast(Any, config), **changes))
    except ArmchairError:
        raise
    except (ValueError, TypeError) as error:
        raise BadInput(f"{where}: {error}" if where else str(error)) from error


def _known(config: Any, name: str, where: str) -> None:
    names = [f.name for f in dataclasses.fields(config) if f.init]
    if name not in names:
        hint = nearest(name, names)
        raise BadInput(
            f"{where}: {type(config).__name__} has no field {name!r}.{hint} It has {', '.join(names)}"
        )


def _check_names(cls: Any, data: Any, where: str) -> None:
    """Unknown keys of the outer object, with the nearest field; pydantic finds the inner ones."""
    if not isinstance(data, Mapping):
        raise BadInput(f"{where or cls.__name__}: an object is needed, not {type(data).__name__}")
    names = [f.name for f in dataclasses.fields(cls) if f.init]
    for key in cast(Mapping[str, Any], data):
        if key not in names:
            start = f"{where}: " if where else ""
            raise BadInput(f"{start}unknown field {key!r}.{nearest(key, names)} It has {', '.join(names)}")


def _forbid_unknown(hint: Any, seen: set[Any]) -> None:
    """Set extra="forbid" on every dataclass in a type: without it pydantic drops unknown keys silently."""
    for inner in get_args(hint):
        _forbid_unknown(inner, seen)
    cls = get_origin(hint) or hint
    if not isinstance(cls, type) or not dataclasses.is_dataclass(cls) or cls in seen:
        return
    seen.add(cls)
    if "__pydantic_config__" not in vars(cls):
        cast(Any, cls).__pydantic_config__ = {"extra": "forbid", "arbitrary_types_allowed": True}
    for inner in _hints(cls).values():
        _forbid_unknown(inner, seen)


def _hints(cls: Any) -> dict[str, Any]:
    try:
        return get_type_hints(cls)
    except NameError:  # a name that exists for the type checker only
        return {}


def _first_problem(error: Any, cls: Any, data: Any, where: str) -> str:
    problem = error.errors(include_url=False)[0]
    steps = [str(part) for part in problem["loc"] if not str(part).startswith(("function-", "is-instance"))]
    label = ".".join([where, *steps] if where else steps)
    start = f"{label}: " if label else ""
    kind = problem["type"]
    if kind in {"unexpected_keyword_argument", "extra_forbidden"}:
        return f"{start}unknown field{nearest(steps[-1], _names_at(cls, steps[:-1]))}"
    if kind in {"missing", "missing_argument", "missing_keyword_only_argument"}:
        return f"{start}missing"
    if kind == "value_error":
        return start + str(problem["ctx"]["error"])
    value = json.dumps(problem["input"], ensure_ascii=False, default=str)
    return f"{start}{problem['msg'].removeprefix('Input ')}, not {value[:80]}"


def _names_at(cls: Any, steps: list[str]) -> list[str]:
    """The field names of the dataclass that lies at a path of field names."""
    for step in steps:
        if dataclasses.is_dataclass(cls):
            cls = _hints(cast(type, cls)).get(step, Any)
        inner = [t for t in get_args(cls) if dataclasses.is_dataclass(t)]
        if inner:
            cls = inner[0]
    return [f.name for f in dataclasses.fields(cls) if f.init] if dataclasses.is_dataclass(cls) else []


def _describe(hint: Any) -> str:
    name = getattr(hint, "__name__", None) if not get_args(hint) else None
    return {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text"}.get(
        name or "", (name or str(hint)).replace("typing.", "")
    )
