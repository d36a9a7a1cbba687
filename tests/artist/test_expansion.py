"""Who writes prompts out: nobody, the builtin writer, a language model; and what becomes of bad answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from armchair.artist import artist as artists
from armchair.artist import expansion, llm
from armchair.artist.artist import load
from armchair.artist.expansion import check_writer, rewrite, write_out
from armchair.artist.language import caption, expand
from armchair.artist.redo import redo
from armchair.core.errors import BadInput, MissingDependency, Unsupported
from tests.writer.tiny import saying

GOOD = "A glossy picture of a red cat that sits in the middle of a plain white background."


class Endpoint(HTTPServer):
    """Answers like a language model, and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.answer: Any = GOOD
        self.status = 200
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Answering(BaseHTTPRequestHandler):
    server: Endpoint  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        self.reply({"data": [{"id": "first"}, {"id": "second"}]})

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append({"path": self.path, **json.loads(data)})
        self.server.keys.append(self.headers["Authorization"])
        self.reply({"choices": [{"message": {"content": self.server.answer}}]})

    def reply(self, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    server = Endpoint()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def builtin(monkeypatch: pytest.MonkeyPatch) -> None:
    """A builtin writer whose network is of no use: all comes from the graph."""
    model = saying(lambda *_: ["nothing"])
    monkeypatch.setattr(expansion, "load_writer", lambda *_, **__: model)


def test_an_endpoint(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch):
    """The rules of appendix C go first, the wish as it was said; the first model unless one is named."""
    monkeypatch.delenv(llm.KEY, raising=False)
    found = write_out("a red cat", endpoint.url)
    assert (found.text, found.note, found.by) == (GOOD, None, endpoint.url)
    asked = endpoint.asked[0]
    assert asked["path"] == "/v1/chat/completions" and asked["model"] == "first"
    assert [m["role"] for m in asked["messages"]] == ["system", "user"]
    assert (
        asked["messages"][1]["content"] == "a red cat" and "15 to 80 words" in asked["messages"][0]["content"]
    )
    assert endpoint.keys == [None]
    monkeypatch.setenv(llm.KEY, "secret")
    rewrite(GOOD, "make it blue", f"{endpoint.url}#second", language="en")
    asked = endpoint.asked[1]
    assert asked["model"] == "second" and endpoint.keys[1] == "Bearer secret"
    assert GOOD in asked["messages"][1]["content"] and "make it blue" in asked["messages"][1]["content"]
    assert "Write in English" in asked["messages"][0]["content"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("I'm sorry, but I can't help with that request, since it is against my rules.", "refuses"),
        ("", "answers nothing"),
        ("A cat.", "too few words"),
        ("a red cat " * 12, "nonsense"),
        (" ".join("0123456789"), "nonsense"),
        (None, "too few words"),
        (
            "A glossy picture of a brown dog that sits in the middle of a plain white background.",
            "leaves out cat",
        ),
        ("하얀 배경 가운데에 앉아 있는 빨간 고양이를 그린 반짝이는 그림이다.", "answers in Korean"),
    ],
)
def test_bad_answers_leave_the_persons_words(endpoint: Endpoint, answer: str | None, reason: str):
    """A picture of something else, or none, is worse than the prompt as it was; the person is told."""
    endpoint.answer = answer
    found = write_out("a red cat", endpoint.url, language="en")
    assert found.text is None and found.note is not None
    assert reason in found.note and "your own words are drawn" in found.note


def test_nobody_answers(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch):
    """An error, a strange body, a timeout, a closed door: a note each, never a traceback."""
    endpoint.status = 500
    assert "status 500" in str(write_out("a cat", endpoint.url).note)
    endpoint.status = 200
    monkeypatch.setattr(Answering, "reply", lambda self, body: self.send_error(404))
    assert "status 404" in str(write_out("a cat", endpoint.url).note)
    monkeypatch.setattr(Answering, "reply", lambda self, body: broken_off(self))
    assert "IncompleteRead" in str(write_out("a cat", f"{endpoint.url}#m").note)
    monkeypatch.setattr(llm, "LARGEST", 50)
    monkeypatch.setattr(Answering, "reply", lambda self, body: broken_off(self, 100))
    assert "more than 50 bytes" in str(write_out("a cat", f"{endpoint.url}#m").note)
    monkeypatch.setattr(llm, "TIMEOUT", 0.05)
    monkeypatch.setattr(Answering, "reply", trickled)
    assert "timed out" in str(write_out("a cat", f"{endpoint.url}#m").note)
    monkeypatch.setattr(Answering, "reply", lambda self, body: threading.Event().wait(0.2))
    assert "does not answer" in str(write_out("a cat", f"{endpoint.url}#m").note)
    assert "does not answer" in str(write_out("a cat", "http://127.0.0.1:9/v1#m").note)


