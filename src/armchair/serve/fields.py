"""Reading the fields of a call, JSON or multipart, with OpenAI's words for what is wrong."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn, cast

from armchair.serve import errors
from armchair.serve.canvas import Size
from armchair.serve.dialects import KNOWN_SIZES, Dialect

MAX_SEED = 2**63 - 1
ROLES = ("system", "developer", "user", "assistant")  # of chat programs; only the user's words count here


class Fields:
    """The fields of one call. null, and in a form an empty part, is the same as absent.

    Every reader takes a name and returns None where it is absent; `only` refuses every other name.
    """

    def __init__(self, values: Mapping[str, Any], *, form: bool):
        self.form = form
        self._values = {
            name: value for name, value in values.items() if value is not None and not (form and value == "")
        }

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str, longest: int | None = None) -> str | None:
        value = self._take(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise errors.wrong_type(value, "string", name)
        try:
            value.encode()
        except UnicodeEncodeError:
            raise errors.bad(f"'{name}' is not valid Unicode text", param=name) from None
        if longest is not None and len(value) > longest:
            raise errors.too_long(len(value), longest, name)
        return value

    def prompt(self, name: str, longest: int) -> str:
        """A text that must be there and say something."""
        value = self.text(name, longest)
        if value is None:
            raise errors.missing(name)
        if not value.strip():
            raise errors.bad(f"'' is too short - '{name}'", param=name)
        return value

    def choice(self, name: str, options: Sequence[str]) -> str | None:
        value = self._take(name)
        if value is not None and value not in options:
            raise errors.not_one_of(value, options, name)
        return cast("str | None", value)

    def integer(self, name: str, least: int, most: int) -> int | None:
        value = self._take(name)
        if value is None:
            return None
        if self.form and isinstance(value, str) and re.fullmatch(r"[+-]?\d{1,20}", value.strip()):
            value = int(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise errors.wrong_type(value, "integer", name)
        if value > most:
            raise errors.too_large(value, most, name)
        if value < least:
            raise errors.too_small(value, least, name)
        return value

    def boolean(self, name: str) -> bool | None:
        value = self._take(name)
        if value is None or isinstance(value, bool):
            return value
        words = {"true": True, "false": False, "1": True, "0": False}
        if self.form and isinstance(value, str) and value.strip().lower() in words:
            return words[value.strip().lower()]
        raise errors.wrong_type(value, "boolean", name)

    def option(self, name: str, default: object) -> int | float | str | bool | None:
        """An option of a model, which checks its range itself: a number where its default is one, text or a
        truth value where that is one, and any of them where it is None.
        """
        if isinstance(default, bool):
            return self.boolean(name)
        if isinstance(default, str):
            return self.text(name, 200)
        value = self._take(name)
        if value is None:
            return None
        if self.form and isinstance(value, str):
            value = _scalar(value)
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if number or (default is None and isinstance(value, str | bool)):
            return cast("int | float | str | bool", value)
        raise errors.wrong_type(value, "number", name)

    def texts(self, name: str, longest: int) -> list[str]:
        """A list of texts, or a single one; [] where absent."""
        value = self._take(name)
        listed: list[Any] = [] if value is None else cast(list[Any], value) if _is_list(value) else [value]
        for entry in listed:
            if not isinstance(entry, str) or not entry.strip():
                raise errors.wrong_type(entry, "string", name)
            if len(entry) > longest:
                raise errors.too_long(len(entry), longest, name)
        return cast(list[str], listed)

    def spoken(self, name: str, longest: int, most: int) -> list[str]:
        """What the user said, of a list of messages as chat programs send them."""
        value = self._take(name)
        if not _is_list(value) or not value:
            raise errors.missing(name)
        found: list[str] = []
        for entry in cast(list[Any], value):
            role, content = (entry.get(key) for key in ("role", "content")) if _is_table(entry) else (None, 0)
            if not isinstance(content, str) or role not in ROLES:
                raise errors.bad(f"'{name}' holds messages as {{'role': 'user', 'content': 'text'}}", name)
            if len(content) > longest:
                raise errors.too_long(len(content), longest, name)
            if role == "user":
                found.append(content)
        if len(found) > most:
            raise errors.too_large(len(found), most, name)
        if not found or not all(text.strip() for text in found):
            raise errors.bad(f"'{name}' needs user messages that say something", param=name)
        return found

    def pop(self, name: str) -> Any:
        """As it came, and no longer among the fields."""
        return self._values.pop(name, None)

    def size(self, dialect: Dialect, own: Sequence[str], *, strict: bool, name: str = "size") -> Size | None:
        """The size to answer with; None is what the model draws first."""
        value = self._take(name)
        if value is None or (value == "auto" and (dialect.gpt or not strict)):
            value = dialect.size
        if value is None:
            return None
        sizes = dialect.sizes if dialect.sizes else tuple(own)
        if value in sizes or (dialect.any_size and free_size(value)):
            return Size.of(value)
        if dialect.sizes and value in KNOWN_SIZES:
            raise errors.bad("The size is not supported by this model.", code="invalid_size")
        raise errors.not_one_of(value, sizes, name)

    def only(self, allowed: Iterable[str]) -> None:
        """Refuse what is not allowed here. Silence about a field that does nothing helps nobody."""
        for name in self._values:
            if name not in allowed:
                raise errors.unknown_parameter(name)

    def _take(self, name: str) -> Any:
        return self._values.get(name)


def free_size(value: object) -> bool:
    """WIDTHxHEIGHT of multiples of 16, from 1:3 to 3:1, at most as many pixels as 3840x2160."""
    match = re.fullmatch(r"([1-9]\d{1,3})x([1-9]\d{1,3})", value) if isinstance(value, str) else None
    if match is None:
        return False
    width, height = int(match[1]), int(match[2])
    fits = width % 16 == 0 and height % 16 == 0 and max(width, height) <= 3840
    return fits and width * height <= 3840 * 2160 and max(width, height) <= 3 * min(width, height)


def parse_json(body: bytes) -> dict[str, Any]:
    """The JSON object of a body. Raises ApiError 400."""
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise errors.not_json("it is not UTF-8") from None
    except RecursionError:
        raise errors.not_json("it is nested too deeply") from None
    except ValueError:
        raise errors.not_json() from None
    if not isinstance(value, dict):
        raise errors.not_json("it is no object")
    return cast(dict[str, Any], value)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity are no JSON


def _scalar(text: str) -> int | float | str:
    """A form's text as what it looks like."""
    if re.fullmatch(r"[+-]?\d{1,20}", text):
        return int(text)
    if re.fullmatch(r"[+-]?(\d{1,20}\.\d{0,20}|\.\d{1,20}|\d{1,20})([eE][+-]?\d{1,3})?", text):
        return float(text)
    return text


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _is_table(value: object) -> bool:
    return isinstance(value, dict)
