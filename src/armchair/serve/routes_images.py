"""OpenAI's Images API: generations, edits, variations."""

from __future__ import annotations

import base64
import binascii
from typing import Any, cast

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from armchair.serve import errors, schemas
from armchair.serve.answers import Answers
from armchair.serve.asking import JSON_PICTURES, base_of, owner_of, pictures, sent, service_of, submit
from armchair.serve.calls import OPERATIONS, Call, read_call, read_pictures
from armchair.serve.codecs import Pixels
from armchair.serve.fields import Fields
from armchair.serve.forms import Form
from armchair.serve.orders import Ticket
from armchair.serve.service import Service

router = APIRouter()


@router.post("/v1/images/generations", openapi_extra=schemas.GENERATIONS, responses=schemas.IMAGES)
async def generations(request: Request) -> Response:
    """Draw a prompt."""
    async with sent(request) as (fields, form):
        _no_files(form)
        call = read_call("generations", fields, service_of(request).catalog)
    return await draw(request, call)


@router.post("/v1/images/edits", openapi_extra=schemas.EDITS, responses=schemas.IMAGES)
async def edits(request: Request) -> Response:
    """Paint a part of a picture anew: where the mask, or else the picture, is fully transparent."""
    async with sent(request, JSON_PICTURES) as (fields, form):
        files = form.files if fields.form else _inline(fields)
        call = read_call("edits", fields, service_of(request).catalog)
        if not fields.form and not call.dialect.gpt:
            raise errors.bad("Edits with this model are sent as multipart/form-data, with the picture in it.")
        found = await read_pictures(files, service_of(request).codecs, call.dialect, masked=True)
    return await draw(request, call, found)


@router.post("/v1/images/variations", openapi_extra=schemas.VARIATIONS, responses=schemas.IMAGES)
async def variations(request: Request) -> Response:
    """Pictures like this one."""
    async with sent(request) as (fields, form):
        call = read_call("variations", fields, service_of(request).catalog)
        found = await read_pictures(form.files, service_of(request).codecs, call.dialect, masked=False)
    return await draw(request, call, found)


async def draw(request: Request, call: Call, found: tuple[Pixels, ...] = ()) -> Response:
    service = service_of(request)
    await service.judge([call.prompt], call.dialect.gpt)
    order = call.order(OPERATIONS[call.route], found)
    if not call.stream:
        return await pictures(request, call, order)
    answers = Answers(service, call, owner_of(request), base_of(request))
    return EventStream(service, answers, submit(request, order))


class EventStream(StreamingResponse):
    """Server-sent events about a ticket, which is left when this ends, be it before the first event."""

    def __init__(self, service: Service, answers: Answers, ticket: Ticket):
        headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
        super().__init__(answers.events(ticket), media_type="text/event-stream", headers=headers)
        self.service, self.ticket = service, ticket

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.service.leave(self.ticket)


def _no_files(form: Form) -> None:
    for name in form.files:
        raise errors.unknown_parameter(name)


def _inline(fields: Fields) -> dict[str, list[bytes]]:
    """The pictures of a JSON body: data URLs. Nothing is ever fetched for a caller."""
    found: dict[str, list[bytes]] = {}
    listed: object = fields.pop("images")
    if listed is not None:
        entries = cast(list[object], listed) if isinstance(listed, list) else []
        if not entries:
            raise errors.bad("'images' is an array of at least one picture", param="images")
        found["image"] = [_data_url(entry, "images") for entry in entries]
    mask = fields.pop("mask")
    if mask is not None:
        found["mask"] = [_data_url(mask, "mask")]
    return found


def _data_url(entry: object, name: str) -> bytes:
    table = cast(dict[str, Any], entry) if isinstance(entry, dict) else {}
    url = table.get("image_url")
    if set(table) != {"image_url"} or not isinstance(url, str) or not url.startswith("data:"):
        raise errors.bad(
            f"'{name}' takes {{'image_url': 'data:image/png;base64,...'}}: no other URL is fetched here, and "
            "there are no uploaded files.",
            param=name,
        )
    head, comma, text = url.partition(",")
    try:
        if not comma or not head.endswith(";base64"):
            raise ValueError("no base64")
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise errors.broken_image() from None
