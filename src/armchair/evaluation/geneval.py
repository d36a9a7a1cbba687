"""Emoji-GenEval: whether a picture shows what its prompt asked for, by GenEval's rules (arXiv:2310.11513).

task          right where
single, two   every concept asked for is found
counting      exactly as many are found
colours       the thing found best has the colour
position      the middles of the two things found best lie that way, further apart than a tenth of their sizes
attribution   both have their own colours
style         the concept is found, and style and background are those asked for
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from armchair.evaluation.bootstrap import Table
from armchair.evaluation.prompts import Prompt
from armchair.judge.reading import Reading, relations

SIDE = 64  # pixels at which pictures are read, whatever size they were drawn at


def fulfils(prompt: Prompt, reading: Reading) -> bool:
    """Whether a picture that reads so shows what the prompt asks for."""
    best = []
    for want in prompt.things:
        found = reading.of(want.concept)
        if len(found) < want.count or (prompt.task == "counting" and len(found) > want.count):
            return False
        if want.colour is not None and any(f.colour != want.colour for f in found[: want.count]):
            return False
        best.append(found[0].box)
    if prompt.relation is not None and prompt.relation not in relations(*best):
        return False
    return prompt.style in (None, reading.style) and prompt.background in (None, reading.background)


Readings = Mapping[tuple[str, str], Sequence[Reading]]  # (prompt's id, language) -> of its pictures


def scored(prompts: Sequence[Prompt], readings: Readings) -> Table:
    """1 for every picture that shows what was asked for, else 0."""
    table: Table = {}
    for (id, language), seen in readings.items():
        prompt = next(p for p in prompts if p.id == id)
        rows = table.setdefault(prompt.stratum, {}).setdefault(id, {})
        rows[language] = [float(fulfils(prompt, reading)) for reading in seen]
    return table


def shuffled(prompts: Sequence[Prompt], readings: Readings) -> Table:
    """The floor: every picture scored for each other prompt of its task, the mean over these."""
    table: Table = {}
    for (id, language), seen in readings.items():
        prompt = next(p for p in prompts if p.id == id)
        others = [p for p in prompts if p.task == prompt.task and p.stratum == prompt.stratum and p.id != id]
        rows = table.setdefault(prompt.stratum, {}).setdefault(id, {})
        rows[language] = [
            sum(fulfils(other, reading) for other in others) / len(others) if others else 0.0
            for reading in seen
        ]
    return table
