"""What is sent back: pictures encoded, stored where a URL is wanted, and the JSON and events around them."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from armchair.serve import errors
from armchair.serve.calls import Call
from armchair.serve.canvas import Size
from armchair.serve.codecs import Pixels
from armchair.serve.errors import ApiError
from armchair.serve.orders import Drawn, Partial, Ticket
from armchair.serve.service import Service

RESULTS = "/v1/armchair/results/"
ECHOED_SIZES = frozenset({"1024x1024", "1024x1536", "1536x1024"})  # that every client's types admit
PATCH = 16 * 16  # pixels that count as one output token
EVENTS = {"generations": "image_generation", "edits": "image_edit"}


class Answers:
    """One call's answer. base: what result URLs start with"""

    def __init__(self, service: Service, call: Call, owner: str, base: str):
        self.service, self.call, self.owner, self.base = service, call, owner, base

    async def whole(self, ticket: Ticket) -> dict[str, Any]:
        """The ImagesResponse. Raises ApiError."""
        if self.call.url:
            self.service.store.check()
        rows: dict[int, asyncio.Task[dict[str, Any]]] = {}
        notes: list[str] = []
        try:
            async for event in self.service.events(ticket):
                if isinstance(event, Drawn):
                    rows[event.row] = asyncio.create_task(self.entry(event))
                    notes += [note for note in event.notes if note not in notes]
            entries = [await rows[row] for row in sorted(rows)]
        finally:
            for task in rows.values():
                task.cancel()
            await asyncio.gather(*rows.values(), return_exceptions=True)
        call = self.call
        body: dict[str, Any] = {"created": int(time.time()), "data": entries}
        if call.dialect.gpt:
            body |= {"background": "opaque", "output_format": call.format, "usage": self.usage(ticket)}
            if str(call.size) in ECHOED_SIZES:
                body["size"] = str(call.size)
            body["quality"] = call.quality if call.quality in {"low", "medium", "high"} else "medium"
        if notes and not call.strict:
            body["notes"] = notes
        return body

    async def entry(self, drawn: Drawn) -> dict[str, Any]:
        """One picture of `data`."""
        data = await self.file(drawn.picture, drawn.recipe)
        entry: dict[str, Any] = {}
        if self.call.url:
            entry["url"] = (
                self.base + RESULTS + await self.service.store.put(data, self.call.format, self.owner)
            )
        else:
            entry["b64_json"] = base64.b64encode(data).decode("ascii")
        revised = self.revised(drawn)
        if revised is not None:
            entry["revised_prompt"] = revised
        return entry if self.call.strict else {**entry, **self.more(drawn)}

    async def events(self, ticket: Ticket) -> AsyncGenerator[str]:
        """The text of an event stream: previews, one `completed` a picture, comments to keep it open, and an
        error as its own event. It never ends without one or the other.
        """
        source = self.service.events(ticket)
        upcoming: asyncio.Task[Any] | None = None
        try:
            while True:
                if upcoming is None:
                    upcoming = asyncio.ensure_future(anext(source))
                done, _ = await asyncio.wait({upcoming}, timeout=self.service.settings.keep_alive)
                if not done:
                    yield self.comment(ticket)
                    continue
                try:
                    event = upcoming.result()
                except StopAsyncIteration:
                    return
                finally:
                    upcoming = None
                if isinstance(event, Partial):
                    yield await self.partial(event)
                elif isinstance(event, Drawn):
                    yield await self.completed(event, ticket)
        except ApiError as error:
            yield _event("error", error.body())
        except Exception as error:  # the status line has long been sent
            self.service.log("a stream failed", error=f"{type(error).__name__}: {error}")
            yield _event("error", errors.fault().body())
        finally:
            if upcoming is not None:
                upcoming.cancel()
                await asyncio.gather(upcoming, return_exceptions=True)
            await source.aclose()

    async def partial(self, event: Partial) -> str:
        data = await self.file(event.picture, None)
        kind = f"{EVENTS[self.call.route]}.partial_image"
        body = self._event_body(kind, data, event.picture.size)
        body |= {"partial_image_index": event.number}
        return _event(kind, body if self.call.n == 1 else {**body, "index": event.row})

    async def completed(self, event: Drawn, ticket: Ticket) -> str:
        data = await self.file(event.picture, event.recipe)
        kind = f"{EVENTS[self.call.route]}.completed"
        body = {**self._event_body(kind, data, event.picture.size), "usage": self.usage(ticket)}
        revised = self.revised(event)
        if revised is not None:
            body["revised_prompt"] = revised
        if not self.call.strict:
            body |= {**self.more(event), "index": event.row}
            if event.notes:
                body["notes"] = event.notes
        elif self.call.n > 1:
            body["index"] = event.row
        return _event(kind, body)

    def comment(self, ticket: Ticket) -> str:
        """Keeps proxies from closing the stream, and tells a person how long it will take."""
        return f": {json.dumps(self.service.standing(ticket))}\n\n"

    async def file(self, picture: Pixels, recipe: Mapping[str, Any] | None) -> bytes:
        call = self.call
        target = None if call.size is None or call.size == picture.size else call.size
        text = b""
        if recipe is not None:
            shown = {} if target is None else {"shown_size": str(target)}
            text = json.dumps({**recipe, **shown}, ensure_ascii=False).encode()
        return await self.service.codecs.encode(
            picture, target=target, format=call.format, compression=call.compression, recipe=text
        )

    def revised(self, drawn: Drawn) -> str | None:
        """dall-e-3 always tells what was drawn, be it the prompt itself."""
        if drawn.revised_prompt is not None or not self.call.dialect.revises:
            return drawn.revised_prompt
        return self.call.prompt

    def more(self, drawn: Drawn) -> dict[str, Any]:
        """What we tell beyond OpenAI's reply."""
        more: dict[str, Any] = {"seed": drawn.seed, "bundle": drawn.recipe.get("bundle")}
        size = Size(*drawn.picture.size)
        return more if self.call.size in {None, size} else {**more, "drawn_size": str(size)}

    def usage(self, ticket: Ticket) -> dict[str, Any]:
        """Tokens as we count them: four bytes of text, 16x16 pixels of picture."""
        text = math.ceil(len(self.call.prompt.encode()) / 4)
        image = sum(_patches(picture.size) for picture in ticket.order.pictures)
        size = self.call.size
        drawn = Size.of(ticket.order.size) if size is None and ticket.order.size is not None else size
        output = 0 if drawn is None else _patches(drawn) * self.call.n
        return {
            "input_tokens": text + image,
            "input_tokens_details": {"text_tokens": text, "image_tokens": image},
            "output_tokens": output,
            "total_tokens": text + image + output,
        }

    def _event_body(self, kind: str, data: bytes, drawn: Size) -> dict[str, Any]:
        size, call = str(self.call.size or drawn), self.call
        return {
            "type": kind,
            "b64_json": base64.b64encode(data).decode("ascii"),
            "created_at": int(time.time()),
            "size": size if size in ECHOED_SIZES else "auto",
            "quality": call.quality if call.dialect.gpt and call.quality else "auto",
            "background": "auto",
            "output_format": call.format,
        }


def _event(kind: str, body: Mapping[str, Any]) -> str:
    return f"event: {kind}\ndata: {json.dumps(body, separators=(',', ':'))}\n\n"


def _patches(size: Size) -> int:
    return math.ceil(size.width * size.height / PATCH)
