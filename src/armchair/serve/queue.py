"""Who is drawn next: fair between keys, equal orders together, and no more waiting than can be kept short.

Nothing here waits or talks to anybody, so that a test with a clock of its own sees every decision.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator

from armchair.serve.errors import ApiError, bad, overloaded, rate_limited
from armchair.serve.orders import Order, Piece, Ticket

UNKNOWN_SECONDS = 5.0  # what a picture is taken to need until a worker has drawn one
POISONS = 1000  # fingerprints of fatal orders that are remembered
DEADLY = 2  # workers that an order may kill


class Estimator:
    """Seconds that a run takes, learned from those that were drawn."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[int, float]] = {}  # key of an order -> rows -> mean seconds
        # model -> seconds of one picture, as a worker measured at its start, and the steps that it took
        self.models: dict[str, tuple[float, int | None]] = {}

    def learn(self, order: Order, rows: int, seconds: float) -> None:
        """A run of so many rows took so long."""
        rates = self._seen.setdefault(order.key, {})
        old = rates.get(rows)
        rates[rows] = seconds if old is None else old + 0.3 * (seconds - old)
        if len(self._seen) > 10_000:  # callers choose the options, and so the keys
            del self._seen[next(iter(self._seen))]

    def seconds(self, order: Order, rows: int) -> float:
        """Of a run of so many rows; rows that were never seen are taken to cost in proportion."""
        rates = self._seen.get(order.key)
        if rates is None:
            seconds, usual = self.models.get(order.model, (UNKNOWN_SECONDS, None))
            steps = order.options.get("steps")
            if usual and isinstance(steps, int | float):
                seconds *= steps / usual
            return seconds * (rows if order.divisible else order.drawn)
        if rows in rates:
            return rates[rows]
        near = min(rates, key=lambda seen: abs(seen - rows))
        return rates[near] * max(1.0, rows / near)


