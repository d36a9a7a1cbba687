"""armchair redo: a picture in, the same picture out, and whether the pixels are equal."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from armchair.cli import options as o


def command(
    picture: Annotated[
        Path, typer.Argument(metavar="PICTURE", help="A PNG that Armchair drew.", show_default=False)
    ],
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME|DIR", help="Draw with this bundle. [default: the one that drew it]"),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(metavar="auto|cpu|cuda|mps", help="Where to compute. [default: where it was drawn]"),
    ] = None,
    out: o.Out = Path("out"),
    as_json: o.Json = False,
) -> int:
    """Draw a picture again from the recipe inside it and say whether the pixels are equal (exit 0) or not
    (exit 1).

    \b
    Example
      armchair redo out/7-a-red-apple.png
    """
    from armchair.cli.drawing import check_folder
    from armchair.cli.out import line, note, show_json
    from armchair.core.images import open_image
    from armchair.core.picture import read_recipe

    recipe = read_recipe(picture)
    old = open_image(picture)
    check_folder(out)
    from armchair.artist.redo import psnr, redo, same_pixels

    start = time.perf_counter()
    new = redo(recipe, model=model, device=device)
    seconds = time.perf_counter() - start
    path = new.save(out)
    equal = same_pixels(old, new.image)
    if as_json:
        row = {
            "path": str(path),
            "seed": new.seed,
            "prompt": new.prompt,
            "revised_prompt": new.revised_prompt,
            "size": f"{new.image.width}x{new.image.height}",
            "seconds": round(seconds, 3),
        }
        show_json([{**row, "equal": equal}])
    else:
        line(path)
        if equal:
            note("the pixels are equal")
        elif old.size == new.image.size:
            note(f"the pixels differ: {psnr(old, new.image):.1f} dB")
        else:
            before, now = (f"{image.width}x{image.height}" for image in (old, new.image))
            note(f"the pixels differ: {before} before, {now} now")
    return 0 if equal else 1
