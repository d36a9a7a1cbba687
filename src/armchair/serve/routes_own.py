"""What the Images API lacks: /v1/armchair/."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from armchair.serve import errors, schemas
from armchair.serve.asking import owner_of, pictures, sent, service_of, submit, unless_gone
from armchair.serve.calls import Call, decode_one, drawing, output
from armchair.serve.catalog import Target
from armchair.serve.codecs import Pixels
from armchair.serve.dialects import EXTENSIONS, FILES, OWN
from armchair.serve.fields import Fields
from armchair.serve.forms import Form
from armchair.serve.orders import Order
from armchair.serve.service import Service

router = APIRouter(prefix="/v1/armchair")
COMMON = EXTENSIONS | FILES | {"model", "size", "response_format"}
MAX_FRAMES = 16
MAX_SCORED = 16  # pictures, and texts
MAX_SAID = 100  # user messages of a conversation


@router.post("/complete", openapi_extra=schemas.COMPLETE, responses=schemas.IMAGES)
async def complete(request: Request) -> Response:
    """Go on from the top rows of a picture (DALL·E 1)."""
    async with sent(request) as (fields, form):
        target = take(request, fields, "complete", "dalle1", {"prompt", "n", "keep_rows"})
        prompt = fields.prompt("prompt", OWN.prompt)
        rows = fields.integer("keep_rows", 1, 4096)
        call = read(fields, target, prompt=prompt, extras={"keep_rows": rows})
        found = await needed(service_of(request), form, "image")
    return await draw(request, call, "complete", found)


@router.post("/outpaint", openapi_extra=schemas.OUTPAINT, responses=schemas.IMAGES)
async def outpaint(request: Request) -> Response:
    """Go on beyond a picture's edges (DALL·E 2 and 3)."""
    async with sent(request) as (fields, form):
        target = take(request, fields, "outpaint", "dalle2", {"prompt", "n", "anchor"})
        prompt = fields.prompt("prompt", OWN.prompt)
        extras = {} if (anchor := fields.text("anchor", 20)) is None else {"anchor": anchor}
        if "size" not in fields:
            raise errors.missing("size")
        call = read(fields, target, prompt=prompt, extras=extras)
        found = await needed(service_of(request), form, "image")
    return await draw(request, call, "outpaint", found)


@router.post("/blend", openapi_extra=schemas.BLEND, responses=schemas.IMAGES)
async def blend(request: Request) -> Response:
    """Pictures on the way from one to another (DALL·E 2)."""
    async with sent(request) as (fields, form):
        target = take(request, fields, "interpolate", "dalle2", {"frames"})
        frames = fields.integer("frames", 2, MAX_FRAMES) or 5
        call = read(fields, target, extras={"frames": frames})
        service = service_of(request)
        found = (*await needed(service, form, "image_a"), *await needed(service, form, "image_b"))
    return await draw(request, call, "interpolate", found, frames)


@router.post("/textdiff", openapi_extra=schemas.TEXTDIFF, responses=schemas.IMAGES)
async def textdiff(request: Request) -> Response:
    """A picture changed as the second text differs from the first (DALL·E 2)."""
    async with sent(request) as (fields, form):
        target = take(request, fields, "text_diff", "dalle2", {"source", "target", "frames"})
        frames = fields.integer("frames", 1, MAX_FRAMES) or 5
        texts = {name: fields.prompt(name, OWN.prompt) for name in ("source", "target")}
        call = read(fields, target, extras={**texts, "frames": frames})
        found = await needed(service_of(request), form, "image")
    return await draw(request, call, "text_diff", found, frames)


@router.post("/caption", openapi_extra=schemas.CAPTION, responses=schemas.TEXT)
async def caption(request: Request) -> Response:
    """What a picture shows, in words."""
    async with sent(request) as (fields, form):
        fields.only({"long", "language"})
        extras = {
            "long": bool(fields.boolean("long")),
            "language": fields.choice("language", ("en", "ko")) or "en",
        }
        found = await needed(service_of(request), form, "image")
    return await say(request, "caption", extras, found)


@router.post("/expand", openapi_extra=schemas.EXPAND, responses=schemas.TEXT)
async def expand(request: Request) -> Response:
    """A short prompt as a long description."""
    async with sent(request) as (fields, _):
        fields.only({"prompt"})
        prompt = fields.prompt("prompt", OWN.prompt)
    await service_of(request).judge([prompt])
    return await say(request, "expand", {"prompt": prompt, "writer": "builtin"})


