"""Key tables: whose tensor is whose, as data that is read in both directions.

A pattern is a key with {n}, {m} ... for numbers and {rest} for any text. Applying a table is strict: a source
key without a row, a parameter of ours without a value and a shape that differs are errors, listed together.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from armchair.core.errors import ArmchairError
from armchair.core.tensorfile import Lazy

SHOWN = 4  # keys of each sort that an error lists


class Unfit(ArmchairError):
    """Weights do not fit the network that their config or shapes describe."""


class How(Protocol):
    """What happens to tensors on the way; `back` undoes `there`."""

    def there(self, theirs: list[Tensor]) -> list[Tensor]: ...

    def back(self, ours: list[Tensor]) -> list[Tensor]: ...


@dataclass(frozen=True)
class Copy:
    """The tensor as it is."""

    def there(self, theirs: list[Tensor]) -> list[Tensor]:
        return theirs

    def back(self, ours: list[Tensor]) -> list[Tensor]:
        return ours


@dataclass(frozen=True)
class Transpose:
    """(A, B) -> (B, A)"""

    def there(self, theirs: list[Tensor]) -> list[Tensor]:
        return [x.mT for x in theirs]

    def back(self, ours: list[Tensor]) -> list[Tensor]:
        return [x.mT for x in ours]


@dataclass(frozen=True)
class Stack:
    """`parts` tensors of theirs, (A, ...) each, below each other in one of ours, (parts * A, ...)."""

    parts: int

    def there(self, theirs: list[Tensor]) -> list[Tensor]:
        return [torch.cat(theirs)]

    def back(self, ours: list[Tensor]) -> list[Tensor]:
        return list(ours[0].chunk(self.parts))


@dataclass(frozen=True)
class Reshape:
    """Axes of size 1 come or go: (A, B, 1, 1) -> (A, B), (1, A, B) -> (A, B), (A,) -> (1, A)."""

    theirs: tuple[int, ...]  # an axis of ours or 1, as in (0, 1, -1, -1): -1 is a 1 that ours lacks
    ours: int  # axes of ours

    def there(self, theirs: list[Tensor]) -> list[Tensor]:
        x = theirs[0]
        assert x.ndim == len(self.theirs) and all(x.shape[i] == 1 for i, a in enumerate(self.theirs) if a < 0)
        return [x.reshape([x.shape[self.theirs.index(a)] for a in range(self.ours)])]

    def back(self, ours: list[Tensor]) -> list[Tensor]:
        return [ours[0].reshape([1 if a < 0 else ours[0].shape[a] for a in self.theirs])]


@dataclass(frozen=True)
class Fastest:
    """Rows (W, parts) with the part as the fastest axis become (parts, W), flat on both sides."""

    parts: int

    def there(self, theirs: list[Tensor]) -> list[Tensor]:
        x = theirs[0]
        return [x.reshape(-1, self.parts, *x.shape[1:]).transpose(0, 1).reshape(x.shape)]

    def back(self, ours: list[Tensor]) -> list[Tensor]:
        x = ours[0]
        return [x.reshape(self.parts, -1, *x.shape[1:]).transpose(0, 1).reshape(x.shape)]


@dataclass(frozen=True)
class PerHead:
    """Rows that lie head by head, (q of head 1, k of head 1, v of head 1, q of head 2 ...), become thirds
    (GLIDE, ADM, Karlo). parts: 3 for q, k, v; 2 for k, v. A 1-wide convolution's last axis goes.
    """

    parts: int
    head_width: int = 64
    convolution: bool = True

    def there(self, theirs: list[Tensor]) -> list[Tensor]:
        x = theirs[0]  # (heads * parts * d, ...)
        rows = x.reshape(len(x), -1) if x.ndim > 1 else x
        heads = rows.reshape(-1, self.parts, self.head_width, *rows.shape[1:])
        return [heads.transpose(0, 1).reshape(rows.shape)]

    def back(self, ours: list[Tensor]) -> list[Tensor]:
        x = ours[0]
        heads = x.reshape(self.parts, -1, self.head_width, *x.shape[1:]).transpose(0, 1).reshape(x.shape)
        return [heads.unsqueeze(-1) if self.convolution and x.ndim > 1 else heads]


@dataclass(frozen=True)
class Row:
    """Tensors of theirs that make tensors of ours."""

    theirs: tuple[str, ...]
    ours: tuple[str, ...]
    how: How = Copy()


@dataclass(frozen=True)
class Drop:
    """Tensors of theirs that we do not need, and why."""

    theirs: str
    reason: str


@dataclass(frozen=True)
class Fill:
    """A tensor of ours that theirs has not: the number, or the numbers, that it is filled with, and why."""

    ours: str
    value: float | tuple[float, ...]
    reason: str


Table = Sequence[Row | Drop | Fill]


def row(theirs: str | tuple[str, ...], ours: str | tuple[str, ...], how: How = Copy()) -> Row:
    """A Row; a single name needs no tuple."""
    one = (theirs,) if isinstance(theirs, str) else theirs
    other = (ours,) if isinstance(ours, str) else ours
    return Row(one, other, how)


def under(table: Table, theirs: str, ours: str) -> Table:
    """A table for a network that lies within others: what stands before all names on either side."""
    return tuple(
        Row(tuple(theirs + x for x in entry.theirs), tuple(ours + x for x in entry.ours), entry.how)
        if isinstance(entry, Row)
        else Drop(theirs + entry.theirs, entry.reason)
        if isinstance(entry, Drop)
        else Fill(ours + entry.ours, entry.value, entry.reason)
        for entry in table
    )


@dataclass(frozen=True)
class Fitted:
    """A network's tensors, in its own names, and what of the source was left behind: key -> reason."""

    tensors: dict[str, Lazy]
    dropped: dict[str, str]


