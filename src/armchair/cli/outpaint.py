"""armchair outpaint: a picture in, a larger one out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from armchair.cli import options as o


def command(
    image: Annotated[
        Path, typer.Argument(metavar="IMAGE", help="A picture of any shape.", show_default=False)
    ],
    prompt: Annotated[
        str, typer.Argument(metavar="PROMPT", help="What the larger picture shows.", show_default=False)
    ],
    to: Annotated[
        str,
        typer.Option("--to", "--size", metavar="WxH", help="One of the model's sizes.", show_default=False),
    ],
    anchor: Annotated[
        str, typer.Option(metavar="PLACE", help="Where the picture lies: center, left, top-right ...")
    ] = "center",
    model: o.Model = o.DALLE2,
    n: o.N = 1,
    seed: o.Seed = None,
    steps: o.Steps = None,
    shift: o.Shift = None,
    guidance: o.Guidance = None,
    guidance_interval: o.GuidanceInterval = None,
    sampler: o.Sampler = None,
    prior: o.Prior = None,
    lora: o.Lora = None,
    device: o.Device = "auto",
    dtype: o.Dtype = "auto",
    out: o.Out = Path("out"),
    as_json: o.Json = False,
) -> None:
    """Go on beyond a picture's edges; its own pixels stay as they are.

    \b
    Example
      armchair outpaint cat.png "a cat on a meadow" --to 256x256 --anchor bottom
    """
    from armchair.artist.check import check_anchor, check_n, check_prompt
    from armchair.artist.find import find
    from armchair.core.images import open_image, parse_size

    check_prompt(prompt)  # before torch is imported
    check_n(n)
    check_anchor(anchor)
    parse_size(to)
    picture = open_image(image)
    find(model)
    from armchair.artist.edits import outpaint_job
    from armchair.cli.drawing import draw, loaded

    artist = loaded(model, device, dtype, lora)
    chosen = {
        "steps": steps,
        "shift": shift,
        "guidance": guidance,
        "guidance_interval": guidance_interval,
        "sampler": sampler,
        "prior": prior,
    }
    job = outpaint_job(artist, picture, prompt, size=to, anchor=anchor, n=n, seed=seed, options=chosen)
    draw(artist, [job], out, as_json, label=prompt)
