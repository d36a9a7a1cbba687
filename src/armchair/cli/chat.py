"""armchair chat: a picture, and then what is to be different about it, turn by turn."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from armchair.cli import options as o

QUIT = ("quit", "exit", "끝", "종료")


def command(
    model: o.Model = o.DEFAULT_MODEL,
    seed: Annotated[
        int | None, typer.Option(metavar="S", help="Of all pictures. [default: random, or the transcript's]")
    ] = None,
    size: o.Size = None,
    steps: o.Steps = None,
    guidance: o.Guidance = None,
    expand: Annotated[
        str | None,
        typer.Option(metavar="off|builtin|LLM", help="Who writes prompts out. [default: the model's habit]"),
    ] = None,
    device: o.Device = "auto",
    dtype: o.Dtype = "auto",
    out: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="Folder of transcript and pictures; one that has them is gone on with.",
        ),
    ] = Path("out/chat"),
    as_json: o.Json = False,
) -> None:
    """Draw in a conversation, a line a turn: "a cat", "make it red", "add a dog on the left", "in line
    style", "undo", "again" (with the next seed), "seed 7", "quit". Reads a script from standard input too.

    \b
    Examples
      armchair chat --seed 1 --size 64x64
      printf 'a cat\\nmake it red\\nundo\\n' | armchair chat --out story
    """
    from armchair.artist.find import find
    from armchair.cli.drawing import check_folder
    from armchair.cli.out import line, note, show_json

    find(model)
    check_folder(out)
    from armchair.artist.language import chat
    from armchair.core.errors import ArmchairError

    conversation = chat(
        model, seed=seed, folder=out, expand=expand, size=size, device=device, dtype=dtype,
        steps=steps, guidance=guidance,
    )  # fmt: skip
    if conversation.turns:
        last = conversation.turns[-1]
        note(f"going on after turn {last.number}: {last.scene.prompt}")
    rows: list[dict[str, Any]] = []
    while (said := _said()) is not None:
        if not said:
            continue
        if said.lower() in QUIT:
            break
        start = time.perf_counter()
        try:
            turn = conversation.say(said)
        except ArmchairError as error:
            note(str(error))
            continue
        words = turn.scene.prompt if turn.scene.revised_prompt is None else turn.scene.revised_prompt
        rows.append(
            {
                "path": None if turn.path is None else str(out / turn.path),
                "seed": turn.scene.seed,
                "prompt": turn.scene.prompt,
                "revised_prompt": turn.scene.revised_prompt,
                "size": conversation.size,
                "seconds": round(time.perf_counter() - start, 3),
                "said": turn.said,
                "action": turn.action,
            }
        )
        if not as_json:
            note(words)
            line(rows[-1]["path"])
    if as_json:
        show_json(rows)


def _said() -> str | None:
    """The next line; None at the end."""
    if sys.stdin.isatty():
        try:
            return input("> ").strip()
        except EOFError:
            return None
    text = sys.stdin.readline()
    return text.strip() if text else None
