"""armchair textdiff: a picture and two texts in, the picture changed as they differ out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from armchair.cli import options as o


def command(
    image: o.Picture,
    source: Annotated[
        str, typer.Option(metavar="TEXT", help="What the picture shows now.", show_default=False)
    ],
    target: Annotated[str, typer.Option(metavar="TEXT", help="What it should show.", show_default=False)],
    frames: o.Frames = 5,
    strength: Annotated[
        float | None,
        typer.Option(metavar="X", help="How far the last frame goes, at most 1. [default: 0.5]"),
    ] = None,
    model: o.Model = o.DALLE2,
    seed: o.UpsamplerSeed = 0,
    size: o.FittingSize = None,
    steps: o.Steps = None,
    guidance: o.Guidance = None,
    lora: o.Lora = None,
    device: o.Device = "auto",
    dtype: o.Dtype = "auto",
    out: o.Out = Path("out"),
    as_json: o.Json = False,
) -> None:
    """Change a picture as one text differs from another; and all frames in one strip and as a GIF.

    \b
    Example
      armchair textdiff cat.png --source "a cat" --target "a cat on a skateboard"
    """
    from armchair.artist.check import check_frames, check_prompt
    from armchair.artist.find import find
    from armchair.core.images import open_image

    for text in (source, target):  # before torch is imported
        check_prompt(text)
    check_frames(frames)
    picture = open_image(image)
    find(model)
    from armchair.artist.edits import text_diff_job
    from armchair.cli.drawing import draw, loaded

    artist = loaded(model, device, dtype, lora)
    chosen = {"strength": strength, "steps": steps, "guidance": guidance}
    job = text_diff_job(
        artist, picture, source=source, target=target, frames=frames, seed=seed, size=size, options=chosen
    )
    draw(artist, [job], out, as_json, label=f"{image.stem} to {target}", gif=True)
