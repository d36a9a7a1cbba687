"""A person's wishes as orders in the queue of everybody, and what becomes of them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import secrets
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from armchair.core.files import write_bytes
from armchair.serve.canvas import Size
from armchair.serve.catalog import Target
from armchair.serve.codecs import Pixels
from armchair.serve.dialects import EXTENSIONS, OWN
from armchair.serve.errors import ApiError, unknown_parameter
from armchair.serve.fields import Fields
from armchair.serve.orders import FRAMES, Drawn, Order, Partial, Ticket
from armchair.serve.page.words import Words
from armchair.serve.routes_own import chatting, read
from armchair.serve.service import Service

PREVIEWS = 8  # of each picture while it is drawn
PREVIEW_SIDE = 192  # pixels
LOOK = 0.5  # seconds between two looks at the queue
REST = 0.15  # seconds at least between two states that are shown
SHOWN = (
    "anchor",
    "frames",
    "keep_rows",
    "source",
    "target",
)  # of what an operation was given, with a picture
ALWAYS = frozenset({"n", "size"}) | EXTENSIONS  # that every model takes


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What one model is to draw. values: by the names of the HTTP API, None for the model's own."""

    model: str  # as the catalog names it in public
    operation: str
    prompt: str = ""
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])
    extras: Mapping[str, Any] = field(default_factory=dict[str, Any])  # arguments of the operation alone
    pictures: tuple[Pixels, ...] = ()


@dataclass
class Progress:
    """What has become of a wish."""

    wish: Wish
    rows: int = 1
    ticket: Ticket | None = None
    standing: dict[str, Any] | None = None  # as `Service.standing` tells
    previews: dict[int, str] = field(default_factory=dict[int, str])  # row -> data URL
    shots: dict[int, dict[str, Any]] = field(default_factory=dict[int, dict[str, Any]])  # row -> `Desk.keep`
    notes: list[str] = field(default_factory=list[str])
    error: str | None = None
    began: float = field(default_factory=time.monotonic)
    seconds: float | None = None  # that it took, once it is over

    @property
    def drawn(self) -> list[dict[str, Any]]:
        return [self.shots[row] for row in sorted(self.shots)]


