"""The command `armchair`: one file a command, imported when it is called."""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (sys.argv's by default) and return the exit status: 0, 1 for a failure of ours, 2
    for a mistake in what was asked, 130 when stopped by the keyboard.
    """
    from armchair.cli.app import run

    return run(argv)
