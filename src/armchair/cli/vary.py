"""armchair vary: a picture in, pictures like it out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from armchair.cli import options as o


def command(
    image: o.Picture,
    eta: Annotated[
        float | None,
        typer.Option(metavar="E", help="0 gives the picture itself, up to 1 varies more. [default: 1]"),
    ] = None,
    model: o.Model = o.DALLE2,
    n: o.N = 1,
    seed: o.Seed = None,
    size: o.FittingSize = None,
    steps: o.Steps = None,
    guidance: o.Guidance = None,
    lora: o.Lora = None,
    device: o.Device = "auto",
    dtype: o.Dtype = "auto",
    out: o.Out = Path("out"),
    as_json: o.Json = False,
) -> None:
    """Draw pictures like one: what CLIP sees of it stays, the rest is drawn anew; and all in one strip.

    \b
    Example
      armchair vary apple.png --n 4 --eta 0.8
    """
    from armchair.artist.check import check_n
    from armchair.artist.find import find
    from armchair.core.images import open_image

    check_n(n)  # before torch is imported
    picture = open_image(image)
    find(model)
    from armchair.artist.edits import variations_job
    from armchair.cli.drawing import draw, loaded

    artist = loaded(model, device, dtype, lora)
    chosen = {"eta": eta, "steps": steps, "guidance": guidance}
    job = variations_job(artist, picture, n=n, seed=seed, size=size, options=chosen)
    draw(artist, [job], out, as_json, label=f"like {image.stem}")