class Queue:
    """Tickets that wait.

    together: which models draw several orders in one run        batch: rows of a run at most
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        batch: int = 8,
        longest: int = 256,
        longest_of_one: int = 64,
        patience: float = 300.0,
        longest_draw: float = math.inf,
    ):
        """longest, longest_of_one: tickets that wait, in all and of one key        patience: seconds that one
        waits at most        longest_draw: seconds that one takes at most
        """
        self.clock, self.batch, self.longest_draw = clock, batch, longest_draw
        self.longest, self.longest_of_one, self.patience = longest, longest_of_one, patience
        self.together: Collection[str] = frozenset()
        self.estimator = Estimator()
        self._waiting: OrderedDict[str, list[Ticket]] = OrderedDict()  # owner -> its tickets, oldest first
        self._used: dict[str, float] = {}  # owner -> seconds it was given, on the scale of `_turn`
        self._turn = 0.0  # what the owner served last had been given before
        self._most: dict[str, int] = {}  # key of an order -> rows that fit into memory
        self._poison: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def __iter__(self) -> Iterator[Ticket]:
        """In the order in which they would be drawn were every run to hold one."""
        left = {owner: list(tickets) for owner, tickets in self._waiting.items()}
        used = {owner: self._start(owner) for owner in left}
        while left:
            owner = self._first(left, used)
            ticket = left[owner].pop(0)
            used[owner] += self.estimator.seconds(ticket.order, len(ticket.todo))
            if not left[owner]:
                del left[owner]
            yield ticket

    def admit(self, order: Order, owner: str, *, busy: float, workers: int, patience: float | None) -> float:
        """The seconds that an order has to wait, if it may.

        busy: seconds until the running pictures are done, over all workers  patience: what the caller says
        it waits for an answer. Raises ApiError: 400 for an order that takes for ever, 429 for too many of one
        key, 503 for too many in all.
        """
        if self._poison and order.fingerprint in self._poison:
            raise poisonous()
        mine = len(self._waiting.get(owner, ()))
        wait = (busy + self.seconds()) / max(1, workers)
        if mine >= self.longest_of_one:
            raise rate_limited(
                "requests that wait at once", str(self.longest_of_one), str(mine + 1), wait / 2
            )
        if len(self) >= self.longest:
            raise overloaded(wait / 2)
        own = sum(self.estimator.seconds(order, rows) for rows in self._portions(order, order.rows))
        if own > self.longest_draw:
            raise bad(
                f"This would take about {own:,.0f} seconds here; one request is given "
                f"{self.longest_draw:,.0f}: ask for fewer pictures or steps."
            )
        bound = self.patience if patience is None else min(self.patience, patience - own)
        if wait > max(bound, 0.05):
            raise overloaded(wait - bound)
        return wait

    def add(self, ticket: Ticket) -> None:
        if ticket.owner not in self._waiting:
            self._used[ticket.owner] = self._start(ticket.owner)
        self._waiting.setdefault(ticket.owner, []).append(ticket)

    def give_back(self, pieces: Iterable[Piece]) -> None:
        """Rows that a run held and did not draw: they are next, before what waited longer."""
        for ticket, rows in pieces:
            ticket.todo = sorted({*ticket.todo, *(row for row in rows if row in ticket.missing)})
            if not ticket.ended and ticket.todo:
                self._used.setdefault(ticket.owner, self._turn)
                waiting = self._waiting.setdefault(ticket.owner, [])
                if ticket not in waiting:
                    waiting.insert(0, ticket)

    def remove(self, ticket: Ticket) -> None:
        """Take a ticket out, if it is in."""
        waiting = self._waiting.get(ticket.owner, [])
        if ticket in waiting:
            waiting.remove(ticket)
        if not waiting:
            self._waiting.pop(ticket.owner, None)

    def next(self) -> list[Piece]:
        """The pieces of the next run; [] where nobody waits."""
        if not self._waiting:
            self._used.clear()
            self._turn = 0.0
            return []
        owner = self._first(self._waiting, self._used)
        self._turn = self._used[owner]
        ticket = self._waiting[owner][0]
        order = ticket.order
        pieces = [self._take(ticket, self.most(order))]
        if order.mixes and order.model in self.together and not ticket.strikes:
            room = self.most(order) - len(pieces[0].rows)
            for other in list(self):
                if room <= 0:
                    break
                if other.order.key == order.key and other is not ticket and not other.strikes:
                    pieces.append(self._take(other, room))
                    room -= len(pieces[-1].rows)
        total = sum(len(piece.rows) for piece in pieces)
        seconds = self.estimator.seconds(order, total)
        for piece in pieces:
            self._used[piece.ticket.owner] += seconds * len(piece.rows) / total
        return pieces

    def seconds(self) -> float:
        """What all that waits takes one worker, equal orders drawn together."""
        rows: Counter[str] = Counter()
        sample: dict[str, Order] = {}
        for tickets in self._waiting.values():
            for ticket in tickets:
                order = ticket.order
                joins = order.mixes and order.model in self.together
                key = order.key if joins else f"{order.key} {ticket.id}"
                rows[key] += len(ticket.todo)
                sample[key] = order
        return sum(
            self.estimator.seconds(sample[key], part)
            for key, count in rows.items()
            for part in self._portions(sample[key], count)
        )

    def ahead(self, ticket: Ticket) -> tuple[int, float]:
        """How many tickets are before this one, and their seconds; (0, 0) for one that does not wait."""
        seconds = 0.0
        for position, other in enumerate(self):
            if other is ticket:
                return position, seconds
            seconds += self.estimator.seconds(other.order, len(other.todo))
        return 0, 0.0

    def overdue(self) -> list[Ticket]:
        """Tickets whose caller has given up by now."""
        now = self.clock()
        return [ticket for tickets in self._waiting.values() for ticket in tickets if ticket.deadline <= now]

    def most(self, order: Order) -> int:
        """Rows of such an order that one run may hold."""
        return self._most.get(order.key, self.batch) if order.divisible else order.rows

    def halve(self, order: Order, rows: int) -> bool:
        """So many rows did not fit into memory. False where it was one row, which cannot be halved."""
        if rows <= 1 or not order.divisible:
            return False
        self._most[order.key] = max(1, rows // 2)
        return True

    def poison(self, order: Order) -> None:
        """This order kills workers: it is refused from now on."""
        self._poison[order.fingerprint] = None
        while len(self._poison) > POISONS:
            self._poison.popitem(last=False)

    def _take(self, ticket: Ticket, room: int) -> Piece:
        """The next rows of a ticket, at most `room`, without a gap: a worker is told the first one's seed.
        Gaps are left where several workers die over one ticket.
        """
        first = ticket.todo[0]
        count = sum(row == first + place for place, row in enumerate(ticket.todo[:room]))
        rows, ticket.todo = ticket.todo[:count], ticket.todo[count:]
        if not ticket.todo:
            self.remove(ticket)
        return Piece(ticket, rows)

    def _portions(self, order: Order, rows: int) -> list[int]:
        """How many rows are divided into runs."""
        most = self.most(order)
        return [most] * (rows // most) + ([rows % most] if rows % most else [])

    def _start(self, owner: str) -> float:
        return max(self._used.get(owner, 0.0), self._turn)

    @staticmethod
    def _first(waiting: Iterable[str], used: dict[str, float]) -> str:
        """Whoever was given least; of equals the one that came first."""
        return min(waiting, key=lambda owner: used.get(owner, math.inf))


def poisonous() -> ApiError:
    """For an order that has killed workers."""
    return ApiError(
        500,
        "The server had an error while processing your request, more than once: it is not tried again",
        type="server_error",
        code="request_quarantined",
        retry=False,
    )
