"""What is to be drawn, and for whom: the units that the queue holds and the worker receives."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from armchair.serve.codecs import Pixels
from armchair.serve.errors import ApiError

WORDS = frozenset({"caption", "expand", "score", "chat"})  # operations that answer with words
FRAMES = frozenset({"interpolate", "text_diff"})  # those whose pictures belong together


@dataclass(frozen=True, kw_only=True)
class Order:
    """One call, checked. A row is one picture that it asks for."""

    operation: str  # a name of Artist's: generate, complete, variations, inpaint ... or one of WORDS
    model: str  # a bundle's name
    rows: int  # pictures; 1 for words
    seed: int = 0  # of the first row, the next ones count up
    prompt: str = ""
    size: str | None = None  # what the model draws
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])  # steps, guidance ...
    extras: Mapping[str, Any] = field(default_factory=dict[str, Any])  # arguments of this operation alone
    rerank: int | None = None
    expand: str | None = None  # "try" expands the prompt where a writer is installed
    pictures: tuple[Pixels, ...] = ()
    partials: int = 0  # previews wanted of each row

    @property
    def divisible(self) -> bool:
        """Whether its rows can be drawn in several runs."""
        return self.operation not in FRAMES | WORDS and self.drawn == self.rows

    @property
    def mixes(self) -> bool:
        """Whether its rows can be drawn beside those of other orders: a run has many prompts, one picture."""
        return self.operation == "generate" and self.divisible

    @property
    def drawn(self) -> int:
        """Pictures that are drawn to choose its rows from."""
        return self.rows if self.rerank is None else max(self.rows, self.rerank)

    @cached_property
    def key(self) -> str:
        """Orders with the same key take the same time; those of one model that can do so run together."""
        words = [self.operation, self.model, self.size, dict(self.options), self.rerank, self.expand]
        return json.dumps(words, sort_keys=True)

    @cached_property
    def fingerprint(self) -> str:
        """The same for the same call made again, but for its seed."""
        words = [self.key, self.prompt, dict(self.extras)]
        found = hashlib.sha256(json.dumps(words, sort_keys=True).encode())
        for picture in self.pictures:
            found.update(picture.data)
        return found.hexdigest()

    def message(self) -> dict[str, Any]:
        """Its JSON for the worker, without the pixels."""
        return {
            "operation": self.operation,
            "prompt": self.prompt,
            "seed": self.seed,
            "size": self.size,
            "options": dict(self.options),
            "extras": dict(self.extras),
            "rerank": self.rerank,
            "expand": self.expand,
            "partials": self.partials,
            "pictures": [
                {"width": p.size.width, "height": p.size.height, "mode": p.mode} for p in self.pictures
            ],
        }


class Partial(NamedTuple):
    """A preview of a row."""

    row: int
    number: int  # 0, 1 ...
    picture: Pixels


class Drawn(NamedTuple):
    """A row that is done."""

    row: int
    seed: int
    picture: Pixels
    recipe: dict[str, Any]
    revised_prompt: str | None
    notes: list[str]


class Said(NamedTuple):
    """The answer of an operation with words."""

    value: Any


Event = Partial | Drawn | Said | ApiError


class Ticket:
    """An order on its way through the queue and a worker."""

    def __init__(
        self, order: Order, *, owner: str, now: float, patience: float, request: str = "", id: str = ""
    ):
        """owner: whose key; request: the id of the call, which its caller may have chosen; id: ours
        now and patience: seconds of the queue's clock, beyond which nobody waits
        """
        self.order, self.owner, self.request = order, owner, request
        self.id = id if id else secrets.token_hex(8)
        self.since, self.deadline = now, now + patience
        self.todo = list(range(order.rows))  # rows that no run holds
        self.missing = set(self.todo)  # rows that are not done
        self.strikes = 0  # workers that died over it
        self.ended = False
        self.step: tuple[int, int] | None = None  # index and total of the run that draws it
        self.events: asyncio.Queue[Event] = asyncio.Queue()

    def tell(self, event: Event) -> None:
        """Hand an event to whoever waits; nothing comes after the end."""
        if self.ended:
            return
        if isinstance(event, Drawn):
            self.missing.discard(event.row)
        self.events.put_nowait(event)
        if isinstance(event, ApiError | Said) or not self.missing:
            self.ended = True


class Piece(NamedTuple):
    """Rows of a ticket that one run draws."""

    ticket: Ticket
    rows: list[int]
