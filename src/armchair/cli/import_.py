"""armchair import: published weights in, a bundle out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from armchair.cli import options as o


def command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A folder, a file, or hub:owner/name@revision (40 hex digits).",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The new bundle's folder.", show_default=False)],
    dtype: Annotated[
        str, typer.Option(metavar="keep|fp32|bf16|fp16", help="Precision of the stored numbers.")
    ] = "keep",
    merges: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="CLIP's bpe_simple_vocab_16e6.txt.gz, for weights without a tokenizer.",
            show_default=False,
        ),
    ] = None,
    activation: Annotated[
        str | None,
        typer.Option(
            metavar="quick_gelu|gelu",
            help="Of a CLIP state dict that comes without a config.",
            show_default=False,
        ),
    ] = None,
    prediction: Annotated[
        str | None,
        typer.Option(
            metavar="eps|v",
            help="Of Stable Diffusion 2 in a single file: v for the models of 768 px.",
            show_default=False,
        ),
    ] = None,
    clip: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="A folder with CLIP's image tower, for an UnCLIP folder that has none: then pictures can be "
            "varied and blended.",
            show_default=False,
        ),
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Of the weights. [default: what the source says]"),
    ] = None,
    lock: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="JSON of sha256 by file: written at the first import, compared at the next ones. "
            "[default: for the hub, one in the cache]",
        ),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Fetch nothing: the hub's cache alone.")] = False,
    as_json: o.Json = False,
) -> None:
    """Make a bundle of published weights: OpenAI's dVAE, CLIP from OpenAI, Hugging Face or open_clip, Karlo
    (its own files or diffusers' folder), Stable Diffusion 1 and 2 (diffusers' folder or a single file), T5's
    encoders. No code in the files is run. Nothing is written unless every tensor fits.

    \b
    Examples
      armchair import dall-e --out dvae                      a folder with encoder.pkl and decoder.pkl
      armchair import ViT-B-32.pt --merges bpe_simple_vocab_16e6.txt.gz --out clip-b32
      armchair import karlo-v1-alpha --clip karlo-v1-alpha-image-variations --out karlo
      armchair import hub:openai/clip-vit-base-patch32@REVISION --out clip
    """
    from armchair.cli.out import line, note, show_json
    from armchair.weights.importing.plan import Options
    from armchair.weights.importing.run import import_weights, summary

    bundle = import_weights(
        source,
        out,
        dtype=dtype,
        licence=licence,
        lock=lock,
        offline=offline,
        options=Options(merges=merges, activation=activation, clip=clip, prediction=prediction),
    )
    told = summary(bundle)
    if as_json:
        show_json(told)
        return
    note(f"{told['format']} as a bundle of kind {told['kind']}; licence: {told['licence']}")
    for reason in dict.fromkeys(told["dropped"].values()):
        names = [name for name, why in told["dropped"].items() if why == reason]
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        note(f"left out {names[0]}{more}: {reason}")
    line(out)
