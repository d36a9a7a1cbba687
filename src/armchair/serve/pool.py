"""The workers, one a device: started, watched, replaced when they die, given the next run of the queue."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from armchair.serve import errors
from armchair.serve.canvas import Size
from armchair.serve.child import Child
from armchair.serve.codecs import Pixels
from armchair.serve.metrics import Metrics
from armchair.serve.orders import Drawn, Partial, Piece, Said, Ticket
from armchair.serve.protocol import Frame, ProtocolError
from armchair.serve.queue import DEADLY, Queue, poisonous
from armchair.serve.settings import Settings

BACKOFF = 5.0  # seconds at most between two starts of a worker that dies at once


@dataclass
class Run:
    """What a worker draws now."""

    number: int
    pieces: list[Piece]
    rows: int
    began: float
    expected: float  # seconds
    moved: float  # when it last went on
    index: int = 0
    total: int = 0

    @property
    def tickets(self) -> dict[str, Piece]:
        return {piece.ticket.id: piece for piece in self.pieces}


@dataclass
class Seat:
    """A device's place for a worker, whichever process sits there."""

    device: str
    child: Child | None = None
    ready: bool = False  # it has said hello
    heard: float = 0.0  # when it last said anything
    run: Run | None = None
    loaded: list[str] = field(default_factory=list[str])
    deaths: int = 0  # since it was last ready


