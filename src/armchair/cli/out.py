"""What goes where: results on stdout, everything else on stderr."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


@functools.cache
def stderr() -> Console:
    """The console of progress bars and notes, which share it so that a note stands above the bar."""
    from rich.console import Console

    return Console(stderr=True)


def note(text: str) -> None:
    """A line for the person at the terminal, no result."""
    stderr().print(f"note: {text}", markup=False, highlight=False, soft_wrap=True)


def line(text: object = "") -> None:
    """A line of the result."""
    typer.echo(str(text))


def line_above(bar: Progress, text: object) -> None:
    """A line of the result while a progress bar is on the screen."""
    if bar.disable:
        line(text)
        return
    bar.stop()
    line(text)
    bar.start()


def show_json(value: Any) -> None:
    """A result as JSON, Hangul as Hangul."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def table(rows: list[tuple[str, ...]], indent: int = 0, right: frozenset[int] = frozenset()) -> None:
    """Columns two spaces apart, those in `right` flush right, for people and for grep alike."""
    widths = [max(wide(row[i]) for row in rows) for i in range(len(rows[0]))] if rows else []
    for row in rows:
        cells = [
            pad(cell, width, i in right) for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        line(" " * indent + "  ".join(cells).rstrip())


def pad(text: str, width: int, right: bool = False) -> str:
    blanks = " " * (width - wide(text))
    return blanks + text if right else text + blanks


def wide(text: str) -> int:
    """Columns on a terminal: Hangul takes two."""
    import unicodedata

    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def progress() -> Progress:
    """A progress bar on stderr; nothing where stderr is not a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=stderr(),
        transient=True,
        redirect_stdout=False,  # results must reach stdout, also where only stderr is a terminal
        redirect_stderr=False,
        disable=not stderr().is_terminal,
    )
