"""Multipart as clients send it, and as nobody should."""

from __future__ import annotations

import asyncio

import pytest

from armchair.serve.errors import ApiError
from armchair.serve.forms import MAX_PARTS, Form, parse_form

TYPE = "multipart/form-data; boundary=XX"


def part(name: str, body: bytes, filename: str | None = None, kind: str = "") -> bytes:
    more = "" if filename is None else f'; filename="{filename}"'
    head = f'--XX\r\nContent-Disposition: form-data; name="{name}"{more}\r\n'
    return head.encode() + (f"Content-Type: {kind}\r\n".encode() if kind else b"") + b"\r\n" + body + b"\r\n"


def parsed(*parts: bytes, end: bytes = b"--XX--\r\n", kind: str = TYPE) -> Form:
    return asyncio.run(parse_form(b"".join(parts) + end, kind))


def test_what_the_official_clients_send():
    """bytes as `image` with octet-stream, a list as `image[]`, `mask`, text parts without a file name, lists
    and objects of extra_body, and an empty `user`: recorded from openai 0.28 to 3.
    """
    form = parsed(
        part("prompt", "사과".encode()),
        part("n", b"2"),
        part("user", b""),
        part("seed", b"7"),
        part("a[]", b"1"),
        part("a[]", b"2"),
        part("d[k]", b"v"),
        part("image[]", b"\x89PNG1", "upload", "application/octet-stream"),
        part("image", b"\x89PNG2", "image", "application/octet-stream"),
        part("mask", b"\x89PNG3", "mask.png", "image/png"),
    )
    texts = {"prompt": "사과", "n": "2", "user": "", "seed": "7", "a": ["1", "2"], "d": {"k": "v"}}
    assert form.texts == texts
    assert form.files == {"image": [b"\x89PNG1", b"\x89PNG2"], "mask": [b"\x89PNG3"]}


def test_a_picture_without_a_file_name_is_a_picture():
    """Some clients leave it out; its bytes are no text."""
    assert parsed(part("image", b"\x89\xff")).files == {"image": [b"\x89\xff"]}


def test_an_empty_file_is_an_absent_one():
    """A form's file field that nobody filled."""
    assert parsed(part("mask", b"", "", "application/octet-stream")).files == {}


@pytest.mark.parametrize(
    ("parts", "end", "kind"),
    [
        ([part("prompt", b"x")], b"", TYPE),  # cut before its end
        ([part("prompt", b"x")[:30]], b"", TYPE),
        ([b"nonsense"], b"", TYPE),
        ([b""], b"", TYPE),
        ([part("prompt", b"x")], b"--XX--\r\n", "multipart/form-data"),
        ([part("prompt", b"x")], b"--XX--\r\n", f"multipart/form-data; boundary={'Y' * 300}"),
        ([part("prompt", b"x")] * 2, b"--XX--\r\n", TYPE),
        ([part("a", b"x"), part("a[]", b"x")], b"--XX--\r\n", TYPE),
        ([part("a[]", b"x"), part("a[k]", b"x")], b"--XX--\r\n", TYPE),
        ([part("prompt", b"\xff\xfe")], b"--XX--\r\n", TYPE),
        ([part("", b"x")], b"--XX--\r\n", TYPE),
        ([b"--XX\r\nContent-Type: text/plain\r\n\r\nx\r\n"], b"--XX--\r\n", TYPE),
        ([part(f"p{i}", b"x") for i in range(MAX_PARTS + 1)], b"--XX--\r\n", TYPE),
        ([b"--XX\r\n" + b"X-A: b\r\n" * 1000 + b"\r\nx\r\n"], b"--XX--\r\n", TYPE),
        ([b"--XX\r\nX-A: " + b"b" * 100_000 + b"\r\n\r\nx\r\n"], b"--XX--\r\n", TYPE),
    ],
)
def test_what_is_wrong_is_the_callers_mistake(parts: list[bytes], end: bytes, kind: str):
    """Never a 500, and never a guess: a body cut short would be drawn without its mask."""
    with pytest.raises(ApiError) as refused:
        parsed(*parts, end=end, kind=kind)
    assert refused.value.status == 400


def test_every_beginning_of_a_body_is_refused():
    """However much of it arrived."""
    body = part("prompt", b"x") + part("image", b"\x89PNG\r\n--X\r\n", "i") + b"--XX--\r\n"
    for cut in range(len(body) - 2):
        with pytest.raises(ApiError):
            parsed(body[:cut], end=b"")