class Desk:
    """folder: where the page's pictures lie until their hour is over"""

    def __init__(self, service: Service, folder: Path):
        self.service, self.folder = service, folder

    def able(self, operation: str) -> list[str]:
        """The models that can do it, by their public names."""
        models = self.service.pool.models
        found = self.service.catalog.bundles.items()
        return [name for name, inner in found if operation in models[inner]["operations"]]

    def every(self) -> list[str]:
        """All models, by their public names."""
        return list(self.service.catalog.bundles)

    def sizes(self, operation: str = "generate") -> list[str]:
        """All that the models draw which can do it."""
        models = [about for about in self.service.pool.models.values() if operation in about["operations"]]
        return list(dict.fromkeys(size for about in models for size in about["sizes"]))

    async def draw(self, wishes: Sequence[Wish], owner: str, words: Words) -> AsyncGenerator[list[Progress]]:
        """The state of every wish, whenever one of them goes on. Closing this cancels what is left."""
        states = [Progress(wish) for wish in wishes]
        moved = asyncio.Event()
        tasks = [asyncio.create_task(self._follow(state, owner, words, moved)) for state in states]
        try:
            while True:
                over = all(task.done() for task in tasks)
                moved.clear()
                for state in states:
                    if state.ticket is not None and state.seconds is None:
                        state.standing = self.service.standing(state.ticket)
                yield states
                if over:
                    return
                await asyncio.sleep(REST)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(moved.wait(), LOOK)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def say(
        self, operation: str, extras: Mapping[str, Any], pictures: tuple[Pixels, ...], owner: str
    ) -> Any:
        """The answer of an operation with words. Raises ApiError."""
        order = Order(operation=operation, model="", rows=1, extras=extras, pictures=pictures)
        return await self.service.said(self._submit(order, owner))

    async def settle(self, model: str, requests: list[str], owner: str) -> dict[str, Any]:
        """The prompt that a conversation comes to, and what is drawn in its place. Raises ApiError."""
        await self.service.judge(requests)
        target = self.service.catalog.target(model, "generate")
        return await self.say("chat", chatting(self.service, target, requests, None), (), owner)

    async def decode(self, data: bytes) -> Pixels:
        """Raises ApiError for what is no picture."""
        return await self.service.codecs.decode(data, OWN.formats)

    def bytes_of(self, file: str) -> bytes | None:
        """A picture that was drawn here; None once its hour is over."""
        try:
            return Path(file).read_bytes()
        except OSError:
            return None

    async def _follow(self, state: Progress, owner: str, words: Words, moved: asyncio.Event) -> None:
        try:
            await self._perform(state, owner, moved)
        except ApiError as error:
            state.error = error.message
        except Exception as error:
            self.service.log("the page failed", error=f"{type(error).__name__}: {error}")
            state.error = words("fault")
        finally:
            state.seconds = time.monotonic() - state.began
            moved.set()

    async def _perform(self, state: Progress, owner: str, moved: asyncio.Event) -> None:
        wish, service = state.wish, self.service
        target = service.catalog.target(wish.model, wish.operation)
        taken = {name: value for name, value in wish.values.items() if value not in (None, "")}
        for name in [name for name in taken if name not in ALWAYS | set(target.options)]:
            state.notes.append(unknown_parameter(name).message)
            del taken[name]
        texts = [str(wish.extras.get(name, "")) for name in ("source", "target", "revised")]
        await service.judge([wish.prompt, *texts])
        call = read(Fields(taken, form=True), target, prompt=wish.prompt, extras=dict(wish.extras))
        rows = int(wish.extras["frames"]) if wish.operation in FRAMES else call.n
        order = replace(call, partials=PREVIEWS).order(wish.operation, wish.pictures, rows)
        state.rows = rows
        state.ticket = self._submit(order, owner)
        moved.set()
        async for event in service.events(state.ticket):
            if isinstance(event, Partial):
                state.previews[event.row] = await self._preview(event.picture)
            elif isinstance(event, Drawn):
                state.notes += [note for note in event.notes if note not in state.notes]
                state.shots[event.row] = await self._keep(state, event, target)
            moved.set()

    def _submit(self, order: Order, owner: str) -> Ticket:
        return self.service.submit(order, owner=owner, id=f"page_{secrets.token_hex(16)}", patience=None)

    async def _preview(self, picture: Pixels) -> str:
        scale = min(1.0, PREVIEW_SIDE / max(picture.size))
        shown = Size(*(max(1, round(side * scale)) for side in picture.size))
        data = await self.service.codecs.encode(
            picture, target=shown, format="webp", compression=75, recipe=b""
        )
        return f"data:image/webp;base64,{base64.b64encode(data).decode('ascii')}"

    async def _keep(self, state: Progress, event: Drawn, target: Target) -> dict[str, Any]:
        """A picture as a file, and every setting that it was drawn with."""
        text = json.dumps(event.recipe, ensure_ascii=False).encode()
        data = await self.service.codecs.encode(
            event.picture, target=None, format="png", compression=100, recipe=text
        )
        wish, recipe = state.wish, event.recipe
        return {
            "file": await self._write(data),
            "model": wish.model,
            "operation": wish.operation,
            "prompt": wish.prompt,
            "revised_prompt": event.revised_prompt,
            "seed": event.seed,
            "size": str(Size(*event.picture.size)),
            "options": {**target.options, **recipe.get("options", {})},
            "extras": {name: value for name, value in wish.extras.items() if name in SHOWN},
            "seconds": round(time.monotonic() - state.began, 1),
            "notes": list(event.notes),
        }

    async def _write(self, data: bytes) -> str:
        file = self.folder / f"{secrets.token_hex(16)}.png"
        await asyncio.to_thread(write_bytes, file, data)
        return str(file)
