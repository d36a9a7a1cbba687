"""The page without a browser: its door, its words, its mask. `test_page` is the page itself."""

from __future__ import annotations

import string
import time

import pytest

from armchair.serve.canvas import Size
from armchair.serve.codecs import Pixels
from armchair.serve.errors import ApiError
from armchair.serve.keys import Keys
from armchair.serve.page.clicks import mask_of
from armchair.serve.page.desk import Progress, Wish
from armchair.serve.page.door import OPEN
from armchair.serve.page.shown import conversation, progress, settings
from armchair.serve.page.words import WORDS, Words, preferred
from tests.serve.running import Running

KEYS = ("sk-first-key", "sk-second-key")


def test_both_languages_say_the_same():
    """No text is missing, and what is filled in is the same in both."""
    names = [
        [name for _, name, _, _ in string.Formatter().parse(text) if name is not None]
        for pair in WORDS.values()
        for text in pair
    ]
    assert all(sorted(a) == sorted(b) for a, b in zip(names[::2], names[1::2], strict=True))
    assert all(all(text.strip() for text in pair) for pair in WORDS.values())


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("ko-KR,ko;q=0.9,en;q=0.8", "ko"),
        ("fr-FR,fr;q=0.9,en;q=0.2,ko;q=0.1", "en"),
        ("en;q=0.1, ko;q=0.7", "ko"),
        ("", "en"),
        ("ko;q=x, de", "en"),
    ],
)
def test_the_language_is_the_browser_s(header: str, language: str):
    """The one that it likes best of those that we speak."""
    assert preferred(header) == language


def test_a_pass_is_of_its_key_and_ends():
    """What the browser keeps: another server with the same keys takes it, nobody else, and not for ever."""
    keys, now = Keys(KEYS), time.time()
    given = keys.admit(KEYS[1], now + 60)
    owner = keys.owner(f"Bearer {KEYS[1]}")
    assert Keys(KEYS).admitted(given, now) == owner
    assert Keys(KEYS[:1]).admitted(given, now) is None
    assert keys.admitted(given, now + 61) is None
    until, _, rest = given.partition("-")
    assert keys.admitted(f"{int(until) + 1}-{rest}", now) is None
    other = keys.owner(f"Bearer {KEYS[0]}")
    assert keys.admitted(given.replace(owner, other), now) is None
    assert KEYS[1] not in given
    with pytest.raises(ApiError):
        keys.admit("sk-third-key", now + 60)


@pytest.mark.parametrize(
    ("path", "is_open"),
    [
        ("", True),
        ("assets/index.js", True),
        ("gradio_api/queue/join", True),
        ("gradio_api/file=/tmp/armchair-page-x/a.png", True),
        ("gradio_api/file=http://192.0.2.1/", False),
        ("gradio_api/proxy=http://192.0.2.1/", False),
        ("gradio_api/call/draw", False),
        ("gradio_api/api/draw", False),
        ("monitoring", False),
        ("gradio_api/run-history/buckets", False),
        ("gradio_api/queue/joined", False),
    ],
)
def test_what_gradio_may_answer(path: str, is_open: bool):
    """Only what the page uses."""
    assert (OPEN.fullmatch(path) is not None) == is_open


def test_a_mask_is_what_was_touched():
    """Painted large, used small: a pixel of which anything was touched is painted anew, no other is."""
    size = Size(4, 2)
    layer = bytearray(4 * 32 * 16)  # eight times the size, nothing painted
    layer[4 * (9 * 32 + 17) + 3] = 1  # row 9, column 17: hardly visible
    mask = mask_of(Pixels(Size(32, 16), "RGBA", bytes(layer)), size)
    assert (mask.size, mask.mode) == (size, "L")
    assert [place for place, value in enumerate(mask.data) if value] == [4 + 2]
    assert mask_of(Pixels(size, "RGBA", b"\0\0\0\5" * 8), size).data == b"\xff" * 8
    assert mask_of(Pixels(size, "RGB", b"\0\0\0" * 8), size).data == b"\xff" * 8


def test_words_of_people_are_no_html():
    """A prompt or a message is shown as text."""
    words = Words("en")
    state = Progress(Wish(model="<b>", operation="generate"), error="<script>", notes=["<i>"])
    shot = {"model": "m", "operation": "generate", "prompt": "<img src=x>", "revised_prompt": None, "seed": 1}
    shot |= {"size": "1x1", "options": {"<u>": "<s>"}, "extras": {}, "seconds": 1.0, "notes": ["<a>"]}
    talk = conversation([("user", "<script>", None), ("assistant", "<i>", "a.png")])
    for text in (progress([state], words), settings(shot, words), talk):
        assert not any(tag in text for tag in ("<script>", "<i>", "<img src=x>", "<u>", "<s>", "<a>"))


def test_a_server_without_a_page(server: Running):
    """Its addresses do not exist, and say so as all others do."""
    for path in ("/", "/ui", "/ui/en/"):
        reply = server.get(path)
        assert (reply.status_code, reply.json()["error"]["type"]) == (404, "invalid_request_error")
