"""armchair evaluate: a bundle in, what it can do in numbers with intervals out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from armchair.cli import options as o

if TYPE_CHECKING:
    from armchair.evaluation.result import Result, Value


def command(
    model: Annotated[
        str, typer.Argument(metavar="NAME|DIR", help="A bundle's name or folder.", show_default=False)
    ],
    suite: Annotated[
        str | None,
        typer.Option(metavar="NAME|all", help="One suite. [default: all of the model's kind]"),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A fixed part of each: minutes, wider intervals.")
    ] = False,
    clip: Annotated[str, typer.Option(metavar="NAME|DIR", help="The clip bundle that measures.")] = "clip",
    judge: Annotated[str, typer.Option(metavar="NAME|DIR", help="The judge that reads.")] = "judge",
    inception: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Weights of FID's Inception network, for the suite distance."),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="An earlier result: say how much better, in pairs."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write each result to DIR/MODEL-SUITE.json.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the pictures that are drawn.")
    ] = None,
    device: o.Device = "auto",
    as_json: o.Json = False,
) -> None:
    """Measure a bundle: every number with a 95 % interval, a ceiling and a floor.

    \b
    Examples
      armchair evaluate dalle1 --quick
      armchair evaluate dalle1 --suite geneval --out docs/scoreboard
      armchair evaluate runs/mine/bundle --against docs/scoreboard/dalle1-geneval.json
    """
    from armchair.artist.find import find
    from armchair.cli.drawing import check_folder
    from armchair.cli.out import line, note, progress, show_json
    from armchair.core.bundle import Bundle
    from armchair.core.config import to_json
    from armchair.core.errors import BadInput
    from armchair.core.files import write_bytes
    from armchair.evaluation.result import better, compare, read_result
    from armchair.evaluation.suites import evaluate, suites_of

    kind = Bundle.open(find(model)).kind  # mistakes are told before anything is loaded
    old = None if against is None else read_result(against)
    names = suites_of(kind, old.suite if old is not None and suite is None else suite)
    if old is not None and old.suite not in names:
        raise BadInput(
            f"{against} is a result of the suite {old.suite}, which is not among {', '.join(names)}"
        )
    if old is not None and old.quick != quick:
        raise BadInput(f"{against} was measured {'with' if old.quick else 'without'} --quick: do so here too")
    if inception is not None and "distance" not in names:
        raise BadInput(f"--inception is for the suite distance, not for {', '.join(names)}")
    for folder in (out, save):
        if folder is not None:
            check_folder(folder)
    from armchair.evaluation.session import Session

    shown: dict[str, Any] = {}
    with progress() as bar:
        task = bar.add_task("loading", total=None)

        def tell(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        session = Session(
            model,
            quick=quick,
            device=device,
            clip=clip,
            judge=judge,
            inception=inception,
            save=save,
            tell=tell,
        )
        for result in evaluate(session, names):
            if out is not None:
                write_bytes(out / result.file_name, result.file())
                note(f"wrote {out / result.file_name}")
            differences = None if old is None or old.suite != result.suite else compare(result, old)
            row = to_json(result)
            del row["scores"]  # of every picture: in the file alone
            shown[result.suite] = row
            if differences is not None:
                row["against"] = {
                    "sha256": old.sha256 if old is not None else "",
                    "differences": to_json(differences),
                    "better": better(differences),
                }
            if not as_json:
                bar.stop()
                show(result)
                if differences is not None:
                    line(f"less {against}:")
                    lines(differences)
                    line("better: it may replace the old one" if better(differences) else "not surely better")
                bar.start()
    if as_json:
        show_json({"model": session.bundle.name, "sha256": session.bundle.digest, "suites": shown})


def show(result: Result) -> None:
    """A result as a table for people."""
    from armchair.cli.out import line

    what = f"{result.model} · {result.suite}{' (quick)' if result.quick else ''}"
    line(f"{what}: {result.n:,} pictures, {result.seconds:.0f} s")
    lines({**result.values, **result.paired})
    line()


def lines(values: dict[str, Value]) -> None:
    from armchair.cli.out import table
    from armchair.evaluation.scoreboard import cells

    header = ("", "score", "95 % interval", "n", "ceiling", "floor")
    rows = [header, *(tuple([name, *cells(value)]) for name, value in values.items())]
    table(rows, indent=2, right=frozenset({1, 3, 4, 5}))
