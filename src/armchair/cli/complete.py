"""armchair complete: the top of a picture in, the rest drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from armchair.cli import options as o


def command(
    image: Annotated[
        Path,
        typer.Argument(metavar="IMAGE", help="A picture; its middle square is used.", show_default=False),
    ],
    prompt: Annotated[
        str, typer.Argument(metavar="PROMPT", help="What the whole picture shows.", show_default=False)
    ],
    keep_rows: Annotated[
        int | None, typer.Option(metavar="R", help="Rows of codes that stay. [default: half of them]")
    ] = None,
    model: o.Model = o.DALLE1,
    n: o.N = 1,
    seed: o.Seed = None,
    size: o.Size = None,
    steps: o.Steps = None,
    guidance: o.Guidance = None,
    temperature: o.Temperature = None,
    top_k: o.TopK = None,
    top_p: o.TopP = None,
    device: o.Device = "auto",
    dtype: o.Dtype = "auto",
    out: o.Out = Path("out"),
    as_json: o.Json = False,
) -> None:
    """Go on from the top rows of a picture, as DALL·E 1 can.

    \b
    Example
      armchair complete apple.png "a red apple" --keep-rows 8 --n 4
    """
    from armchair.artist.check import check_n, check_prompt
    from armchair.artist.find import find
    from armchair.core.images import open_image

    check_prompt(prompt)  # before torch is imported
    check_n(n)
    picture = open_image(image)
    find(model)
    from armchair.artist.artist import load
    from armchair.cli.drawing import draw

    artist = load(model, device=device, dtype=dtype)
    chosen = {
        "steps": steps,
        "guidance": guidance,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
    }
    job = artist.complete_job(picture, prompt, keep_rows=keep_rows, n=n, seed=seed, size=size, options=chosen)
    draw(artist, [job], out, as_json)