@router.post("/score", openapi_extra=schemas.SCORE, responses=schemas.SCORES)
async def score(request: Request) -> Response:
    """How well pictures fit texts."""
    async with sent(request) as (fields, form):
        fields.only({"prompt"})
        prompts = fields.texts("prompt", OWN.prompt)
        images = form.files.get("image", [])
        if not prompts or not images:
            raise errors.missing("prompt" if not prompts else "image")
        if max(len(prompts), len(images)) > MAX_SCORED:
            raise errors.bad(f"At most {MAX_SCORED} pictures and as many prompts are scored at once.")
        service = service_of(request)
        found = [await needed(service, _only(data), "image") for data in images]
    return await say(request, "score", {"prompts": prompts}, tuple(one for (one,) in found))


@router.post("/chat", openapi_extra=schemas.CHAT, responses=schemas.IMAGES)
async def chat(request: Request) -> Response:
    """Draw in a conversation: what its user messages come to, one after another. With the seed of the last
    reply, what was not mentioned stays alike.
    """
    async with sent(request) as (fields, _):
        target = take(request, fields, "generate", "dalle3", {"messages", "n"})
        requests = fields.spoken("messages", OWN.prompt, MAX_SAID)
        call = read(fields, target, extras={})
    service = service_of(request)
    await service.judge(requests)
    extras = chatting(service, target, requests, call.expand)
    scene = await service.said(submit(request, Order(operation="chat", model="", rows=1, extras=extras)))
    revised = scene["revised_prompt"]
    found = {} if revised is None else {"revised": revised}
    call = replace(call, prompt=scene["prompt"], extras=found, expand=None)
    return await draw(request, call, "generate", ())


def chatting(service: Service, target: Target, requests: list[str], expand: str | None) -> dict[str, Any]:
    """What a worker needs to settle a conversation. expand: None is what the model likes best."""
    about = target.about
    usual = "builtin" if about["expands"] and "expand" in service.pool.words else "off"
    return {
        "requests": requests,
        "expand": usual if expand is None else expand,
        "language": about["writing"],
    }


@router.get("/requests/{id}", responses=schemas.STANDING)
async def standing(request: Request, id: str) -> Response:
    """Where a request of yours stands: send it with an X-Request-Id of your own and ask here meanwhile."""
    service = service_of(request)
    ticket = service.tickets.get((owner_of(request), id))
    if ticket is None:
        raise errors.ApiError(404, "No request of yours with this id is waiting or being drawn.")
    return JSONResponse(service.standing(ticket))


@router.get("/queue", responses=schemas.QUEUE)
async def queue(request: Request) -> Response:
    """How much is waiting, and how long a new request would."""
    service = service_of(request)
    workers = service.pool.ready
    seconds = (service.pool.busy() + service.queue.seconds()) / max(1, workers)
    drawing = sum(seat.run is not None for seat in service.pool.seats)
    return JSONResponse(
        {
            "waiting": len(service.queue),
            "drawing": drawing,
            "workers": workers,
            "wait_seconds": round(seconds, 1),
        }
    )


def take(request: Request, fields: Fields, operation: str, usual: str, own: set[str]) -> Target:
    """The model asked for, else the usual one; every field that it does not take is refused."""
    catalog = service_of(request).catalog
    name = fields.text("model", 200)
    if name is None:
        name = usual if usual in catalog.bundles else "dall-e-2"
    target = catalog.target(name, operation)
    fields.only(COMMON | own | {"steps", "guidance", *target.options})
    return target


def read(fields: Fields, target: Target, *, prompt: str = "", extras: dict[str, Any]) -> Call:
    n = fields.integer("n", 1, OWN.n)
    count = 1 if n is None else n
    return Call(
        route="armchair",
        target=target._replace(dialect=OWN),
        prompt=prompt,
        n=count,
        size=fields.size(OWN, target.about["sizes"], strict=False),
        extras=extras,
        **output(fields, OWN),
        **drawing(fields, target._replace(dialect=OWN), count),
    )


async def needed(service: Service, form: Form, name: str) -> tuple[Pixels]:
    found = await decode_one(form.files, name, service.codecs, OWN)
    if found is None:
        raise errors.missing(name)
    return (found,)


async def draw(
    request: Request, call: Call, operation: str, found: tuple[Pixels, ...], rows: int | None = None
) -> Response:
    texts = [call.prompt, *(str(call.extras.get(name, "")) for name in ("source", "target", "revised"))]
    await service_of(request).judge(texts)
    return await pictures(request, call, call.order(operation, found, rows))


async def say(
    request: Request, operation: str, extras: dict[str, Any], found: tuple[Pixels, ...] = ()
) -> Response:
    """Ask a worker for words."""
    order = Order(operation=operation, model="", rows=1, extras=extras, pictures=found)
    ticket = submit(request, order)

    return await unless_gone(request, service_of(request).said(ticket))


def _only(data: bytes) -> Form:
    form = Form()
    form.files["image"] = [data]
    return form