def fit(table: Table, source: Mapping[str, Lazy], wanted: Mapping[str, Tensor], where: str) -> Fitted:
    """Carry a source's tensors over to a network. wanted: its state dict, on the meta device.

    Raises Unfit listing what did not fit: unknown keys, parameters without a value, shapes.
    """
    groups: dict[tuple[int, tuple[str, ...]], dict[int, str]] = {}
    dropped: dict[str, str] = {}
    unknown: list[str] = []
    for key in source:
        found = _find(table, key)
        if found is None:
            unknown.append(key)
            continue
        index, place, numbers = found
        entry = table[index]
        if isinstance(entry, Drop):
            dropped[key] = entry.reason
        else:
            groups.setdefault((index, numbers), {})[place] = key
    tensors: dict[str, Lazy] = {}
    missing: list[str] = []
    shapes: list[str] = []
    for (index, numbers), places in groups.items():
        entry = table[index]
        assert isinstance(entry, Row)
        gaps = [name for i, name in enumerate(entry.theirs) if i not in places]
        if gaps:
            missing += [_write(gap, numbers) for gap in gaps]
            continue
        parts = [source[places[i]] for i in range(len(entry.theirs))]
        names = [_write(name, numbers) for name in entry.ours]
        if any(name not in wanted for name in names):
            unknown += [places[i] for i in sorted(places)]
            continue
        problem = _carry(entry, parts, names, wanted, tensors)
        if problem is not None:
            shapes.append(f"{places[0]} {problem}")
    for entry in table:
        if isinstance(entry, Fill) and entry.ours in wanted:
            tensors[entry.ours] = _filled(wanted[entry.ours], entry.value)
    empty = [name for name in wanted if name not in tensors]
    _complain(
        where,
        {
            "keys without a place": unknown,
            "keys that are missing": missing,
            "shapes that differ": shapes,
            "parameters of ours without a value": [] if shapes or missing else empty,
        },
    )
    return Fitted({name: tensors[name] for name in wanted}, dropped)


