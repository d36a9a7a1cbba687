"""Which suites there are for which kind of bundle, and running them."""

from __future__ import annotations

import datetime
import importlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import cast

from armchair.core.errors import BadInput, Unsupported, nearest
from armchair.core.version import VERSION
from armchair.evaluation.result import SCHEMA, Measured, Result, Rows, machine
from armchair.evaluation.session import Session

ALL = "all"
NAMES = (
    "reconstruction", "distance", "clipscore", "geneval", "retrieval", "zeroshot", "judge",
    "prior", "roundtrip", "captions", "writing",
)  # fmt: skip
SUITES = {  # kind -> its suites -> the function that measures
    "dalle1": {
        "reconstruction": "armchair.evaluation.drawing:reconstruction",
        "distance": "armchair.evaluation.drawing:distance",
        "clipscore": "armchair.evaluation.drawing:clipscore",
        "geneval": "armchair.evaluation.drawing:geneval",
    },
    "dalle2": {
        "prior": "armchair.evaluation.dalle2_suites:prior",
        "roundtrip": "armchair.evaluation.dalle2_suites:roundtrip",
        "distance": "armchair.evaluation.drawing:distance",
        "clipscore": "armchair.evaluation.drawing:clipscore",
        "geneval": "armchair.evaluation.drawing:geneval",
    },
    "dalle3": {
        "reconstruction": "armchair.evaluation.drawing:reconstruction",
        "distance": "armchair.evaluation.drawing:distance",
        "clipscore": "armchair.evaluation.drawing:clipscore",
        "geneval": "armchair.evaluation.drawing:geneval",
    },
    "captioner": {"captions": "armchair.evaluation.caption_suite:captions"},
    "clip": {
        "retrieval": "armchair.evaluation.clip_suites:retrieval",
        "zeroshot": "armchair.evaluation.clip_suites:zeroshot",
    },
    "judge": {"judge": "armchair.evaluation.judge_suite:judge"},
    "writer": {"writing": "armchair.evaluation.writer_suite:writing"},
}


def suites_of(kind: str, asked: str | None) -> list[str]:
    """The suites to run: one by name, or all of the kind's own (None, "all").

    Raises BadInput for a name that is none, Unsupported for a suite of other kinds and a kind without any.
    """
    if asked is not None and asked != ALL and asked not in NAMES:
        raise BadInput(
            f"no suite {asked!r}.{nearest(asked, (*NAMES, ALL))} There are {', '.join(NAMES)}, {ALL}"
        )
    if kind not in SUITES:
        raise Unsupported(f"there is no suite for {kind} bundles; there are for {', '.join(SUITES)}")
    own = list(SUITES[kind])
    if asked in (None, ALL):
        return own
    if asked not in own:
        raise Unsupported(f"{asked} is no suite of {kind} bundles; theirs are {', '.join(own)}")
    return [asked]


def evaluate(session: Session, names: Sequence[str]) -> Iterator[Result]:
    """Run suites one after another; pictures that several need are drawn once, in the first one's time."""
    for name in names:
        module, _, function = SUITES[session.bundle.kind][name].partition(":")
        measure = cast("Callable[[Session], Measured]", getattr(importlib.import_module(module), function))
        session.uses = {}
        start = time.perf_counter()
        found = measure(session)
        yield Result(
            schema=SCHEMA,
            model=session.bundle.name,
            kind=session.bundle.kind,
            sha256=session.bundle.digest,
            suite=name,
            quick=session.quick,
            n=found.n,
            prompts=found.prompts,
            values=found.values,
            paired=found.paired,
            uses=dict(sorted(session.uses.items())),
            protocol=found.protocol,
            machine=machine(),
            date=datetime.date.today().isoformat(),
            seconds=round(time.perf_counter() - start, 1),
            armchair=VERSION,
            headline=found.headline,
            scores={stratum: Rows.of(rows) for stratum, rows in found.scores.items()},
        )
