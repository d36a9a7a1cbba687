"""armchair data check: what is in a data set, before a run is spent on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from armchair.cli import options as o

if TYPE_CHECKING:
    from armchair.data.check import Report


def command(
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH", help="A folder, a .csv or .jsonl, or WebDataset tars.", show_default=False
        ),
    ],
    limit: Annotated[
        int | None, typer.Option(metavar="N", help="Look at N samples only. [default: all]")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="S", help="Of the random pairs, and of --limit.")] = 0,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the contact sheet.")] = Path("out"),
    as_json: o.Json = False,
) -> None:
    """Count what is there and what was skipped, and why; show ten random pairs and a contact sheet.

    \b
    Example
      armchair data check pictures/
    """
    import io

    from armchair.cli.drawing import check_folder
    from armchair.cli.out import line, progress, show_json
    from armchair.core.files import write_beside
    from armchair.data.check import check

    check_folder(out)
    with progress() as bar:
        task = bar.add_task("reading", total=None)
        report = check(
            path,
            limit=limit,
            seed=seed,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    buffer = io.BytesIO()
    report.sheet.save(buffer, format="PNG")
    name = Path(path.rstrip("/")).name or "data"
    sheet = write_beside(out / f"{name}-check.png", buffer.getvalue())
    if as_json:
        show_json({**report.to_json(), "sheet": str(sheet)})
        return
    show(report)
    line(f"sheet       {sheet}")


def show(report: Report) -> None:
    """The report for a person."""
    from armchair.cli.out import line, table

    small, large = ("x".join(map(str, size)) for size in (report.smallest, report.largest))
    rows = [
        ("kind", report.kind),
        ("samples", f"{report.samples:,}"),
        ("readable", f"{report.readable:,} of {report.examined:,} examined"),
        ("captions", f"{report.captions:,}"),
        ("passing", f"{report.passing:,} pass every filter of DALL·E 1"),
        ("languages", counts(report.languages)),
        ("words", counts(report.lengths)),
        ("short side", f"{counts(report.sides)}; smallest {small}, largest {large}"),
        ("duplicates", f"{len(report.duplicates)} groups of equal pictures"),
    ]
    table(rows)
    problems = [(reason, len(keys), keys[0] if keys else "") for reason, keys in report.skipped.items()]
    for title, entries in (
        ("skipped", [(f"{n:,}", reason, key) for reason, n, key in problems]),
        ("filters would drop", [(f"{n:,}", reason, "") for reason, n in report.filtered.items() if n]),
    ):
        if entries:
            line(title)
            table(entries, indent=2, right=frozenset({0}))
    line("ten at random")
    table(
        [(pair.key, f"{pair.width}x{pair.height}", " | ".join(pair.captions)[:100]) for pair in report.pairs],
        indent=2,
    )


def counts(table: dict[str, int]) -> str:
    return ", ".join(f"{name or 'unknown'}: {count:,}" for name, count in table.items())
