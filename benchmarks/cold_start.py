"""How long a person waits before anything happens: help, importing, loading a bundle, one picture, four.

Run      python benchmarks/cold_start.py [--model dalle3] [--size 256x256] [--repeat 3]
Needs    nothing
Writes   benchmarks/results/cold_start_YYYYMMDD.json

Every number is a process of its own with the files already in memory. Seconds are the least of all runs;
`cpu` is processor time, which a busy machine stretches less than the wall time.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time

from _machine import console, facts, write

LIMITS = {"help": 0.5, "load_beyond_torch": 0.5, "one_picture": 5, "four_pictures": 10}  # seconds, our aims

LOAD = """
import torch
import armchair
armchair.load({model!r})
"""
PICTURES = """
import armchair
for picture in armchair.load({model!r}).generate("a red apple", n={n}, seed=1, size={size!r}):
    picture.image.load()
"""


def spent(command: list[str], repeat: int) -> dict[str, float]:
    """The least wall and processor seconds of a command, its modules compiled as pip leaves them."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    walls, cpus = [], []
    for _ in range(repeat):
        before, began = os.times(), time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
        walls.append(time.perf_counter() - began)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)[:200]} failed:\n{done.stderr}")
        after = os.times()
        user, system = (
            (getattr(after, f"children_{k}") - getattr(before, f"children_{k}")) for k in ("user", "system")
        )
        cpus.append(user + system)
    return {"wall": round(min(walls), 3), "cpu": round(min(cpus), 3)}


def measure(model: str, size: str, repeat: int) -> dict[str, dict[str, float]]:
    python = [sys.executable, "-c"]
    found = {
        "python": spent([*python, "pass"], repeat),
        "help": spent([sys.executable, "-m", "armchair", "--help"], repeat),
        "import_armchair": spent([*python, "import armchair"], repeat),
        "import_torch": spent([*python, "import torch"], repeat),
        "import_and_load": spent([*python, LOAD.format(model=model)], repeat),
    }
    for name, n in (("one_picture", 1), ("four_pictures", 4)):
        found[name] = spent([*python, PICTURES.format(model=model, n=n, size=size)], repeat)
    beyond = {
        key: round(found["import_and_load"][key] - found["import_torch"][key], 3) for key in ("wall", "cpu")
    }
    return {**found, "load_beyond_torch": beyond}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="dalle3", help="a drawing bundle")
    parser.add_argument("--size", default="256x256", help="of the pictures")
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    result = {
        **facts("cold_start"),
        "clock": "least seconds of a process",
        "model": args.model,
        "size": args.size,
        "repeat": args.repeat,
        "seconds": measure(args.model, args.size, args.repeat),
        "limits": LIMITS,
    }
    console.print(result)
    write(result)


if __name__ == "__main__":
    main()
