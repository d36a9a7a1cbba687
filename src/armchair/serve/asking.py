"""What every route does with a request: whose it is, its body, and its answer unless the caller leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from armchair.serve.answers import Answers
from armchair.serve.calls import Call
from armchair.serve.fields import Fields, parse_json
from armchair.serve.forms import Form, is_form, parse_form
from armchair.serve.orders import Order, Ticket
from armchair.serve.service import CallerLeft, Service

JSON_BYTES = 2**20  # of a body without pictures
JSON_PICTURES = 44 * 2**20  # of one with a picture and a mask, data URLs of up to 20 MiB as OpenAI has it
GONE = 499  # nobody reads it; the log and the metrics do


def service_of(request: Request) -> Service:
    return request.app.state.service


def owner_of(request: Request) -> str:
    """Whose key it was; the front checked it."""
    return request.scope["armchair_owner"]


def patience_of(request: Request) -> float | None:
    """The seconds that the client says it waits between two bytes."""
    try:
        seconds = float(request.headers.get("x-stainless-read-timeout", ""))
    except ValueError:
        return None
    return seconds if 0 < seconds < 1e9 else None


def base_of(request: Request) -> str:
    """What result URLs start with: the operator's word, else the address that the caller used."""
    public = service_of(request).settings.public_url
    return str(request.base_url).rstrip("/") if public is None else public.rstrip("/")


@asynccontextmanager
async def sent(request: Request, json_bytes: int = JSON_BYTES) -> AsyncGenerator[tuple[Fields, Form]]:
    """The fields and files of a form, or the fields of a JSON body. Raises ApiError."""
    content_type = request.headers.get("content-type", "")
    service = service_of(request)
    form = is_form(content_type)
    async with service.uploads.read(request, None if form else json_bytes) as body:
        service.metrics.bytes.labels("in").inc(len(body))
        if form:
            found = await parse_form(body, content_type)
            yield Fields(found.texts, form=True), found
        else:
            big = len(body) > JSON_BYTES
            values = await asyncio.to_thread(parse_json, body) if big else parse_json(body)
            yield Fields(values, form=False), Form()


def submit(request: Request, order: Order) -> Ticket:
    return service_of(request).submit(
        order, owner=owner_of(request), id=request.scope["armchair_id"], patience=patience_of(request)
    )


async def unless_gone(request: Request, work: Awaitable[Any]) -> Response:
    """The work's result as JSON; where the caller leaves, the work is cancelled within a step."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    try:
        return JSONResponse(await service_of(request).unless_gone(work, gone()))
    except (CallerLeft, ClientDisconnect):
        return Response(status_code=GONE)


async def pictures(request: Request, call: Call, order: Order) -> Response:
    """Draw an order and answer with an ImagesResponse."""
    answers = Answers(service_of(request), call, owner_of(request), base_of(request))
    return await unless_gone(request, answers.whole(submit(request, order)))
