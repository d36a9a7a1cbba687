"""OpenAI's three routes over the wire: what comes back, and in what shape what is wrong comes back."""

from __future__ import annotations

import base64
import io
import json
import random
from typing import Any

import httpx
import pytest
from PIL import Image

from armchair.serve.asking import JSON_BYTES, JSON_PICTURES
from tests.serve.running import Running, opened, png

GENERATE, EDIT, VARY = (f"/v1/images/{name}" for name in ("generations", "edits", "variations"))
KEYS = {"message", "type", "param", "code"}


def error(reply: httpx.Response, status: int = 400) -> dict[str, Any]:
    """The error of a reply, which has OpenAI's shape."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-request-id"]
    body = reply.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == KEYS
    return body["error"]


def pictures(reply: httpx.Response) -> list[Image.Image]:
    assert reply.status_code == 200, reply.text
    return [opened(base64.b64decode(entry["b64_json"])) for entry in reply.json()["data"]]


def pixels(reply: httpx.Response) -> list[bytes]:
    return [image.tobytes() for image in pictures(reply)]


def test_the_ten_line_program(server: Running):
    """Nothing but a prompt: a URL that works without a key, an hour long, with a picture of the old size."""
    reply = server.post(GENERATE, json={"prompt": "a cat"})
    body = reply.json()
    assert type(body["created"]) is int
    url = body["data"][0]["url"]
    assert url.startswith(f"{server.base}/v1/armchair/results/")
    got = httpx.get(url, trust_env=False)
    assert got.headers["content-type"] == "image/png"
    assert got.headers["x-content-type-options"] == "nosniff"
    image = opened(got.content)
    assert image.size == (1024, 1024)
    recipe = json.loads(image.text["armchair"])  # pyright: ignore[reportAttributeAccessIssue]
    assert recipe["seed"] == body["data"][0]["seed"]
    assert recipe["shown_size"] == "1024x1024"
    assert not {"size", "quality", "background"} & set(body)  # values that strict clients do not know


@pytest.mark.parametrize("size", ["256x256", "512x512", "1024x1024"])
def test_n_and_size_are_what_was_asked(server: Running, size: str):
    """Silently another number or size is what the peers do."""
    images = pictures(server.draw(n=2, size=size))
    assert [f"{image.width}x{image.height}" for image in images] == [size, size]


def test_wide_pictures(server: Running):
    """dall-e-3's own sizes, drawn in the nearest shape that the model has."""
    reply = server.draw(model="dall-e-3", size="1792x1024")
    assert pictures(reply)[0].size == (1792, 1024)
    assert reply.json()["data"][0]["drawn_size"] == "32x16"


def test_the_same_seed_is_the_same_picture(server: Running):
    """Seeds count up, so that the second of two is the first of the next."""
    two = pixels(server.draw(model="dalle2", seed=7, n=2))
    assert pixels(server.draw(model="dalle2", seed=8)) == [two[1]]
    assert two[0] != two[1]
    assert [entry["seed"] for entry in server.draw(model="dalle2", seed=7, n=2).json()["data"]] == [7, 8]


def test_options_change_the_picture_and_wrong_ones_are_refused(server: Running):
    """What the model takes reaches it; what it does not take is not ignored."""
    one = pixels(server.draw(model="dalle2", seed=7))
    assert pixels(server.draw(model="dalle2", seed=7, guidance=5)) != one
    assert pixels(server.draw(model="dalle2", seed=7, steps=9)) != one
    assert "dalle1 has no option 'steps'" in error(server.draw(model="dalle1", steps=9))["message"]
    assert error(server.draw(temperature=1))["message"] == "Unknown parameter: 'temperature'."


def test_revised_prompts(server: Running):
    """dall-e-3 always tells what was drawn; the others have nothing to tell."""
    assert server.draw("a cat", model="dall-e-3").json()["data"][0]["revised_prompt"] == "a cat, in detail"
    own = server.draw("a cat", model="dalle2", expand="builtin").json()["data"][0]
    assert own["revised_prompt"] == "a cat, in detail"
    assert "revised_prompt" not in server.draw("a cat").json()["data"][0]


def test_what_a_person_should_know_comes_along(server: Running):
    """A word that the model has never seen."""
    assert server.draw("a zebra", model="dalle1").json()["notes"] == ["dalle1 has never seen the word zebra"]
    assert "notes" not in server.draw("a cat").json()


