"""A scripted studio for the server's worker: two models that draw coloured squares in steps, and misbehave
where a prompt tells them to.

    gate NAME   every step waits for the file NAME in $FAKE_GATES     refuse   BadInput before the first step
    most N      MemoryError where more than N rows are drawn          raise    a step raises RuntimeError
    pause S     every step takes S seconds                            kill     a step kills the process
    stuck       a step takes a minute                                 noise    what is drawn does not compress
    leak N      every step keeps N KiB for ever
"""

from __future__ import annotations

import hashlib
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from PIL import Image

from armchair.core.errors import BadInput, Unsupported
from armchair.core.picture import Picture

MODELS = {
    "dalle1": {"generate", "complete"},
    "dalle2": {"generate", "variations", "inpaint", "outpaint", "interpolate", "text_diff"},
}
STEPS = 4


@dataclass
class Preview:
    index: int
    total: int
    images: list[Image.Image]


@dataclass
class Job:
    prompt: str
    seeds: range
    size: str
    steps: int
    paint: Callable[[int, float], Image.Image]  # seed, how far 0..1 -> picture
    options: dict[str, Any]
    revised: str | None = None


def names() -> list[str]:
    return list(MODELS)


def load(name: str, device: str, dtype: str) -> Artist:
    time.sleep(float(os.environ.get("FAKE_LOAD_SECONDS", "0")))
    if name not in MODELS:
        raise BadInput(f"unknown model {name!r}")
    return Artist(name)


def job(artist: Artist, operation: str, pictures: list[Any], arguments: dict[str, Any]) -> Job:
    make = artist.job if operation == "generate" else getattr(artist, f"{operation}_job")
    return make(*pictures, **arguments)


def options(artist: Artist) -> dict[str, dict[str, Any]]:
    return {name: artist.pipeline.defaults for name in artist.operations}


def says() -> list[str]:
    return ["caption", "chat", "expand", "score"]


def words(operation: str, arguments: dict[str, Any], pictures: list[Image.Image], device: str) -> Any:
    if operation == "expand":
        return {"text": f"{arguments['prompt']}, in detail"}
    if operation == "caption":
        return {"text": f"a picture of {pictures[0].size}, {arguments['language']}"}
    if operation == "score":
        return {"scores": [[0.5] * len(arguments["prompts"])] * len(pictures)}
    if operation == "chat":
        prompt = " then ".join(arguments["requests"])
        return {
            "prompt": prompt,
            "revised_prompt": None if arguments["expand"] == "off" else f"{prompt}, wide",
        }
    raise Unsupported(f"{operation} needs a writer bundle")


