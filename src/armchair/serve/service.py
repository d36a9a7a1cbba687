"""What the routes share: the queue, the workers, the codecs, the store, and who may call."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any

from armchair.serve import errors
from armchair.serve.catalog import Catalog
from armchair.serve.codecs import Codecs
from armchair.serve.errors import ApiError
from armchair.serve.forms import Uploads
from armchair.serve.keys import Keys
from armchair.serve.metrics import Metrics
from armchair.serve.orders import Drawn, Event, Order, Said, Ticket
from armchair.serve.policy import Policy
from armchair.serve.pool import Pool
from armchair.serve.queue import Queue
from armchair.serve.settings import Settings
from armchair.serve.store import Store

SWEEP_SECONDS = 60.0  # between two looks at the results' hours
MINUTE = 60.0


class Service:
    """Made before the loop runs (which finds mistakes in the settings), started and stopped within it."""

    def __init__(self, settings: Settings, log: Callable[..., None]):
        """Raises BadInput."""
        self.settings, self.log = settings, log
        self.keys = Keys(settings.keys)
        self.policy = Policy.load(settings.banned_words, settings.policy)
        self.uploads = Uploads(settings.body_bytes, settings.upload_bytes)
        self.metrics = Metrics()
        self.queue = Queue(
            time.monotonic,
            batch=settings.batch,
            longest=settings.queue,
            longest_of_one=settings.queue_of_one_key,
            patience=settings.longest_wait,
            longest_draw=settings.longest_draw,
        )
        self.pool = Pool(settings, self.queue, self.metrics, log)
        self.catalog = Catalog(settings, lambda: self.pool.models)
        self.codecs = Codecs(settings.codecs, lambda line: log("codec says", text=line))
        self._temporary = tempfile.mkdtemp(prefix="armchair-results-") if settings.store is None else None
        place = settings.store if settings.store is not None else self._temporary
        assert place is not None
        self.store = Store.open(place, seconds=settings.url_seconds, quota=settings.store_bytes)
        self.tickets: dict[tuple[str, str], Ticket] = {}  # (owner, request id) -> what is under way
        self.draining = False
        self._minutes: dict[str, list[tuple[float, int]]] = {}  # owner -> when it asked for how many pictures
        self._sweeping: asyncio.Task[None] | None = None
        watch = self.metrics.watch
        watch("queue_length", "Requests that wait.", lambda: len(self.queue))
        watch("workers_ready", "Workers that live and have a model.", lambda: self.pool.ready)
        watch("upload_bytes_held", "Bytes of bodies in memory.", lambda: self.uploads.held)
        watch("store_bytes", "Bytes of results behind URLs.", lambda: self.store.used)
        watch("log_lines_dropped", "Lines that nobody read.", lambda: getattr(log, "dropped", 0))

    async def start(self) -> None:
        self.pool.start()
        self._sweeping = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        self.draining = True
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)
        await self.pool.stop()
        await self.codecs.close()
        if self._temporary is not None:
            await asyncio.to_thread(shutil.rmtree, self._temporary, True)

    async def judge(self, prompts: Sequence[str], gpt: bool = False) -> None:
        """Raises ApiError where the operator's policy does not admit one of the prompts."""
        for prompt in prompts:
            if prompt and not await self.policy.admits(prompt):
                self.metrics.refused.labels("policy").inc()
                raise errors.refused_by_policy(gpt)

    def submit(self, order: Order, *, owner: str, id: str, patience: float | None) -> Ticket:
        """Put an order into the queue. patience: seconds that the caller says it waits for bytes.

        Raises ApiError: 429 and 503 with Retry-After for what cannot be drawn soon enough.
        """
        if self.pool.hopeless or self.draining:
            self._refuse("unready")
            raise errors.overloaded(10)
        try:
            self.queue.admit(
                order,
                owner,
                busy=self.pool.busy(),
                workers=self.pool.ready,
                patience=patience,
            )
        except ApiError as error:
            self._refuse({429: "key", 503: "full"}.get(error.status, "poison"))
            raise
        self._limit(order, owner)  # last: only what is drawn counts
        longest = (
            self.settings.longest_wait if patience is None else min(patience, self.settings.longest_wait)
        )
        ticket = Ticket(order, owner=owner, request=id, now=time.monotonic(), patience=longest)
        self.tickets[owner, id] = ticket
        self.queue.add(ticket)
        self.pool.dispatch()
        return ticket

    async def events(self, ticket: Ticket) -> AsyncGenerator[Event]:
        """What happens to a ticket, until it is done. Leaving early cancels it. Raises ApiError."""
        missing = ticket.order.rows
        try:
            while True:
                event = await ticket.events.get()
                if isinstance(event, ApiError):
                    raise event
                yield event
                missing -= isinstance(event, Drawn)
                if missing == 0 or isinstance(event, Said):
                    return
        finally:
            self.leave(ticket)

    async def said(self, ticket: Ticket) -> Any:
        """The answer to a ticket with words. Raises ApiError."""
        value: Any = None
        async for event in self.events(ticket):
            if isinstance(event, Said):
                value = event.value
        return value

    def leave(self, ticket: Ticket) -> None:
        """Nobody waits for this ticket any more."""
        self.pool.cancel(ticket)
        if self.tickets.get((ticket.owner, ticket.request)) is ticket:
            del self.tickets[ticket.owner, ticket.request]

    def standing(self, ticket: Ticket) -> dict[str, Any]:
        """Where a ticket stands: its place in the queue, its step, the seconds left."""
        workers = max(1, self.pool.ready)
        rows = len(ticket.missing)
        own = self.queue.estimator.seconds(ticket.order, max(1, rows))
        if ticket.step is not None:
            index, total = ticket.step
            left = own * (1 - index / total) if total else own
            return {
                "state": "drawing",
                "position": 0,
                "step": index,
                "steps": total,
                "eta_seconds": round(left, 1),
            }
        before, seconds = self.queue.ahead(ticket)
        eta = (self.pool.busy() + seconds) / workers + own
        return {"state": "waiting", "position": before + 1, "eta_seconds": round(eta, 1)}

    async def unless_gone(self, work: Awaitable[Any], gone: Awaitable[Any]) -> Any:
        """The result of work; CallerLeft where the caller went first, and the work is then cancelled."""
        working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(gone)
        try:
            await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            raise CallerLeft
        finally:
            for task in (working, leaving):
                if not task.done():
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError, Exception):
                        await task

    def _limit(self, order: Order, owner: str) -> None:
        limit = self.settings.images_per_minute
        if limit is None:
            return
        now = time.monotonic()
        recent = [(when, count) for when, count in self._minutes.get(owner, []) if now - when < MINUTE]
        asked = sum(count for _, count in recent) + order.rows
        if asked > limit:
            self._refuse("rate")
            wait = MINUTE - (now - recent[0][0]) if recent else MINUTE
            raise errors.rate_limited("images per minute", f"{limit}/1min", f"{asked}/1min", wait)
        self._minutes[owner] = [*recent, (now, order.rows)]

    def _refuse(self, reason: str) -> None:
        self.metrics.refused.labels(reason).inc()

    async def _sweep(self) -> None:
        while True:
            try:
                await self.store.sweep()
            except Exception as error:  # a store that is away for a while must not end the sweeping
                self.log("the store cannot be swept", error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(SWEEP_SECONDS)


class CallerLeft(Exception):
    """The connection is gone: nobody reads an answer."""