def test_gpt_image_manners(server: Running):
    """Base64 without being asked, the echoes that its clients read, usage that adds up."""
    reply = server.post(
        GENERATE, json={"prompt": "a cat", "model": "gpt-image-1", "output_format": "jpeg", "n": 2}
    )
    body = reply.json()
    assert opened(base64.b64decode(body["data"][1]["b64_json"])).format == "JPEG"
    assert (body["background"], body["output_format"], body["quality"]) == ("opaque", "jpeg", "medium")
    assert body["size"] == "1024x1024"
    usage = body["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["output_tokens"] == 2 * 64 * 64


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
def test_formats(server: Running, form: str):
    """The bytes are what the field says, and so is the URL's type."""
    reply = server.post(GENERATE, json={"prompt": "a cat", "size": "256x256", "output_format": form})
    got = server.get(reply.json()["data"][0]["url"])
    assert got.headers["content-type"] == f"image/{form}"
    assert opened(got.content).format == form.upper()


def edit(server: Running, route: str = EDIT, files: Any = None, **fields: Any) -> httpx.Response:
    usual = {"prompt": "a hat", "size": "256x256", "response_format": "b64_json"}
    usual = usual if route == EDIT else {name: usual[name] for name in ("size", "response_format")}
    return server.post(route, data={**usual, **fields}, files=files or {"image": png(mode="RGBA")})


def test_edits_and_variations(server: Running):
    """By name or as a list, whatever type the part claims; two pictures where two are asked for."""
    part = ("upload", png(mode="RGBA"), "application/octet-stream")
    one = pixels(edit(server, files={"image": part}, seed="3"))
    assert pixels(edit(server, files={"image[]": part}, seed="3")) == one
    assert len(pictures(edit(server, n="2", user=""))) == 2
    masked = {"image": png(), "mask": png(mode="RGBA")}
    assert pictures(edit(server, files=masked))[0].size == (256, 256)
    assert pixels(edit(server, files=masked, seed="3")) != one
    vary = edit(server, VARY, files={"image": png()}, n="2")
    assert len(pictures(vary)) == 2


def test_hidden_colours_do_not_change_an_edit(server: Running):
    """What lies under alpha 0 is to be painted anew, so it must not show through."""
    found = {
        pixels(edit(server, files={"image": png(mode="RGBA", colour=(red, 0, 0, 0))}, seed="1"))[0]
        for red in (0, 255)
    }
    assert len(found) == 1


UPLOADS = [  # what OpenAI's API said
    ({"image": png(form="JPEG")}, "Uploaded image must be a PNG and less than 4 MB.", None),
    ({"image": b"no picture"}, "Uploaded image must be a PNG and less than 4 MB.", None),
    (
        {"image": png(mode="RGBA") + b"\0" * 4_194_304},
        "Uploaded image must be a PNG and less than 4 MB.",
        None,
    ),
    ({"image": png(mode="RGBA")[:-30]}, "Your image was invalid.", "invalid_image"),
    (
        {"image": png()},
        "Invalid input image - format must be in ['RGBA', 'LA', 'L'], got RGB.",
        None,
    ),
    (
        {"image": png(), "mask": png()},
        "Invalid mask image - format must be in ['RGBA', 'LA', 'L'], got RGB.",
        None,
    ),
    (
        {"image": png(), "mask": png((8, 8), mode="RGBA")},
        "Invalid mask image format - mask size does not match image size",
        None,
    ),
    ({"image": png((16, 8), mode="RGBA")}, "Uploaded image must be square.", None),
    ({"mask": png(mode="RGBA")}, "'image' is a required property", None),
    ({"image": png(mode="RGBA", colour=(1, 2, 3, 9))}, "the mask paints nothing", None),
]


@pytest.mark.parametrize(("files", "message", "code"), UPLOADS, ids=range(len(UPLOADS)))
def test_uploads_that_are_wrong(server: Running, files: Any, message: str, code: str | None):
    """In the words that programs look for."""
    found = error(edit(server, files=files))
    assert (found["message"], found["type"], found["code"]) == (message, "invalid_request_error", code)


def test_several_pictures_are_not_silently_one(server: Running):
    """A list of two is a question that we cannot answer."""
    two = [("image[]", ("a", png(mode="RGBA"))), ("image[]", ("b", png(mode="RGBA")))]
    assert "One picture can be used at a time" in error(edit(server, files=two))["message"]


def test_edits_as_json(server: Running):
    """gpt-image's other body: a data URL works, any other address is not fetched."""
    inline = "data:image/png;base64," + base64.b64encode(png(mode="RGBA")).decode()
    body = {"prompt": "a hat", "model": "gpt-image-1", "images": [{"image_url": inline}]}
    assert pictures(server.post(EDIT, json=body))[0].size == (1024, 1024)
    for other in (
        {"image_url": "http://192.0.2.1/x.png"},
        {"file_id": "file-1"},
        {"image_url": "data:,x"},
        7,
    ):
        error(server.post(EDIT, json={**body, "images": [other]}))
    error(server.post(EDIT, json={**body, "images": []}))
    error(server.post(EDIT, json={**body, "model": "dall-e-2"}))


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/v1/x", 404, "Invalid URL (GET /v1/x)"),
        ("POST", "/v1/x", 404, "Invalid URL (POST /v1/x)"),
        ("GET", GENERATE, 405, "Only POST requests are accepted."),
        ("OPTIONS", GENERATE, 405, "Only POST requests are accepted."),
        ("DELETE", "/v1/models/dall-e-2", 403, "Models are not deleted over the API."),
        ("GET", "/v1/models/a%2Fb:c%20d", 404, "The model `a/b:c d` does not exist."),
        ("GET", "/v1/armchair/results/x.png", 404, "There is no such result"),
        ("GET", f"/v1/armchair/results/{'f' * 10}-00000000-{'0' * 32}.png", 404, "There is no such result"),
        ("GET", "/v1/armchair/results/..%2f..%2fetc%2fpasswd", 404, "Invalid URL"),
        ("GET", "/docs", 404, "Invalid URL (GET /docs)"),
    ],
)
def test_paths_and_methods(server: Running, method: str, path: str, status: int, message: str):
    """Whoever made the error, router included: the same shape."""
    assert error(server.client.request(method, path), status)["message"].startswith(message)


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json", b"{", 400),
        ("application/json", b"", 400),
        ("text/plain", b"prompt=x", 400),
        ("application/x-www-form-urlencoded", b"prompt=x", 400),
        ("multipart/form-data", b"x", 400),
        ("multipart/form-data; boundary=X", b"", 400),
    ],
)
@pytest.mark.parametrize("path", [GENERATE, EDIT, VARY])
def test_bodies(server: Running, path: str, kind: str, body: bytes, status: int):
    """Never a 500."""
    error(server.post(path, content=body, headers={"content-type": kind}), status)


