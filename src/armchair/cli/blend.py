"""armchair blend: two pictures in, the way between them out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from armchair.cli import options as o


def command(
    image_a: Annotated[Path, typer.Argument(metavar="IMAGE_A", help="The first frame.", show_default=False)],
    image_b: Annotated[Path, typer.Argument(metavar="IMAGE_B", help="The last frame.", show_default=False)],
    frames: o.Frames = 5,
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
    """Draw the way from one picture to another; and all frames in one strip and as a GIF.

    \b
    Example
      armchair blend apple.png pear.png --frames 7
    """
    from armchair.artist.check import check_frames
    from armchair.artist.find import find
    from armchair.core.images import open_image

    check_frames(frames)  # before torch is imported
    pictures = open_image(image_a), open_image(image_b)
    find(model)
    from armchair.artist.edits import interpolate_job
    from armchair.cli.drawing import draw, loaded

    artist = loaded(model, device, dtype, lora)
    chosen = {"steps": steps, "guidance": guidance}
    job = interpolate_job(artist, *pictures, frames=frames, seed=seed, size=size, options=chosen)
    draw(artist, [job], out, as_json, label=f"{image_a.stem} to {image_b.stem}", gif=True)
