"""What a program does that was written for OpenAI, with whichever `openai` is on the path; run by
`test_clients` as `python client_calls.py BASE_URL KEY loose|strict`. Prints the version and what was checked.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import sys
import urllib.request
import warnings
from typing import Any

import openai  # pyright: ignore[reportMissingImports]
from PIL import Image

warnings.simplefilter("ignore")  # newer clients deprecate what these models need
BASE, KEY = f"{sys.argv[1]}/v1", sys.argv[2]
STRICT = sys.argv[3] == "strict"  # the server refuses what OpenAI's did
DONE: list[str] = []


def png(alpha: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGBA", (64, 64), (200, 30, 30, alpha)).save(buffer, "PNG")
    return buffer.getvalue()


def opens(data: bytes, side: int) -> None:
    assert Image.open(io.BytesIO(data)).size == (side, side)


def opens_url(url: str, side: int) -> None:
    with urllib.request.urlopen(url) as reply:  # without the key, as programs do
        assert reply.headers["content-type"] == "image/png"
        opens(reply.read(), side)


def done(name: str) -> None:
    DONE.append(name)


def old() -> None:
    """0.28: module functions, dictionaries, other names for the errors."""
    openai.api_base, openai.api_key = BASE, KEY
    made = openai.Image.create(prompt="a cat")
    opens_url(made["data"][0]["url"], 1024)
    made = openai.Image.create(prompt="a cat", n=2, size="256x256", response_format="b64_json", user="me")
    assert len(made["data"]) == 2
    opens(base64.b64decode(made["data"][0]["b64_json"]), 256)
    done("generations")
    made = openai.Image.create_edit(image=png(255), mask=png(0), prompt="a hat", size="256x256")
    opens_url(made["data"][0]["url"], 256)
    made = openai.Image.create_edit(image=png(0), prompt="a hat", n=2, size="512x512")
    assert len(made["data"]) == 2
    done("edits")
    made = openai.Image.create_variation(image=png(255), n=2, size="256x256")
    opens_url(made["data"][1]["url"], 256)
    done("variations")
    assert "dall-e-2" in [model["id"] for model in openai.Model.list()["data"]]
    assert openai.Model.retrieve("dall-e-3")["id"] == "dall-e-3"
    done("models")
    for kind, call in {
        openai.error.InvalidRequestError: lambda: openai.Image.create(prompt="x", size="1x1"),
        openai.error.AuthenticationError: lambda: openai.Image.create(prompt="x", api_key="sk-wrong-wrong"),
    }.items():
        try:
            call()
        except kind as error:
            assert error.http_body
            assert error.user_message
        else:
            raise AssertionError(kind)
    done("errors")
    made = asyncio.run(openai.Image.acreate(prompt="a cat", size="256x256", response_format="b64_json"))
    opens(base64.b64decode(made["data"][0]["b64_json"]), 256)
    done("async")


def new(**options: Any) -> None:
    """1.0 and later. options: of the client"""
    client = openai.OpenAI(base_url=BASE, api_key=KEY, max_retries=0, **options)
    images: Any = client.images
    made = images.generate(prompt="a cat")
    opens_url(made.data[0].url, 1024)
    assert isinstance(made.created, int)
    named = version() >= (1, 1)  # before, no model could be named
    none: Any = {"model": None} if named else {}
    made = images.generate(prompt="a cat", n=2, size="256x256", response_format="b64_json", user="me", **none)
    opens(base64.b64decode(made.data[0].b64_json), 256)
    assert len(made.data) == 2
    wide: Any = {"model": "dall-e-3", "quality": "hd", "style": "natural", "size": "1792x1024", "n": 1}
    made = images.generate(prompt="a cat", **(wide if named else {"extra_body": wide}))
    assert made.data[0].revised_prompt or not named
    if not STRICT:
        more: Any = {"response_format": "b64_json", "extra_body": {"seed": 7}}
        again = [images.generate(prompt="x", size="256x256", **more).data[0].b64_json for _ in range(2)]
        assert again[0] == again[1]
    done("generations")
    made = images.edit(image=png(255), mask=png(0), prompt="a hat", size="256x256", n=2)
    opens_url(made.data[1].url, 256)
    made = images.edit(image=("me.png", io.BytesIO(png(0))), prompt="a hat", response_format="b64_json")
    opens(base64.b64decode(made.data[0].b64_json), 1024)
    done("edits")
    made = images.create_variation(image=png(255), n=2, size="256x256")
    opens_url(made.data[0].url, 256)
    done("variations")
    assert "dall-e-2" in [model.id for model in client.models.list()]
    assert client.models.retrieve("dall-e-3").object == "model"
    done("models")
    raised(openai.BadRequestError, lambda: images.generate(prompt="x", size="1x1"), "is not one of")
    raised(
        openai.NotFoundError, lambda: images.generate(prompt="x", extra_body={"model": "nobody"}), "does not"
    )
    raised(openai.NotFoundError, lambda: client.models.retrieve("a/b:c d"), "does not exist")
    raised(openai.BadRequestError, lambda: images.edit(image=b"no picture", prompt="x"), "must be a PNG")
    other = openai.OpenAI(base_url=BASE, api_key="sk-wrong-wrong", max_retries=0, **options)
    raised(openai.AuthenticationError, lambda: other.images.generate(prompt="x"), "Incorrect API key")
    done("errors")
    asyncio.run(later(**options))
    if version() >= (1, 100):
        streamed(client)


async def later(**options: Any) -> None:
    async with openai.AsyncOpenAI(base_url=BASE, api_key=KEY, **options) as client:
        made: Any = await client.images.generate(prompt="a cat", size="256x256", response_format="b64_json")
        opens(base64.b64decode(made.data[0].b64_json), 256)
    done("async")


def streamed(client: Any) -> None:
    events = list(
        client.images.generate(
            prompt="a cat", model="gpt-image-1", stream=True, partial_images=2, output_format="png"
        )
    )
    assert [event.type for event in events] == [
        *["image_generation.partial_image"] * 2,
        "image_generation.completed",
    ]
    assert [event.partial_image_index for event in events[:2]] == [0, 1]
    assert events[-1].usage.total_tokens > 0
    opens(base64.b64decode(events[-1].b64_json), 1024)
    assert events[0].b64_json != events[-1].b64_json
    events = list(client.images.edit(image=[png(0)], prompt="a hat", stream=True, model="gpt-image-1"))
    assert [event.type for event in events] == ["image_edit.completed"]
    made = client.images.generate(prompt="a cat", model="gpt-image-1", quality="low", background="opaque")
    assert made.usage.input_tokens > 0
    opens(base64.b64decode(made.data[0].b64_json), 1024)
    raised(
        openai.APIError,
        lambda: list(client.images.generate(prompt="raise", model="gpt-image-1", stream=True)),
        "had an error",
    )
    done("streams")


def raised(kind: type[Exception], call: Any, words: str) -> None:
    try:
        call()
    except kind as error:
        assert words in str(error), str(error)
        reply: Any = getattr(error, "response", None)
        assert reply is None or reply.headers["x-request-id"]
    else:
        raise AssertionError(f"no {kind.__name__}")


def version() -> tuple[int, ...]:
    text = getattr(openai, "__version__", None) or openai.version.VERSION
    return tuple(int(part) for part in text.split(".")[:2])


if __name__ == "__main__":
    if version() < (1, 0):
        old()
    else:
        new()
        new(_strict_response_validation=True)
    sys.stdout.write(json.dumps({"version": version(), "done": DONE}))