class Pool:
    """models: what the workers can do, name -> description, {} until one of them is ready
    words: the operations with words that they can do
    """

    def __init__(
        self,
        settings: Settings,
        queue: Queue,
        metrics: Metrics,
        log: Callable[..., None],
        clock: Callable[[], float] = time.monotonic,
    ):
        self.settings, self.queue, self.metrics, self.log, self.clock = settings, queue, metrics, log, clock
        self.models: dict[str, dict[str, Any]] = {}
        self.words: list[str] = []
        self.failed: dict[str, str] = {}
        self.seats = [Seat(device) for device in settings.devices]
        self.runs = 0  # that were started
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._keep(seat)) for seat in self.seats]
        self._tasks.append(asyncio.create_task(self._watch()))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(seat.child.stop() for seat in self.seats if seat.child is not None))

    @property
    def ready(self) -> int:
        """Workers that live and have a model to draw with."""
        now = self.clock()
        return sum(
            seat.ready and bool(self.models) and now - seat.heard < self.settings.stale_seconds
            for seat in self.seats
        )

    @property
    def hopeless(self) -> bool:
        """Whether every worker dies again and again before it is ready, or finds no model that loads."""
        return all(seat.deaths >= 3 or (seat.ready and not self.models) for seat in self.seats)

    def busy(self) -> float:
        """Seconds until the running pictures are done, over all workers."""
        now = self.clock()
        runs = [seat.run for seat in self.seats if seat.run is not None]
        return sum(max(0.0, run.began + run.expected - now) for run in runs)

    def dispatch(self) -> None:
        """Give every idle worker the next run; one that has the model loaded goes first."""
        for ticket in self.queue.overdue():
            self.queue.remove(ticket)
            self.metrics.refused.labels("overdue").inc()
            ticket.tell(errors.overloaded(self.queue.seconds()))
        for seat in self._idle():
            pieces = self.queue.next()
            if not pieces:
                break
            self._give(seat, pieces)

    def cancel(self, ticket: Ticket) -> None:
        """Nobody wants it any more: it leaves the queue, and its rows leave the run that draws them."""
        if ticket.ended:
            return
        ticket.ended = True
        self.metrics.cancelled.inc()
        self.queue.remove(ticket)
        for seat in self.seats:
            if seat.run is not None and ticket.id in seat.run.tickets and seat.child is not None:
                self._send(seat, seat.child.send({"kind": "cancel", "ticket": ticket.id}))

    def _idle(self) -> list[Seat]:
        head = next(iter(self.queue), None)
        model = "" if head is None else head.order.model
        now = self.clock()
        idle = [
            seat
            for seat in self.seats
            if seat.ready and seat.run is None and now - seat.heard < self.settings.stale_seconds
        ]
        return sorted(idle, key=lambda seat: model not in seat.loaded)

    def _give(self, seat: Seat, pieces: list[Piece]) -> None:
        order, now = pieces[0].ticket.order, self.clock()
        rows = sum(len(piece.rows) for piece in pieces)
        self.runs += 1
        expected = self.queue.estimator.seconds(order, rows)
        seat.run = Run(self.runs, pieces, rows, now, expected, now)
        self.metrics.batch.observe(rows)
        blobs: list[bytes] = []
        parts: list[dict[str, Any]] = []
        for ticket, held in pieces:
            self.metrics.waited.observe(now - ticket.since)
            ticket.step = (0, 0)
            blobs += [picture.data for picture in ticket.order.pictures]
            parts.append({"ticket": ticket.id, "rows": held, "order": ticket.order.message()})
        header = {"kind": "run", "run": seat.run.number, "model": order.model, "parts": parts}
        assert seat.child is not None
        self._send(seat, seat.child.send(header, blobs))

    def _send(self, seat: Seat, sending: Any) -> None:
        """Without waiting; a worker that does not take it is a dead one, which `_keep` sees."""

        async def send() -> None:
            with contextlib.suppress(ConnectionError):
                await sending

        task = asyncio.create_task(send())
        self._tasks.append(task)
        task.add_done_callback(self._tasks.remove)

    async def _keep(self, seat: Seat) -> None:
        """Have a worker in the seat, for ever."""
        while True:
            try:
                await self._sit(seat)
            except (ConnectionError, ProtocolError, OSError) as error:
                self.log("worker failed", device=seat.device, error=f"{type(error).__name__}: {error}")
            seat.deaths += 1
            self.metrics.restarts.inc()
            self.log("worker died", device=seat.device, deaths=seat.deaths)
            child, seat.child, seat.ready, seat.loaded = seat.child, None, False, []
            if child is not None:
                child.kill()
                await child.stop()
            self._bereave(seat)
            await asyncio.sleep(min(BACKOFF, 0.1 * 3 ** max(0, seat.deaths - 2)) if seat.deaths > 1 else 0)

    async def _sit(self, seat: Seat) -> None:
        """Start a worker and hear it out until it ends."""
        settings = self.settings
        options = {
            "studio": settings.studio,
            "models": list(settings.models),
            "device": seat.device,
            "dtype": settings.dtype,
            "memory": settings.memory,
            "beat": settings.stale_seconds / 4,
        }
        seat.heard = self.clock()
        seat.child = await Child.start(
            "armchair.serve.worker", options, lambda line: self.log("worker says", text=line)
        )
        while (frame := await seat.child.receive()) is not None:
            seat.heard = self.clock()
            self._hear(seat, frame)

    def _hear(self, seat: Seat, frame: Frame) -> None:
        header, kind = frame.header, frame.header["kind"]
        if kind == "beat":
            return
        if kind == "hello":
            self._greet(seat, header)
            return
        run = seat.run
        if run is None or header["run"] != run.number:
            return
        run.moved = self.clock()
        if kind == "step":
            run.index, run.total = header["index"], header["total"]
            self.metrics.steps.inc()
            for piece in run.pieces:
                piece.ticket.step = (run.index + 1, run.total)
        elif kind == "end":
            self._end(seat, run, header)
        elif header["ticket"] in run.tickets:
            self._tell(run, run.tickets[header["ticket"]].ticket, frame)

    def _greet(self, seat: Seat, header: dict[str, Any]) -> None:
        seat.ready, seat.deaths, seat.loaded = True, 0, header["loaded"]
        self.models, self.words, self.failed = header["models"], header["words"], header["failed"]
        self.queue.together = {name for name, model in self.models.items() if model["together"]}
        for name, model in self.models.items():
            if model["seconds"] is not None:
                steps = model["options"]["generate"].get("steps")
                known = (model["seconds"], steps if isinstance(steps, int) else None)
                self.queue.estimator.models[name] = known
        for name, reason in self.failed.items():
            self.log("model does not load", model=name, reason=reason)
        self.log("worker ready", device=seat.device, models=sorted(self.models))
        self.dispatch()

    def _tell(self, run: Run, ticket: Ticket, frame: Frame) -> None:
        header, kind = frame.header, frame.header["kind"]
        if kind == "words":
            ticket.tell(Said(header["value"]))
        elif kind == "refused":
            ticket.tell(_failure(header["error"], header["message"]))
        else:
            picture = Pixels(Size(*header["size"]), "RGB", frame.blobs[0])
            if kind == "preview":
                ticket.tell(Partial(header["row"], header["number"], picture))
                return
            self.metrics.pictures.labels(ticket.order.model).inc()
            recipe, prompt = json.loads(frame.blobs[1]), header["revised_prompt"]
            ticket.tell(Drawn(header["row"], header["seed"], picture, recipe, prompt, header["notes"]))

    def _end(self, seat: Seat, run: Run, header: dict[str, Any]) -> None:
        """A run is over. What it left undrawn fails, or is tried again alone where others may be to blame."""
        seat.run, seat.loaded = None, header["loaded"]
        self.metrics.busy.inc(header["seconds"])
        order, error = run.pieces[0].ticket.order, header["error"]
        open_pieces = [piece for piece in run.pieces if not piece.ticket.ended and _left(piece)]
        if error == "memory" and self.queue.halve(order, run.rows):
            self.queue.give_back(open_pieces)
        elif error and len(run.pieces) > 1:
            for piece in open_pieces:
                piece.ticket.strikes = max(1, piece.ticket.strikes)
            self.queue.give_back(open_pieces)
        elif error:
            for piece in open_pieces:
                piece.ticket.tell(_failure(error, header["message"]))
        else:
            if all(not piece.ticket.ended or not piece.ticket.missing for piece in run.pieces):
                self.queue.estimator.learn(order, run.rows, header["seconds"])
            for piece in open_pieces:  # a worker that skips a row without a word has a fault
                piece.ticket.tell(errors.fault(retry=False))
        self.dispatch()

    def _bereave(self, seat: Seat) -> None:
        """The worker died over its run: each of its orders is tried once more, alone, and then refused."""
        run, seat.run = seat.run, None
        if run is None:
            return
        for piece in run.pieces:
            ticket = piece.ticket
            if ticket.ended:
                continue
            ticket.strikes += 1
            if ticket.strikes >= DEADLY:
                self.queue.remove(ticket)
                self.queue.poison(ticket.order)
                self.metrics.refused.labels("poison").inc()
                ticket.tell(poisonous())
            else:
                self.queue.give_back([piece])
        self.dispatch()

    async def _watch(self) -> None:
        """Kill a worker that is silent or stuck. A pause of this process itself is not held against it."""
        tick = self.settings.stale_seconds / 4
        before = self.clock()
        while True:
            await asyncio.sleep(tick)
            now = self.clock()
            paused, before = now - before > 4 * tick, now
            if paused:
                for seat in self.seats:
                    seat.heard = max(seat.heard, now - self.settings.stale_seconds)
                continue
            for seat in self.seats:
                if seat.child is not None and self._is_stuck(seat, now):
                    self.log("worker does not answer", device=seat.device, pid=seat.child.pid)
                    seat.child.kill()
            if self.queue.overdue():
                self.dispatch()

    def _is_stuck(self, seat: Seat, now: float) -> bool:
        limit = self.settings.silent_seconds if seat.ready else self.settings.start_seconds
        if now - seat.heard > limit:
            return True
        return seat.run is not None and now - seat.run.moved > self.settings.step_seconds


def _failure(kind: str, message: str) -> errors.ApiError:
    """What a worker's word for a failure is to the caller. The work has run: nobody need try it again."""
    if kind == "input":
        return errors.bad(message)
    if kind == "unsupported":
        return errors.unsupported(message)
    return errors.out_of_memory() if kind == "memory" else errors.fault(retry=False)


def _left(piece: Piece) -> list[int]:
    return [row for row in piece.rows if row in piece.ticket.missing]
