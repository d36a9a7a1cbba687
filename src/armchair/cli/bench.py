"""armchair bench: the scripts of benchmarks/ in a source checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Which one. [default: list them]", show_default=False)
    ] = None,
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="ARGUMENTS", help="Passed on to the script; after --.")
    ] = None,
) -> int:
    """Run a script of benchmarks/ (its result goes to benchmarks/results/), or list them.

    \b
    Example
      armchair bench dalle1_sampling
    """
    import subprocess
    import sys

    from armchair.cli.out import line, table
    from armchair.cli.recipe_names import about
    from armchair.core.errors import BadInput, nearest

    folder = benchmarks()
    scripts = {path.stem: path for path in sorted(folder.glob("*.py")) if not path.stem.startswith("_")}
    if name is None:
        if not scripts:
            line(f"no benchmarks in {folder}")
        table([(stem, about(path)) for stem, path in scripts.items()])
        return 0
    if name not in scripts:
        raise BadInput(
            f"no benchmark {name!r}.{nearest(name, scripts)} There are {', '.join(scripts) or 'none'}"
        )
    return subprocess.run([sys.executable, str(scripts[name]), *(arguments or [])], check=False).returncode


def benchmarks() -> Path:
    """The benchmarks/ folder of the checkout that this package runs from, or of the working directory."""
    from armchair.core.errors import BadInput

    for root in (Path(__file__).resolve().parents[3], Path.cwd()):
        if (root / "benchmarks").is_dir() and (root / "src" / "armchair").is_dir():
            return root / "benchmarks"
    raise BadInput("benchmarks come with the source only: run this in a clone of the repository")
