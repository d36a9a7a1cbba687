"""The list of commands, and the one printer of every mistake."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any, cast

import typer
from typer.core import TyperGroup

from armchair.core.errors import ArmchairError, nearest
from armchair.core.version import VERSION

# name -> (module in armchair.cli whose `command` it is, one line for `armchair --help`)
DRAWING = {
    "generate": ("generate", "Draw a prompt."),
    "complete": ("complete", "Go on from the top rows of a picture (DALL·E 1)."),
    "vary": ("vary", "Draw pictures like one (DALL·E 2)."),
    "blend": ("blend", "Draw the way from one picture to another (DALL·E 2)."),
    "textdiff": ("textdiff", "Change a picture as one text differs from another (DALL·E 2)."),
    "inpaint": ("inpaint", "Draw a part of a picture anew (DALL·E 2 and 3)."),
    "outpaint": ("outpaint", "Go on beyond a picture's edges (DALL·E 2 and 3)."),
    "probe": ("probe", "Draw what the first components of a picture's embedding hold (DALL·E 2)."),
    "chat": ("chat", "Draw in a conversation: a picture, then what is to be different about it."),
    "redo": ("redo", "Draw a picture again from the recipe inside it."),
    "serve": ("serve", "OpenAI's Images API over the bundles here."),
}
TRAINING = {
    "train": ("train", "Train a network from a recipe, or go on with a run."),
    "data": ("data", "Check a data set; caption its pictures; write Emoji World pictures."),
    "inspect": ("inspect", "What a model or recipe consists of, parameter by parameter."),
}
LOOKING = {
    "caption": ("caption", "Say what a picture shows."),
    "expand": ("expand", "Write a short prompt out."),
    "score": ("score", "Say how well pictures fit texts, best first."),
    "evaluate": ("evaluate", "Measure a bundle: scores with intervals, ceiling and floor."),
    "models": ("models", "List the bundles that are here."),
    "verify": ("verify", "Check a bundle's hashes and draw its golden picture again."),
    "doctor": ("doctor", "What this machine and installation can do."),
    "bench": ("bench", "Run a benchmark of a source checkout, or list them."),
}
WEIGHTS = {
    "import": ("import_", "Make a bundle of published weights."),
    "export": ("export", "Write a bundle as another library's folder."),
}
PANELS = {"Draw": DRAWING, "Train": TRAINING, "Weights": WEIGHTS, "Look": LOOKING}
COMMANDS = {name: entry for panel in PANELS.values() for name, entry in panel.items()}
DATA = {
    "check": ("data_check", "Counts, problems and examples of a data set."),
    "recaption": ("data_recaption", "Caption every picture, beside the words that are there."),
    "world": ("data_world", "Write Emoji World pictures with captions and scene graphs."),
}


class LazyGroup(TyperGroup):
    """A group that imports a command when it is called: listing them costs nothing."""

    panels: dict[str, dict[str, tuple[str, str]]] = PANELS

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for panel in self.panels.values() for name in panel]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        for panel in self.panels.values():
            if cmd_name in panel:
                return load(cmd_name, panel[cmd_name][0])
        return None

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args if args else ["--help"])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        names = self.list_commands(ctx)
        if args and not args[0].startswith("-") and args[0] not in names:
            ctx.fail(f"no command {args[0]!r}.{nearest(args[0], names)} There are {', '.join(names)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        for title, panel in self.panels.items():
            with formatter.section(title):
                formatter.write_dl([(name, line) for name, (_, line) in panel.items()])


class DataGroup(LazyGroup):
    panels = {"Commands": DATA}


def load(name: str, module: str) -> Any:
    """Import a command's module and turn its function `command` into a Typer command."""
    if module == "data":
        return group(DataGroup, name)
    function = importlib.import_module(f"armchair.cli.{module}").command
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name, context_settings={"help_option_names": ["--help", "-h"]})(function)
    return typer.main.get_command(app)


def group(cls: type[LazyGroup], name: str) -> Any:
    app = typer.Typer(
        name=name,
        cls=cls,
        add_completion=False,
        rich_markup_mode=None,
        no_args_is_help=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.callback()(_data if cls is DataGroup else _root)
    return typer.main.get_command(app)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"armchair {VERSION}")
        raise typer.Exit()


def _root(
    version: bool = typer.Option(
        False, "--version", help="Say the version.", callback=_show_version, is_eager=True
    ),
) -> None:
    """DALL·E 1, 2 and 3, open: train, run and serve them on your own machine.

    \b
    Example
      armchair generate "a red apple" --n 4 --seed 1
    """


def _data() -> None:
    """Check a data set before training on it; caption its pictures; write Emoji World pictures."""


STOPPED = 130  # the exit status of what Ctrl-C ended
USAGE_ERROR = typer.BadParameter.__mro__[1]  # of the click that this Typer uses, its own copy or the real one
CLICK_ERROR = USAGE_ERROR.__mro__[1]


def run(argv: Sequence[str] | None = None) -> int:
    """Run a command line; every mistake is one line on stderr."""
    args = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):  # a terminal that cannot show Hangul must not end the program
        if hasattr(stream, "reconfigure"):
            cast(Any, stream).reconfigure(errors="backslashreplace")
    notes = _Notes()
    logging.getLogger("armchair").addHandler(notes)
    try:
        return _status(group(LazyGroup, "armchair").main(args, "armchair", standalone_mode=False))
    except BaseException as error:
        return _report(error)
    finally:
        logging.getLogger("armchair").removeHandler(notes)


def _report(error: BaseException) -> int:
    """Print what went wrong in one line, and return the exit status."""
    if isinstance(error, ArmchairError):
        return fail(str(error))
    if isinstance(error, CLICK_ERROR):
        return fail(_usage(cast(Any, error)))
    if isinstance(error, typer.Exit):
        return _status(error.exit_code)
    if isinstance(error, KeyboardInterrupt | typer.Abort | EOFError):
        return _status(STOPPED)
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, BrokenPipeError):  # armchair ... | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if os.environ.get("ARMCHAIR_DEBUG", "") not in {"", "0"}:
        raise error
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return fail("out of memory; draw fewer at once, a smaller size, or train with a smaller batch", 1)
    return fail(f"{type(error).__name__}: {error} (unexpected; ARMCHAIR_DEBUG=1 shows where)", 1)


def _usage(error: Any) -> str:
    """A mistake that Typer found, with the value and where the help is."""
    context = getattr(error, "ctx", None)
    hint = f"; see {context.command_path} --help" if context is not None else ""
    faults = getattr(error.__cause__, "errors", None)  # of the check of types, which does not tell the value
    if faults is None:
        return error.format_message().rstrip(". ") + hint
    fault = faults()[0]
    wanted = {"int_parsing": "a whole number is needed", "float_parsing": "a number is needed"}
    said = wanted.get(fault["type"], str(fault["msg"]))
    return f"{error.param.opts[0]} is {fault['input']!r}; {said}{hint}"


def fail(message: str, status: int = 2) -> int:
    """One line on stderr."""
    typer.echo(f"error: {' '.join(message.split())}", err=True)
    return status


def _status(result: object) -> int:
    """A command's result as the exit status; Typer itself turns Ctrl-C into 130."""
    if result == STOPPED:
        return fail("stopped", STOPPED)
    return result if isinstance(result, int) else 0


class _Notes(logging.Handler):
    """Notes of the library, such as words that a model has never seen, as lines on stderr above any progress
    bar.
    """

    def emit(self, record: logging.LogRecord) -> None:
        from armchair.cli.out import note

        note(record.getMessage())
