"""Bodies: read with a cap, and multipart taken apart as clients really send it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from armchair.serve import errors

if TYPE_CHECKING:
    from starlette.requests import Request

MAX_PARTS = 128
MAX_TEXT = 2**20  # bytes of one text part
PICTURES = frozenset({"image", "mask", "image_a", "image_b"})  # parts that are pictures, whatever they claim
BIG = 2**20  # bytes beyond which a body is taken apart in a thread


class Uploads:
    """The bytes of all bodies that are being read or held: a cap over all of them, and one over each."""

    def __init__(self, each: int, all: int):
        self.each, self.all, self.held = each, all, 0

    @asynccontextmanager
    async def read(self, request: Request, most: int | None = None) -> AsyncGenerator[bytes]:
        """The body, which counts as held until the block ends. Raises ApiError 413, and 503 beyond the cap on
        all.
        """
        limit = self.each if most is None else min(most, self.each)
        claimed = request.headers.get("content-length", "")
        if claimed.isdigit() and int(claimed) > limit:
            raise errors.too_big(limit)
        chunks: list[bytes] = []
        size = 0
        try:
            async for chunk in request.stream():
                size += len(chunk)
                self.held += len(chunk)
                if size > limit:
                    raise errors.too_big(limit)
                if self.held > self.all:
                    raise errors.overloaded(5)
                chunks.append(chunk)
            yield b"".join(chunks)
        finally:
            self.held -= size


class Form:
    """texts: name -> text, list (`a[]`) or object (`d[k]`)        files: name -> the pictures' bytes"""

    def __init__(self) -> None:
        self.texts: dict[str, Any] = {}
        self.files: dict[str, list[bytes]] = {}


async def parse_form(body: bytes, content_type: str) -> Form:
    """Raises ApiError 400 for what is no multipart form, or only the beginning of one."""
    if len(body) > BIG:
        return await asyncio.to_thread(_parse, body, content_type)
    return _parse(body, content_type)


def is_form(content_type: str) -> bool:
    return content_type.split(";")[0].strip().lower() == "multipart/form-data"


def _parse(body: bytes, content_type: str) -> Form:
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser, parse_options_header

    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise errors.bad("The multipart body has no boundary.")
    taker = _Taker()
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": taker.begin,
                "on_header_field": taker.header_field,
                "on_header_value": taker.header_value,
                "on_header_end": taker.header_end,
                "on_part_data": taker.data,
                "on_part_end": taker.end,
                "on_end": taker.finish,
            },
        )
        parser.write(body)
        parser.finalize()
    except FormParserError:
        raise errors.bad("We could not parse the multipart body of your request.") from None
    if not taker.finished:
        raise errors.bad("The multipart body of your request ends too early.")
    return taker.form


class _Taker:
    """What the parser's callbacks fill."""

    def __init__(self) -> None:
        self.form, self.finished, self.count = Form(), False, 0
        self.begin()
        self.count = 0

    def begin(self) -> None:
        self.count += 1
        if self.count > MAX_PARTS:
            raise errors.bad(f"The multipart body has more than {MAX_PARTS} parts.")
        self.field = self.value = b""
        self.disposition = b""
        self.content = bytearray()

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self.field += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self.value += data[start:end]

    def header_end(self) -> None:
        if self.field.lower() == b"content-disposition":
            self.disposition = self.value
        self.field = self.value = b""

    def data(self, data: bytes, start: int, end: int) -> None:
        self.content += data[start:end]

    def end(self) -> None:
        from python_multipart.multipart import parse_options_header

        options = parse_options_header(self.disposition)[1]
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if not name:
            raise errors.bad("A part of the multipart body has no name.")
        content, self.content = bytes(self.content), bytearray()
        base = name.removesuffix("[]")
        if base in PICTURES or (b"filename" in options and base == name):
            if content:  # an empty part is an absent one
                self.form.files.setdefault(base, []).append(content)
            return
        if len(content) > MAX_TEXT:
            raise errors.too_big(MAX_TEXT)
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:
            raise errors.bad(f"The part '{name[:100]}' is not UTF-8 text.") from None
        self._keep(name, text)

    def finish(self) -> None:
        self.finished = True

    def _keep(self, name: str, text: str) -> None:
        texts = self.form.texts
        inner = re.fullmatch(r"([^\[\]]+)\[([^\[\]]*)\]", name)
        if inner is None:
            if name in texts:
                raise errors.bad(f"The part '{name[:100]}' is there twice.")
            texts[name] = text
        elif inner[2] == "":
            self._container(name, inner[1], []).append(text)
        else:
            self._container(name, inner[1], {})[inner[2]] = text

    def _container(self, name: str, base: str, empty: Any) -> Any:
        """The list or object that `a[]` or `d[k]` goes into."""
        found = self.form.texts.setdefault(base, empty)
        if type(found) is not type(empty):
            raise errors.bad(f"The part '{name[:100]}' is there in two forms.")
        return found
