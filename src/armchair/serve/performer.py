"""One run of an artist: orders in, previews and pictures out, row by row."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from armchair.core.errors import Unsupported

PICTURES = {"complete": 1, "variations": 1, "inpaint": 2, "outpaint": 1, "interpolate": 2, "text_diff": 1}
PROMPTED = frozenset({"generate", "complete", "inpaint", "outpaint"})


@dataclass
class Part:
    """An order's share of a run. rows: which of the order's rows it draws."""

    ticket: str
    order: Mapping[str, Any]  # `Order.message`
    rows: list[int]
    pictures: list[Image.Image | None]
    wanted: bool = True


@dataclass(frozen=True)
class Shown:
    """A preview of one row. number: 0, 1 ... of those that were asked for."""

    part: Part
    row: int
    number: int
    image: Image.Image


@dataclass(frozen=True)
class Done:
    """A row that is drawn. picture: a `core.picture.Picture`"""

    part: Part
    row: int
    picture: Any


@dataclass(frozen=True)
class Stepped:
    """The run went on."""

    index: int
    total: int


def job(studio: Any, artist: Any, part: Part) -> Any:
    """The checked job of a part. Raises ArmchairError."""
    order, name = part.order, part.order["operation"]
    arguments: dict[str, Any] = {"size": order["size"], "options": order["options"], **order["extras"]}
    if "frames" not in arguments:
        arguments |= {"seed": order["seed"] + part.rows[0], "n": len(part.rows)}
    if name in PROMPTED:
        arguments["prompt"] = order["prompt"]
    if name != "generate":
        missing = [None] * (PICTURES[name] - len(part.pictures))  # no mask: what the picture has with alpha 0
        return studio.job(artist, name, [*part.pictures, *missing], arguments)
    arguments |= {"rerank": order["rerank"], "expand": order["expand"]}
    if order["expand"] != "try":
        return studio.job(artist, name, [], arguments)
    try:
        return studio.job(artist, name, [], {**arguments, "expand": "builtin"})
    except Unsupported:  # no writer is installed: the prompt is drawn as it is
        return studio.job(artist, name, [], {**arguments, "expand": None})


def perform(artist: Any, parts: Sequence[Part], jobs: Sequence[Any]) -> Generator[Shown | Done | Stepped]:
    """Draw the jobs of parts as one run. After each `Stepped` the caller may clear `Part.wanted` or close
    this.
    """
    events = artist.draw(jobs[0]) if len(jobs) == 1 else artist.draw_all(jobs)
    places = [(part, row) for part in parts for row in part.rows]
    done = 0
    shown = dict.fromkeys(range(len(places)), 0)
    try:
        for event in events:
            if hasattr(event, "total"):
                yield Stepped(event.index, event.total)
                due = any(_due(part, event) for part in parts)  # images are made when they are looked at
                for offset, image in enumerate(event.images if due else ()):
                    part, row = places[done + offset]
                    number = shown[done + offset]
                    if _due(part, event):
                        shown[done + offset] += 1
                        yield Shown(part, row, number, _image(image))
            else:
                part, row = places[done]
                done += 1
                if part.wanted:
                    yield Done(part, row, event)
    finally:
        events.close()


def preview_steps(partials: int, total: int) -> set[int]:
    """At which steps previews are shown: evenly over the run, none at its last, which is the picture."""
    return {step for k in range(partials) if 0 <= (step := (k + 1) * total // (partials + 1) - 1) < total - 1}


def _due(part: Part, event: Any) -> bool:
    return part.wanted and event.index in preview_steps(part.order["partials"], event.total)


def _image(image: Any) -> Image.Image:
    if isinstance(image, Image.Image):
        return image
    from armchair.core.images import to_image

    return to_image(image)
