"""armchair inpaint: a picture with a hole in, the hole drawn out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from armchair.cli import options as o


def command(
    image: Annotated[
        Path,
        typer.Argument(
            metavar="IMAGE",
            help="A picture; one that is not square gets bars, which are drawn.",
            show_default=False,
        ),
    ],
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[MASK] PROMPT",
            help="White, or transparent, is drawn. [default: the picture's transparency]; what the whole "
            "picture shows.",
            show_default=False,
        ),
    ],
    model: o.Model = o.DALLE2,
    n: o.N = 1,
    seed: o.Seed = None,
    size: o.FittingSize = None,
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
    """Draw a part of a picture anew; every other pixel stays as it is.

    \b
    Examples
      armchair inpaint cat.png mask.png "a cat with a hat" --n 4
      armchair inpaint cat-with-hole.png "a cat with a hat"
    """
    from armchair.artist.check import check_n, check_prompt
    from armchair.artist.find import find
    from armchair.core.errors import BadInput
    from armchair.core.images import open_image

    if len(words) > 2:
        raise BadInput(f"inpaint takes IMAGE [MASK] PROMPT, and then got {words[2]!r}; quote the prompt")
    prompt = check_prompt(words[-1])  # before torch is imported
    check_n(n)
    picture = open_image(image)
    mask = open_image(words[0]) if len(words) == 2 else None
    find(model)
    from armchair.artist.edits import inpaint_job
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
    job = inpaint_job(artist, picture, mask, prompt, n=n, seed=seed, size=size, options=chosen)
    draw(artist, [job], out, as_json, label=prompt)
