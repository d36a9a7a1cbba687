"""Server-sent events: previews that are previews, one end or one error, and a stream that stays open."""

from __future__ import annotations

import base64
import json
from typing import Any

from tests.serve.running import Running, opened, png, running

GENERATE = "/v1/images/generations"
NEEDED = {"type", "b64_json", "created_at", "size", "quality", "background", "output_format"}


def events(server: Running, path: str = GENERATE, **request: Any) -> tuple[list[tuple[str, Any]], list[str]]:
    """(event, data) of a stream, and its comments."""
    found: list[tuple[str, Any]] = []
    comments: list[str] = []
    with server.client.stream("POST", path, **request) as reply:
        assert reply.status_code == 200
        assert reply.headers["content-type"].startswith("text/event-stream")
        name = ""
        for line in reply.iter_lines():
            if line.startswith(":"):
                comments.append(line[1:].strip())
            elif line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                found.append((name, json.loads(line[6:])))
    return found, comments


def drawing(prompt: str = "a cat", **fields: Any) -> dict[str, Any]:
    return {"json": {"prompt": prompt, "stream": True, "model": "dalle2", **fields}}


def test_previews_come_before_the_picture(server: Running):
    """Each is another picture, numbered from 0, and the last event is the picture itself."""
    found, _ = events(server, **drawing(partial_images=3, seed=7))
    kinds = [f"image_generation.{kind}" for kind in ["partial_image"] * 3 + ["completed"]]
    assert [kind for kind, _ in found] == kinds
    assert all(NEEDED <= set(data) and data["type"] == kind for kind, data in found)
    assert [data["partial_image_index"] for _, data in found[:3]] == [0, 1, 2]
    assert len({data["b64_json"] for _, data in found}) == 4
    last = found[-1][1]
    whole = server.draw(model="dalle2", seed=7).json()["data"][0]
    assert last["b64_json"] == whole["b64_json"]
    assert last["usage"]["total_tokens"] > 0
    assert type(last["created_at"]) is int
    assert last["seed"] == 7


def test_without_previews_there_is_one_event(server: Running):
    """partial_images 0, the default."""
    found, _ = events(server, **drawing())
    assert [kind for kind, _ in found] == ["image_generation.completed"]


def test_several_pictures_tell_which_they_are(server: Running):
    """One end each, with its index; the words that types of clients admit."""
    found, _ = events(server, **drawing(n=3, partial_images=1, model="dall-e-2", size="256x256"))
    ends = [data for kind, data in found if kind.endswith("completed")]
    assert sorted(data["index"] for data in ends) == [0, 1, 2]
    assert len(found) == 6
    assert {(d["size"], d["quality"], d["background"]) for _, d in found} == {("auto", "auto", "auto")}
    assert opened(base64.b64decode(ends[0]["b64_json"])).size == (256, 256)


def test_edits_stream_too(server: Running):
    """Form fields say `true` in letters."""
    request = {"data": {"prompt": "a hat", "stream": "true", "partial_images": "1"}}
    found, _ = events(server, "/v1/images/edits", **request, files={"image": png(mode="RGBA")})
    assert [kind for kind, _ in found] == ["image_edit.partial_image", "image_edit.completed"]


def test_a_failure_after_the_status_line_is_an_event(server: Running):
    """Nested as clients need it, and the last thing that is said: a stream that just ends looks like
    success.
    """
    found, _ = events(server, **drawing("raise"))
    assert [kind for kind, _ in found] == ["error"]
    assert set(found[0][1]["error"]) == {"message", "type", "param", "code"}
    assert found[0][1]["error"]["type"] == "server_error"
    found, _ = events(server, **drawing("refuse"))
    assert found[0][1]["error"]["message"] == "the prompt asks to be refused"


def test_a_failure_before_it_is_a_status(server: Running):
    """What is wrong with the call is known before anything streams."""
    reply = server.post(GENERATE, json={"prompt": "x", "stream": True, "size": "1x1"})
    assert reply.status_code == 400
    assert reply.headers["content-type"] == "application/json"


def test_the_stream_is_kept_open_and_tells_the_place():
    """Proxies close what is silent; a person wants to know how long."""
    with running(keep_alive=0.05) as server:
        found, comments = events(server, **drawing("pause 0.1"))
        assert found[-1][0] == "image_generation.completed"
        places = [json.loads(comment) for comment in comments]
        assert {place["state"] for place in places} <= {"waiting", "drawing"}
        assert any(place["state"] == "drawing" and place["eta_seconds"] >= 0 for place in places)
