"""armchair probe: a picture in, what is left of it in its first principal components out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from armchair.cli import options as o


def command(
    image: o.Picture,
    components: Annotated[
        str, typer.Option(metavar="K,K,...", help="How many principal components are kept.")
    ] = "20,40,80",
    model: o.Model = o.DALLE2,
    n: Annotated[
        int, typer.Option(metavar="N", help="How many pictures a count, each from noise of its own, 1 to 64.")
    ] = 1,
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
    """Draw a picture from the first components of its embedding: what CLIP holds most important; and all in
    one strip.

    \b
    Example
      armchair probe apple.png --components 5,10,20,40,80
    """
    from armchair.artist.check import check_components, check_n
    from armchair.artist.find import find
    from armchair.core.errors import BadInput
    from armchair.core.images import open_image

    try:
        counts = check_components([int(part) for part in components.split(",")])
    except ValueError:
        raise BadInput(f"components {components!r}: whole numbers, as in 20,40,80") from None
    check_n(n)
    picture = open_image(image)
    find(model)
    from armchair.artist.edits import probe_job
    from armchair.cli.drawing import draw, loaded

    artist = loaded(model, device, dtype, lora)
    chosen = {"steps": steps, "guidance": guidance}
    jobs = [
        probe_job(artist, picture, components=counts, seed=one, size=size, options=chosen)
        for one in artist.seeds_from(seed, n)
    ]
    draw(artist, jobs, out, as_json, label=f"{image.stem} from components")
