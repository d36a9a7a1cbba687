"""The suite of prompt writers: whether descriptions hold all that was asked for, in unknown frames too."""

from __future__ import annotations

from armchair.core.device import pick_device
from armchair.data.world.reading import agrees, read
from armchair.data.world.writing import WritingConfig
from armchair.evaluation.bootstrap import Table
from armchair.evaluation.result import Measured, Value, summarise
from armchair.evaluation.session import Session
from armchair.writer.pipeline import WriterModel
from armchair.writer.task import distinct

PAIRS = {False: 600, True: 80}  # by `quick`
PAIRED = WritingConfig(split="test", concepts=96)
HEADLINE = ("network: prompts", "network: requests")


def writing(session: Session) -> Measured:
    """What the network keeps by itself, and what the writer keeps with its repairs."""
    model = WriterModel.from_bundle(session.bundle, pick_device(session.device))
    source, count = PAIRED.open(), PAIRS[session.quick]
    scores: Table = {}
    texts: list[str] = []
    for (i,) in session.each("writing", range(count), 1):
        pair = source.pair(i)
        loose = "ko" in (pair.source_language, pair.language)
        wanted = pair.told if pair.request else read(pair.source)
        alone = model.attempts(pair.source, pair.request, pair.language, i, 1)[0]
        if pair.request:
            whole = model.revise(pair.source, pair.request, pair.language, i).text
        else:
            whole = model.write(pair.source, pair.language, i).text
        texts.append(whole)
        kind, frames = "requests" if pair.request else "prompts", "trained" if pair.seen else "other"
        for name, text in (
            (f"network: {kind}", alone),
            (f"network: {frames} frames", alone),
            (f"writer: {kind}", whole),
        ):
            row = scores.setdefault(name, {}).setdefault(str(i), {})
            row[pair.language] = [float(agrees(text, wanted, loose))]
    values = summarise(scores, HEADLINE)
    values["distinct-2"] = Value(value=round(distinct(texts), 4), n=count)
    return Measured(
        n=count,
        values=values,
        headline=HEADLINE,
        scores=scores,
        protocol=f"{count:,} pairs 0.. of the test split, half of whose sentence and request frames are not "
        "trained on, English and Korean, 30 % of the prompts written out in the other language. A "
        "description is right when it, read by rules, names every thing that was asked for with its colour, "
        "count and relation, and no other, and has the background, style and sign that were said. network: "
        "its first attempt alone; writer: as people get it, of four attempts and with repairs. Overall: the "
        "mean of the network's prompts and requests. distinct-2: different word pairs over all, of what "
        "people get. Interval by bootstrap over pairs.",
    )
