"""armchair data recaption: captions for every picture of a data set, beside the words that are there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from armchair.cli import options as o

if TYPE_CHECKING:
    from armchair.data.recaption import Recaptioned


def command(
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH", help="A folder, a .csv or .jsonl, or WebDataset tars.", show_default=False
        ),
    ],
    kinds: Annotated[str, typer.Option(metavar="LIST", help="Of short, long and alt.")] = "short,long",
    languages: Annotated[str, typer.Option(metavar="LIST", help="Of en and ko.")] = "en",
    temperature: Annotated[
        float, typer.Option(metavar="T", help="0 takes the likeliest word each time, 1 the network's choice.")
    ] = 0.5,
    model: Annotated[
        str, typer.Option(metavar="NAME|DIR", help="A captioner bundle: see `armchair models`.")
    ] = "captioner",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The table. [default: recaptions.jsonl beside the data, where training looks]",
        ),
    ] = None,
    batch: Annotated[int, typer.Option(metavar="B", help="Pictures at a time.")] = 32,
    processes: Annotated[int, typer.Option(metavar="P", help="That work side by side.")] = 1,
    device: o.Device = "auto",
    as_json: o.Json = False,
) -> None:
    """Caption every picture of a data set. The words that are there stay; a run that was stopped goes on.

    \b
    Examples
      armchair data recaption pictures/
      armchair data recaption shards/ --kinds long --languages en,ko --processes 4
    """
    from armchair.artist.language import Captioning
    from armchair.cli.out import line, note, progress, show_json
    from armchair.core.errors import BadInput
    from armchair.data.recaption import recaption

    if not 0 <= temperature < float("inf"):
        raise BadInput(f"temperature {temperature}: a number of 0 or more is needed")
    chosen = Captioning(
        model=model,
        kinds=_listed(kinds, ("short", "long", "alt"), "kinds"),
        languages=_listed(languages, ("en", "ko"), "languages"),
        temperature=temperature,
        device=device,
    )
    with progress() as bar:
        task = bar.add_task("captioning", total=None)

        def tell(report: Recaptioned) -> None:
            done = report.before + report.done + sum(map(len, report.skipped.values()))
            bar.update(task, completed=done, total=report.total)

        report = recaption(
            path, chosen, by=chosen.by, out=out, batch=batch, processes=processes, progress=tell
        )
    for reason, keys in sorted(report.skipped.items()):
        note(f"{len(keys):,} {reason}, such as {keys[0]}")
    if as_json:
        show_json(
            {
                "table": str(report.table),
                "pictures": report.total,
                "before": report.before,
                "captioned": report.done,
                "seconds": round(report.seconds, 2),
                "pictures_per_second": round(report.rate, 2),
            }
        )
        return
    line(report.table)
    spent = f"{report.done:,} pictures in {report.seconds:.1f} s, {report.rate:.3g} a second"
    note(f"{spent}; {report.before:,} had captions before")


def _listed(text: str, known: tuple[str, ...], name: str) -> tuple[Any, ...]:
    """ "a,b" -> ("a", "b"), each known. Raises BadInput."""
    from armchair.core.errors import BadInput, nearest

    words = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    for word in words:
        if word not in known:
            raise BadInput(f"--{name} {word!r} is none of {', '.join(known)}.{nearest(word, known)}")
    if not words:
        raise BadInput(f"--{name} is empty; name some of {', '.join(known)}")
    return words