class Artist:
    def __init__(self, name: str):
        self.name, self.operations = name, frozenset(MODELS[name])
        self.sizes, self.writing = ["16x16", "32x16"], None
        defaults = {"steps": STEPS, "guidance": 3.0} if name == "dalle2" else {"guidance": 3.0}
        self.pipeline = SimpleNamespace(defaults=defaults, together=True, expands=False)
        self.bundle = SimpleNamespace(kind=name, name=name, digest="d" * 64, folder=Path("nowhere"))

    def notes(self, prompt: str) -> list[str]:
        return [f"{self.name} has never seen the word zebra"] if "zebra" in prompt else []

    def job(
        self,
        prompt: str,
        *,
        n: int = 1,
        seed: int,
        size: str | None = None,
        options: dict[str, Any],
        rerank: int | None = None,
        expand: str | None = None,
        revised: str | None = None,
    ) -> Job:
        if expand == "builtin" and self.name != "dalle2":
            raise Unsupported("expand needs a writer bundle")
        if rerank is not None and rerank > 1:
            raise Unsupported("rerank needs a clip bundle")
        if "refuse" in prompt:
            raise BadInput("the prompt asks to be refused")
        if expand == "builtin" and revised is None:
            revised = f"{prompt}, in detail"
        job = self._job(prompt if revised is None else revised, n, seed, size, options)
        job.prompt, job.revised = prompt, revised
        return job

    def complete_job(self, image: Image.Image, prompt: str, *, keep_rows: int | None, **given: Any) -> Job:
        return self._edit(prompt, image, **given)

    def variations_job(self, image: Image.Image, **given: Any) -> Job:
        return self._edit("", image, **given)

    def inpaint_job(self, image: Image.Image, mask: Image.Image | None, prompt: str, **given: Any) -> Job:
        source = image if mask is None else mask
        painted = 0 in source.convert("RGBA").getchannel("A").tobytes()
        if not painted and (mask is None or 255 not in mask.convert("L").tobytes()):
            raise BadInput("the mask paints nothing")
        return self._edit(prompt, image, mask, **given)

    def outpaint_job(self, image: Image.Image, prompt: str, **given: Any) -> Job:
        given.pop("anchor", None)
        return self._edit(prompt, image, **given)

    def interpolate_job(self, a: Image.Image, b: Image.Image, *, frames: int, **given: Any) -> Job:
        return self._edit("", a, b, n=frames, **given)

    def text_diff_job(
        self, image: Image.Image, *, source: str, target: str, frames: int, **given: Any
    ) -> Job:
        return self._edit(f"{source} to {target}", image, n=frames, **given)

    def draw(self, job: Job) -> Iterator[Preview | Picture]:
        return self.draw_all([job])

    def draw_all(self, jobs: list[Job]) -> Iterator[Preview | Picture]:
        rows = [(job, seed) for job in jobs for seed in job.seeds]
        steps = jobs[0].steps
        for index in range(steps):
            for job in jobs:
                misbehave(job.prompt, len(rows))
            yield Preview(index, steps, [job.paint(seed, (index + 1) / steps) for job, seed in rows])
        for job, seed in rows:
            recipe = {"bundle": self.name, "prompt": job.prompt, "seed": seed, "size": job.size}
            recipe["options"] = job.options
            image = job.paint(seed, 1.0)
            yield Picture(
                image=image, seed=seed, prompt=job.prompt, revised_prompt=job.revised, recipe=recipe
            )

    def _job(
        self, words: str, n: int, seed: int, size: str | None, options: dict[str, Any], source: bytes = b""
    ) -> Job:
        for name in options:
            if name not in self.pipeline.defaults:
                raise BadInput(f"{self.name} has no option {name!r}")
        chosen = {**self.pipeline.defaults, **options}
        shape = self.sizes[0] if size is None else size
        width, height = map(int, shape.split("x"))

        def paint(number: int, far: float) -> Image.Image:
            if "noise" in words:
                return Image.effect_noise((width, height), 100).convert("RGB")
            key = hashlib.sha256(f"{words}|{number}|{sorted(chosen.items())}|".encode() + source).digest()
            return Image.new("RGB", (width, height), tuple(int(part * far) for part in key[:3]))

        steps = int(chosen.get("steps", STEPS))
        return Job(words, range(seed, seed + n), shape, steps, paint, chosen)

    def _edit(
        self,
        prompt: str,
        *images: Image.Image | None,
        n: int = 1,
        seed: int = 0,
        size: str | None,
        options: dict[str, Any],
    ) -> Job:
        source = b"".join(image.tobytes() for image in images if image is not None)
        return self._job(prompt, n, seed, size, options, source)


LEAKED: list[bytes] = []


def misbehave(prompt: str, rows: int) -> None:
    if (leak := re.search(r"leak (\d+)", prompt)) is not None:
        LEAKED.append(os.urandom(1024 * int(leak[1])))
    if (pause := re.search(r"pause ([\d.]+)", prompt)) is not None:
        time.sleep(float(pause[1]))
    if (most := re.search(r"most (\d+)", prompt)) is not None and rows > int(most[1]):
        raise MemoryError
    if "kill" in prompt:
        os.kill(os.getpid(), signal.SIGKILL)
    if (gate := re.search(r"gate (\w+)", prompt)) is not None:
        while not Path(os.environ["FAKE_GATES"], gate[1]).exists():
            time.sleep(0.005)
    if "stuck" in prompt:
        time.sleep(60)
    if "raise" in prompt:
        raise RuntimeError("as the prompt says")
