"""The server with what is shipped, nothing scripted: its routes, and pictures that are drawn together."""

from __future__ import annotations

import base64
import contextlib
import io
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

import armchair
from tests.serve.running import Running, opened, png, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
GENERATE, EDIT, VARY = (f"/v1/images/{name}" for name in ("generations", "edits", "variations"))
OWN = "/v1/armchair"
BUNDLES = Path(armchair.__file__).parent / "bundles"
SHIPPED = [name for name in ("dalle1", "dalle2", "dalle3") if (BUNDLES / name).is_dir()]
QUICK = {"steps": "3", "seed": "5", "response_format": "b64_json"}  # enough to tell pictures apart
SMALL = {"model": "dalle2", "size": "64x64"}


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    settings: dict[str, Any] = {
        "models": tuple(SHIPPED),
        "codecs": 2,
        "start_seconds": 250,
        "longest_wait": 3600,
        "stale_seconds": 600,  # `held` stops the worker for a while
        "silent_seconds": 600,
    }
    with running(studio="armchair.serve.studio", **settings) as server:
        server.client.timeout = httpx.Timeout(300)
        yield server


@contextlib.contextmanager
def held(server: Running) -> Iterator[None]:
    """The worker has a run and stands still until the block ends."""
    server.until(lambda: server.service.pool.seats[0].run is None)
    runs = server.service.pool.runs
    os.kill(server.worker, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as crew:
        first = crew.submit(draw, server, "a house", steps=1)
        try:
            server.until(lambda: server.service.pool.runs == runs + 1)
            yield
        finally:
            os.kill(server.worker, signal.SIGCONT)
        first.result()


def picture(reply: httpx.Response) -> Image.Image:
    assert reply.status_code == 200, reply.text
    return opened(base64.b64decode(reply.json()["data"][0]["b64_json"]))


def draw(server: Running, prompt: str, **fields: object) -> bytes:
    """The pixels of one generation with few steps."""
    body = {**SMALL, "prompt": prompt, "response_format": "b64_json", "steps": 3, "seed": 5, **fields}
    return picture(server.post(GENERATE, json=body)).tobytes()


def test_an_edit_paints_where_the_mask_says(server: Running):
    """By OpenAI's name and size: the left half is the upload's own, the right one is new."""
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[::64] = stripes[:, ::64] = (200, 30, 30)
    mask = np.zeros((256, 256, 4), np.uint8)
    mask[:, :128, 3] = 255
    files = {"image": file(stripes), "mask": file(mask)}
    fields = {**QUICK, "prompt": "a red apple", "size": "256x256"}
    found = np.asarray(picture(server.post(EDIT, data=fields, files=files)), np.int16)
    assert found.shape == stripes.shape
    difference = np.abs(found - stripes).mean(axis=(0, 2))  # (256,) of each column
    assert difference[:112].mean() < 2 < 10 < difference[144:].mean()


@pytest.mark.parametrize(
    ("route", "fields", "files", "size"),
    [
        (VARY, {"size": "256x256"}, ["image"], (256, 256)),
        (VARY, {"model": "dalle2", "size": "64x64"}, ["image"], (64, 64)),
        (f"{OWN}/outpaint", {**SMALL, "prompt": "a red apple"}, ["image"], (64, 64)),
        (f"{OWN}/blend", {**SMALL, "frames": "2"}, ["image_a", "image_b"], (64, 64)),
        (
            f"{OWN}/textdiff",
            {**SMALL, "source": "a cat", "target": "a dog", "frames": "2"},
            ["image"],
            (64, 64),
        ),
    ],
)
def test_what_starts_from_a_picture(
    server: Running, route: str, fields: dict[str, str], files: list[str], size: tuple[int, int]
):
    """Each is drawn by the bundle that can, as large as asked for; another picture comes to another one."""
    found = [
        picture(server.post(route, data={**QUICK, **fields}, files={name: upload for name in files}))
        for upload in (png((32, 32)), png((32, 32), colour=(20, 90, 200)))
    ]
    assert [image.size for image in found] == [size, size]
    assert found[0].tobytes() != found[1].tobytes()


def test_completion_and_words(server: Running):
    """DALL·E 1 goes on from a picture, the towers score, a conversation settles without any writer."""
    fields = {"seed": "5", "response_format": "b64_json", "prompt": "a cat", "keep_rows": "15"}
    image = {"image": png((64, 64))}
    assert picture(server.post(f"{OWN}/complete", data=fields, files=image)).size == (64, 64)
    prompts = {"prompt[]": ["a red apple", "a dog"]}
    scores = server.post(f"{OWN}/score", data=prompts, files=image).json()["scores"]
    assert [len(row) for row in scores] == [2]
    said = [{"role": "user", "content": "a red apple"}, {"role": "user", "content": "make it green"}]
    body = {**SMALL, "messages": said, "steps": 3, "seed": 5, "response_format": "b64_json"}
    assert picture(server.post(f"{OWN}/chat", json=body)).tobytes() == draw(server, "a green apple")


@pytest.mark.parametrize("model", SHIPPED)
def test_requests_that_wait_are_one_run(server: Running, model: str):
    """Three prompts of three callers, in two languages, with seeds and counts of their own: each picture is
    the one that is drawn alone, bit for bit.
    """
    calls = [("a red apple", 5, 1), ("고양이 두 마리", 2**40, 2), ("a dog on a blue table", 0, 1)]
    steps = {} if model == "dalle1" else {"steps": 3}
    bodies = [{"prompt": prompt, "model": model, "seed": seed, "n": n, **steps} for prompt, seed, n in calls]

    def pixels(body: dict[str, object]) -> list[bytes]:
        reply = server.post(GENERATE, json={**body, "response_format": "b64_json"})
        assert reply.status_code == 200, reply.text
        return [opened(base64.b64decode(entry["b64_json"])).tobytes() for entry in reply.json()["data"]]

    alone = [pixels(body) for body in bodies]
    runs = server.service.pool.runs
    with ThreadPoolExecutor(3) as crew:
        with held(server):
            together = [crew.submit(pixels, body) for body in bodies]
            server.waiting(3)
        assert [drawn.result() for drawn in together] == alone
    assert server.service.pool.runs == runs + 2


def test_edits_that_wait_together_are_drawn_one_by_one(server: Running):
    """A run has many prompts and no picture: joined, two variations would both be drawn from words alone."""
    uploads = [png((32, 32)), png((32, 32), colour=(20, 90, 200))]

    def vary(upload: bytes) -> bytes:
        return picture(server.post(VARY, data={**QUICK, **SMALL}, files={"image": upload})).tobytes()

    alone = [vary(upload) for upload in uploads]
    with ThreadPoolExecutor(2) as crew:
        with held(server):
            together = [crew.submit(vary, upload) for upload in uploads]
            server.waiting(2)
        assert [drawn.result() for drawn in together] == alone


def file(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
