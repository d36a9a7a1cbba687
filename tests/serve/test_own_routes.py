"""What the Images API lacks, under /v1/armchair/."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import pytest

from tests.serve.running import Running, png

OWN = "/v1/armchair"


def post(server: Running, name: str, files: Any = None, **fields: Any) -> httpx.Response:
    return server.post(f"{OWN}/{name}", data=fields, files=files or {"image": png()})


def count(reply: httpx.Response) -> int:
    assert reply.status_code == 200, reply.text
    return len(reply.json()["data"])


def message(reply: httpx.Response) -> str:
    assert reply.status_code == 400, reply.text
    return reply.json()["error"]["message"]


def test_operations_that_draw(server: Running):
    """Each brings as many pictures as it was asked for."""
    assert count(post(server, "complete", prompt="a cat", n="2", keep_rows="3")) == 2
    assert count(post(server, "outpaint", prompt="a cat", size="32x16", anchor="left")) == 1
    both = {"image_a": png(), "image_b": png(colour=(1, 2, 3))}
    assert count(post(server, "blend", files=both)) == 5
    assert count(post(server, "blend", files=both, frames="3")) == 3
    assert count(post(server, "textdiff", source="a cat", target="a dog", frames="2")) == 2


def test_operations_that_speak(server: Running):
    """Words come back as words."""
    assert post(server, "caption", language="ko").json() == {"text": "a picture of (16, 16), ko"}
    assert server.post(f"{OWN}/expand", json={"prompt": "a cat"}).json() == {"text": "a cat, in detail"}
    two = [("image[]", ("a", png())), ("image[]", ("b", png()))]
    texts = {"prompt[]": ["a cat", "a dog", "a bee"]}
    assert server.post(f"{OWN}/score", data=texts, files=two).json() == {"scores": [[0.5] * 3] * 2}
    one = server.post(f"{OWN}/score", data={"prompt": "a cat"}, files={"image": png()})
    assert one.json() == {"scores": [[0.5]]}


def test_what_needs_another_bundle_says_so(server: Running):
    """A clear answer, in OpenAI's shape, that no client tries again."""
    said = [{"role": "user", "content": "hello"}]
    body = {"messages": said, "model": "dalle1", "rerank": 4}
    reply = server.post(f"{OWN}/chat", json=body)
    assert "rerank needs a clip bundle" in message(reply)
    assert reply.json()["error"]["code"] == "unsupported_operation"
    reply = post(server, "complete", prompt="x", model="dalle2")
    assert "The model `dalle2` cannot complete pictures here: dalle1 can" in message(reply)


@pytest.mark.parametrize(
    ("name", "fields", "words"),
    [
        ("complete", {"prompt": "x", "keep_rows": "0"}, "less than the minimum"),
        ("complete", {"prompt": "x", "keep": "1"}, "Unknown parameter: 'keep'."),
        ("complete", {}, "'prompt' is a required property"),
        ("outpaint", {"prompt": "x"}, "'size' is a required property"),
        ("outpaint", {"prompt": "x", "size": "9000x10"}, "is not one of ['16x16', '32x16']"),
        ("blend", {}, "'image_a' is a required property"),
        ("blend", {"frames": "1"}, "less than the minimum"),
        ("textdiff", {"source": "x"}, "'target' is a required property"),
        ("caption", {"language": "fr"}, "is not one of ['en', 'ko']"),
        ("chat", {}, "'messages' is a required property"),
        ("score", {}, "'prompt' is a required property"),
        ("expand", {"prompt": "x", "writer": "http://192.0.2.1"}, "Unknown parameter: 'writer'."),
    ],
)
def test_what_is_wrong(server: Running, name: str, fields: dict[str, str], words: str):
    """The same words as on OpenAI's routes."""
    assert words in message(post(server, name, **fields))


def test_a_conversation(server: Running):
    """What the user said in turn is settled, written out where that is asked for, and drawn; the seed of a
    reply draws it again. Messages that are none are refused in words.
    """
    said = [
        {"role": "user", "content": "a cat"},
        {"role": "assistant", "content": "here"},
        {"role": "user", "content": "make it red"},
    ]
    body = {"messages": said, "model": "dalle2", "response_format": "b64_json"}
    first = server.post(f"{OWN}/chat", json=body).json()["data"][0]
    plain = server.draw("a cat then make it red", model="dalle2", seed=first["seed"]).json()["data"][0]
    assert first["b64_json"] == plain["b64_json"] and "revised_prompt" not in first
    long = server.post(f"{OWN}/chat", json={**body, "expand": "builtin"}).json()["data"][0]
    assert long["revised_prompt"] == "a cat then make it red, wide"
    for wrong in (
        ["a cat"],
        [{"role": "user"}],
        [{"role": "nobody", "content": "x"}],
        [said[1]],
        "a cat",
        [],
    ):
        assert server.post(f"{OWN}/chat", json={**body, "messages": wrong}).status_code == 400


def test_where_a_request_stands(server: Running):
    """Whoever names a request may ask for its place meanwhile."""
    replies: list[httpx.Response] = []

    def draw() -> None:
        body = {"prompt": "a cat", "model": "dalle2"}
        with httpx.Client(base_url=server.base, timeout=30, trust_env=False) as client:
            headers = {"x-request-id": "request-1"}
            replies.append(client.post("/v1/images/generations", json=body, headers=headers))

    with server.held():
        thread = threading.Thread(target=draw)
        thread.start()
        server.waiting(1)
        standing = server.get(f"{OWN}/requests/request-1").json()
        assert (standing["state"], standing["position"]) == ("waiting", 1)
        assert standing["eta_seconds"] >= 0
        about = server.get(f"{OWN}/queue").json()
        assert (about["waiting"], about["drawing"], about["workers"]) == (1, 1, 1)
    thread.join()
    assert replies[0].status_code == 200
    assert server.get(f"{OWN}/requests/request-1").status_code == 404