def revert(table: Table, ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A network's tensors in their names: the way out. Every tensor of ours must have a row, or be filled."""
    groups: dict[tuple[int, tuple[str, ...]], dict[int, Tensor]] = {}
    made = {entry.ours for entry in table if isinstance(entry, Fill)}
    for name, value in ours.items():
        if name in made:
            continue
        own = _own(table, name)
        assert own is not None, f"no row makes {name}"
        index, place, numbers = own
        groups.setdefault((index, numbers), {})[place] = value
    found: dict[str, Tensor] = {}
    for (index, numbers), places in groups.items():
        entry = table[index]
        assert isinstance(entry, Row) and len(places) == len(entry.ours), entry
        values = entry.how.back([places[i] for i in range(len(entry.ours))])
        for name, value in zip(entry.theirs, values, strict=True):
            found[_write(name, numbers)] = value.contiguous()
    return found


def unpublished(table: Table, ours: Iterable[str]) -> str | None:
    """The first of a network's tensors that the table has no row for; None where it has all."""
    return next((name for name in ours if _own(table, name) is None), None)


def patch(
    table: Table, ours: Mapping[str, Tensor], changes: Mapping[str, Callable[[Tensor], Tensor]]
) -> dict[str, Tensor]:
    """Change some tensors by their foreign names -> those of ours that become others, under our names. Raises
    Unfit for a name that the table does not know.
    """
    groups: dict[tuple[int, tuple[str, ...]], dict[int, Callable[[Tensor], Tensor]]] = {}
    for key, change in changes.items():
        found = _find(table, key)
        if found is None or not isinstance(table[found[0]], Row):
            raise Unfit(f"there is no {key}")
        groups.setdefault((found[0], found[2]), {})[found[1]] = change
    made: dict[str, Tensor] = {}
    for (index, numbers), places in groups.items():
        entry = table[index]
        assert isinstance(entry, Row)
        names = [_write(name, numbers) for name in entry.ours]
        theirs = entry.how.back([ours[name] for name in names])
        changed = [places[i](x) if i in places else x for i, x in enumerate(theirs)]
        made |= zip(names, entry.how.there(changed), strict=True)
    return made


def _filled(like: Tensor, value: float | tuple[float, ...]) -> Lazy:
    def read() -> Tensor:
        return torch.tensor(value, dtype=like.dtype, device="cpu").expand(like.shape).contiguous()

    return Lazy(like.dtype, tuple(like.shape), read)


def _carry(
    entry: Row, parts: list[Lazy], names: list[str], wanted: Mapping[str, Tensor], tensors: dict[str, Lazy]
) -> str | None:
    """Add what a row makes to `tensors`; None, or what is wrong with a shape."""
    try:
        results = entry.how.there([torch.empty(p.shape, dtype=p.dtype, device="meta") for p in parts])
    except (RuntimeError, AssertionError, IndexError):
        return f"{[list(p.shape) for p in parts]} cannot become {names[0]} {list(wanted[names[0]].shape)}"
    for i, (name, result) in enumerate(zip(names, results, strict=True)):
        if result.shape != wanted[name].shape:
            return f"gives {list(result.shape)}, {name} needs {list(wanted[name].shape)}"
        assert name not in tensors, name

        def read(i: int = i) -> Tensor:
            return entry.how.there([part.read() for part in parts])[i].contiguous()

        tensors[name] = Lazy(result.dtype, tuple(result.shape), read)
    return None


def _complain(where: str, lists: Mapping[str, list[str]]) -> None:
    found = [
        f"{title}: {', '.join(sorted(names)[:SHOWN])}"
        + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
        for title, names in lists.items()
        if names
    ]
    if found:
        raise Unfit(f"{where} does not fit. {'; '.join(found).capitalize()}")


def _find(table: Table, key: str) -> tuple[int, int, tuple[str, ...]] | None:
    """The first row whose pattern a key fits: its index, the pattern's place, what stood for {n} ..."""
    for index, entry in enumerate(table):
        if isinstance(entry, Fill):
            continue
        patterns = (entry.theirs,) if isinstance(entry, Drop) else entry.theirs
        for place, pattern in enumerate(patterns):
            match = _compiled(pattern).fullmatch(key)
            if match is not None:
                return index, place, match.groups()
    return None


def _own(table: Table, name: str) -> tuple[int, int, tuple[str, ...]] | None:
    """The row that makes a tensor of ours, as `_find` has it."""
    for index, entry in enumerate(table):
        for place, pattern in enumerate(entry.ours if isinstance(entry, Row) else ()):
            match = _compiled(pattern).fullmatch(name)
            if match is not None:
                return index, place, match.groups()
    return None


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", pattern)
    return re.compile(
        "".join(
            re.escape(part) if i % 2 == 0 else "(.+)" if part == "rest" else r"(\d+)"
            for i, part in enumerate(parts)
        )
    )


def _write(pattern: str, values: tuple[str, ...]) -> str:
    """A pattern with its placeholders filled in order: both sides of a row have the same ones."""
    for number in values:
        pattern = re.sub(r"\{\w+\}", number.replace("\\", r"\\"), pattern, count=1)
    return pattern