def test_a_body_is_as_large_as_what_it_may_hold(server: Running):
    """Words have a mebibyte; a picture as a data URL has more, but not without end."""
    kind = {"content-type": "application/json"}
    for path in (GENERATE, VARY):
        error(server.post(path, content=b" " * (JSON_BYTES + 1), headers=kind), 413)
    error(server.post(EDIT, content=b" " * (JSON_PICTURES + 1), headers=kind), 413)
    noise = io.BytesIO()
    Image.frombytes("RGBA", (600, 600), random.Random(0).randbytes(600 * 600 * 4)).save(noise, "PNG")
    inline = "data:image/png;base64," + base64.b64encode(noise.getvalue()).decode()
    assert len(inline) > JSON_BYTES
    body = {"prompt": "a hat", "model": "gpt-image-1", "images": [{"image_url": inline}]}
    assert len(pictures(server.post(EDIT, json=body))) == 1


def test_models(server: Running):
    """The list that clients page through, and each of its entries by itself."""
    body = server.get("/v1/models").json()
    names = [entry["id"] for entry in body["data"]]
    assert body["object"] == "list"
    assert {"dalle1", "dalle2", "dall-e-2", "dall-e-3", "gpt-image-1"} <= set(names)
    for entry in body["data"]:
        assert type(entry["created"]) is int
        assert server.get(f"/v1/models/{entry['id']}").json() == entry


def test_every_reply_has_an_id_and_may_keep_the_callers(server: Running):
    """The thread between a program's log and ours."""
    assert server.get("/livez", headers={"x-request-id": "mine-0001"}).headers["x-request-id"] == "mine-0001"
    for odd in ("x", "a b", "x" * 65, "a\tb"):
        assert server.get("/livez", headers={"x-request-id": odd}).headers["x-request-id"] != odd
    reply = server.get("/v1/x")
    assert reply.headers["x-request-id"].startswith("req_")
    assert reply.headers["openai-version"] == "2020-10-01"


def test_openai_headers_are_ignored_and_not_refused(server: Running):
    """Organisation and project of another account."""
    headers = {"openai-organization": "org-x", "openai-project": "proj", "authorization": "Bearer whatever"}
    assert server.get("/v1/models", headers=headers).status_code == 200


def test_retries_of_clients_are_counted(server: Running):
    """They tell an operator that callers give up before their pictures are drawn."""
    before = server.metric("retries_total")
    for count in ("0", "1", "2", "many"):
        server.get("/v1/models", headers={"x-stainless-retry-count": count})
    assert server.metric("retries_total") == before + 2


def test_strict_answers_have_nothing_extra(strict: Running):
    """Byte for byte the old keys."""
    body = strict.draw("a zebra", size="256x256").json()
    assert set(body) == {"created", "data"}
    assert set(body["data"][0]) == {"b64_json"}
    assert set(strict.get("/v1/models/dall-e-2").json()) == {"id", "object", "created", "owned_by"}
    assert error(strict.draw(seed=1))["code"] == "unknown_parameter"
    buffer = io.BytesIO(png(mode="RGBA"))
    reply = strict.post(EDIT, data={"prompt": "x", "model": "dall-e-3"}, files={"image": buffer})
    assert error(reply)["message"].startswith("Invalid model dall-e-3.")


def test_the_description_is_served(server: Running):
    """For people's tools; every route is in it."""
    paths = server.get("/openapi.json").json()["paths"]
    assert {GENERATE, EDIT, VARY, "/v1/models", "/v1/armchair/complete", "/readyz"} <= set(paths)
    fields = paths[GENERATE]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert {"prompt", "n", "size", "seed", "stream"} <= set(fields)
