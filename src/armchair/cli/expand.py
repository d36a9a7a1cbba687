"""armchair expand: a short prompt in, a description out."""

from __future__ import annotations

from typing import Annotated

import typer

from armchair.cli import options as o


def command(
    prompt: Annotated[
        str, typer.Argument(metavar="PROMPT", help="In English or Korean.", show_default=False)
    ],
    writer: Annotated[
        str,
        typer.Option(
            "--with",
            metavar="builtin|LLM",
            help="Who writes; LLM: the address of an OpenAI-compatible endpoint, ADDRESS#MODEL where it has "
            "several, or a folder of a transformers model.",
        ),
    ] = "builtin",
    language: Annotated[
        str | None, typer.Option(metavar="en|ko", help="Of the description. [default: the prompt's]")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="S", help="Another seed, other words.")] = 0,
    device: o.Device = "auto",
    as_json: o.Json = False,
) -> None:
    """Write a short prompt out, as `generate --expand` does before it draws. What it names is never lost.

    \b
    Examples
      armchair expand "a cat on a blue car"
      armchair expand "파란 자동차 위의 고양이" --language en
      armchair expand "a cat" --with http://localhost:11434/v1#llama3.2
    """
    from armchair.artist.check import check_prompt
    from armchair.artist.expansion import check_writer
    from armchair.artist.language import expand
    from armchair.cli.out import line, show_json
    from armchair.core.errors import BadInput

    check_prompt(prompt)
    check_writer(writer)
    if language not in (None, "en", "ko"):
        raise BadInput(f"language {language!r} is neither en nor ko")
    text = expand(prompt, writer=writer, language=language, seed=seed, device=device)
    if as_json:
        show_json({"text": text})
    else:
        line(text)
