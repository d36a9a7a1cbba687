"""armchair data world: Emoji World as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new or empty folder.", show_default=False)],
    n: Annotated[int, typer.Option(metavar="N", help="How many scenes.")] = 100,
    size: Annotated[int, typer.Option(metavar="S", help="Pixels per side, up to 1024.")] = 64,
    start: Annotated[int, typer.Option(metavar="I", help="Index of the first scene.")] = 0,
    split: Annotated[str, typer.Option(metavar="train|test", help="test may show held-out pairs.")] = "train",
    preview: Annotated[bool, typer.Option("--preview", help="Write a contact sheet too.")] = False,
) -> None:
    """Write Emoji World pictures with captions and scene graphs (metadata.jsonl). The same indices give the
    same files.

    \b
    Example
      armchair data world --out world --n 1000 --size 256 --preview
    """
    from armchair.cli.out import line, progress
    from armchair.core.errors import BadInput
    from armchair.core.files import clear_errors
    from armchair.data.world.scene import WorldConfig
    from armchair.data.world.source import write_world

    if n < 1 or start < 0:
        raise BadInput(f"n {n} must be at least 1 and start {start} at least 0")
    with progress() as bar, clear_errors(out):
        task = bar.add_task("drawing", total=n)
        write_world(
            out,
            n,
            size,
            start,
            preview=preview,
            config=WorldConfig(size=size, split=split),
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    line(out / "metadata.jsonl")
    if preview:
        line(out / "preview.png")
