"""armchair export: a bundle as another library's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    model: Annotated[
        str, typer.Argument(metavar="NAME|DIR", help="A bundle's name or folder.", show_default=False)
    ],
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="diffusers|hf-clip|safetensors",
            help="diffusers: a pipeline's folder, of systems like Karlo and Stable Diffusion. hf-clip: "
            "transformers' CLIPModel. safetensors: plain tensors in our names.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The new folder.", show_default=False)],
    dtype: Annotated[
        str, typer.Option(metavar="fp32|bf16|fp16", help="Precision of the numbers.")
    ] = "float32",
) -> None:
    """Write a bundle so that other libraries load it and compute the same.

    \b
    Examples
      armchair export clip --format hf-clip --out clip-hf
      armchair export karlo --format diffusers --out karlo-diffusers
      armchair export dalle1 --format safetensors --out dalle1-plain --dtype bf16
    """
    from armchair.artist.find import find
    from armchair.cli.out import line
    from armchair.core.bundle import Bundle
    from armchair.weights.exporting.run import export_bundle

    line(export_bundle(Bundle.open(find(model)), form, out, dtype))
