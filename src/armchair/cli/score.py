"""armchair score: pictures and texts in, how well they fit out, best first."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from armchair.cli import options as o


def command(
    images: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGE...", help="Pictures to compare.", show_default=False),
    ],
    prompt: Annotated[
        list[str],
        typer.Option(metavar="TEXT", help="What they are compared with; may be said several times."),
    ],
    model: Annotated[
        str, typer.Option(metavar="NAME|DIR", help="A clip bundle: see `armchair models`, or its folder.")
    ] = "clip",
    device: o.Device = "auto",
    as_json: o.Json = False,
) -> None:
    """Say how well pictures fit texts, best first: the cosine of CLIP's embeddings, -1 to 1.

    \b
    Examples
      armchair score out/*.png --prompt "a red apple"
      armchair score cat.png --prompt "a cat" --prompt "a dog" --json
    """
    from armchair.artist.scores import check_texts, open_images, score
    from armchair.cli.out import show_json, table

    check_texts(prompt)
    pictures = open_images(images)
    rows: list[dict[str, Any]] = [
        {"path": str(path), "prompt": text, "score": round(value, 4)}
        for path, values in zip(images, score(pictures, prompt, model=model, device=device), strict=True)
        for text, value in zip(prompt, values, strict=True)
    ]
    rows.sort(key=lambda row: -float(row["score"]))
    if as_json:
        show_json(rows)
        return
    table([(f"{row['score']:.4f}", row["path"], row["prompt"]) for row in rows], right=frozenset({0}))