def broken_off(handler: BaseHTTPRequestHandler, sent: int = 10) -> None:
    """An answer of which less comes than was promised."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"{" + b" " * sent)


def trickled(handler: BaseHTTPRequestHandler, body: Any) -> None:
    """A byte every so often, each in time by itself."""
    handler.send_response(200)
    handler.end_headers()
    for _ in range(8):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        threading.Event().wait(0.02)


def test_answers_are_cleaned():
    """Models think aloud, quote, and talk too much."""
    said = f'<think>A cat?\n</think>\n**Description:** "{GOOD}"'
    assert llm.cleaned(said) == GOOD
    long = " ".join(f"This is sentence number {i}." for i in range(40))
    short = llm.shortened(long)
    assert len(short.split()) <= 80 and short.endswith(".") and long.startswith(short)
    assert llm.name("http://me:pass@host/v1?key=1") == "http://host/v1"


def test_a_local_model(tmp_path: Path):
    """Without transformers the message says what to install; a folder without a model is no answer."""
    pytest.raises(MissingDependency, llm.local, str(tmp_path), []) if _missing() else None
    assert check_writer(str(tmp_path)) == str(tmp_path)
    with pytest.raises(BadInput, match="no writer 'bultin'. Did you mean 'builtin'"):
        check_writer("bultin")


def _missing() -> bool:
    import importlib.util

    return importlib.util.find_spec("transformers") is None


def test_off_and_builtin(builtin: None):
    """Off is off; the builtin writer is a function of the prompt and the seed."""
    assert write_out("a red cat", "off").text is None
    one, two = (write_out("a red cat", "builtin", seed=seed).text for seed in (1, 2))
    assert one == write_out("a red cat", "builtin", seed=1).text != two
    assert expand("a red cat", seed=1) == one and expand("a red cat", writer="off") == "a red cat"


def test_what_was_drawn_is_always_told(shipped: Path, builtin: None):
    """revised_prompt stands in the picture and its recipe, redo draws it again, and it can be pinned, edited.
    A picture is the same alone and beside others.
    """
    artist = load("toy")
    pictures = artist.generate("a red cat", n=2, seed=4, expand="builtin")
    revised = pictures[0].revised_prompt
    assert revised is not None and len(revised.split()) >= 15 and pictures[1].revised_prompt == revised
    assert pictures[0].prompt == "a red cat" and pictures[0].recipe["revised_prompt"] == revised
    again = redo(pictures[1].recipe)
    alone = artist.generate("a red cat", seed=5, expand="builtin")[0]
    pinned = artist.generate("a red cat", seed=5, revised=revised)[0]
    pixels = {p.image.tobytes() for p in (pictures[1], again, alone, pinned)}
    assert len(pixels) == 1 and again.revised_prompt == revised
    edited = artist.generate("a red cat", seed=5, revised="two green houses at sea")[0]
    assert edited.image.tobytes() not in pixels and edited.revised_prompt == "two green houses at sea"
    plain = artist.generate("a red cat", seed=5, expand="off")[0]
    assert plain.revised_prompt is None and plain.image.tobytes() not in pixels


def test_korean_for_a_model_that_reads_none(shipped: Path, builtin: None, monkeypatch: pytest.MonkeyPatch):
    """The writer turns it into English; what it cannot translate is told."""
    artist, notes = load("toy"), []
    monkeypatch.setattr(artists.log, "warning", notes.append)
    drawn = artist.generate("빨간 고양이", seed=1, expand="builtin")[0]
    assert drawn.revised_prompt is not None and "red" in drawn.revised_prompt
    untold = "Korean words that the writer cannot translate"
    assert not any(untold in note for note in notes)
    artist.job("두리안", expand="builtin", options={})
    assert untold in notes[-1]


def test_what_is_missing(shipped: Path, tmp_path: Path):
    """The message names what would help."""
    expansion.load_writer.cache_clear()
    with pytest.raises(Unsupported, match="expand needs a writer bundle: unknown model 'writer'"):
        load("toy").generate("a cat", expand="builtin")
    with pytest.raises(Unsupported, match="expand needs a writer bundle; toy is a toy bundle"):
        expansion.load_writer("toy")
    from PIL import Image

    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    with pytest.raises(Unsupported, match="caption needs a captioner bundle: unknown model 'captioner'"):
        caption(tmp_path / "x.png")
