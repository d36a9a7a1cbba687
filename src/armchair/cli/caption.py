"""armchair caption: a picture in, what it shows in words out."""

from __future__ import annotations

from typing import Annotated

import typer

from armchair.cli import options as o


def command(
    image: o.Picture,
    long: Annotated[
        bool, typer.Option("--long", help="All that is there. [default: the main subject]")
    ] = False,
    language: Annotated[str, typer.Option(metavar="en|ko", help="Of the words.")] = "en",
    model: Annotated[
        str, typer.Option(metavar="NAME|DIR", help="A captioner bundle: see `armchair models`.")
    ] = "captioner",
    device: o.Device = "auto",
    as_json: o.Json = False,
) -> None:
    """Say what a picture shows.

    \b
    Examples
      armchair caption cat.png
      armchair caption cat.png --long --language ko
    """
    from armchair.artist.language import caption
    from armchair.cli.out import line, show_json

    text = caption(image, long=long, language=language, model=model, device=device)
    if as_json:
        show_json({"text": text})
    else:
        line(text)
