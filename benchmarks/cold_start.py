"""How long a person waits before anything happens: help, importing, loading a bundle, the first picture.

Run      python benchmarks/cold_start.py [--model NAME|DIR] [--repeat 3]
Needs    nothing: without a shipped or named drawing bundle it makes one of the shipped size, random weights
Writes   benchmarks/results/cold_start_YYYYMMDD.json

Every number is a process of its own with the files already in memory. Seconds are the least of all runs;
`cpu` is processor time, which a busy machine stretches less than the wall time.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
LIMITS = {"help": 0.5, "load_beyond_torch": 0.5}  # seconds that we aim at

LOAD = """
import torch
import armchair
armchair.load({model!r})
"""
PICTURE = """
import armchair
armchair.load({model!r}).generate("a red apple", seed=1)[0].image.load()
"""
MADE = """
import sys
from pathlib import Path
import torch
from armchair.cli.recipe_names import load_recipe
from armchair.core.bundle import save_bundle, Component
from armchair.core.config import to_json
from armchair.core.bundle import SHIPPED, Bundle
from armchair.dalle1.dvae import DVAE
from armchair.dalle1.transformer import Dalle1Transformer

torch.manual_seed(0)
dvae = DVAE(load_recipe("dalle1_dvae_emoji").task.net)
task = load_recipe("dalle1_transformer_emoji").task
net = Dalle1Transformer(task.net)
words = Bundle.open(SHIPPED / "text").bytes("text")
save_bundle(
    Path(sys.argv[1]),
    kind="dalle1",
    name="made",
    components={
        "dvae": Component(config=to_json(dvae.config), tensors=dvae.state_dict(), storage="float16"),
        "text": Component(config={}, file=words, storage="file"),
        "transformer": Component(config=to_json(net.config), tensors=net.state_dict(), storage=task.storage),
    },
    languages=[],
    licence="Apache-2.0",
    trained={},
    scores={},
    golden=None,
)
"""


def spent(command: list[str], repeat: int) -> dict[str, float]:
    """The least wall and processor seconds of a command."""
    walls, cpus = [], []
    for _ in range(repeat):
        before, began = os.times(), time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        walls.append(time.perf_counter() - began)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)[:200]} failed:\n{done.stderr}")
        after = os.times()
        user, system = (
            (getattr(after, f"children_{k}") - getattr(before, f"children_{k}")) for k in ("user", "system")
        )
        cpus.append(user + system)
    return {"wall": round(min(walls), 3), "cpu": round(min(cpus), 3)}


def measure(model: str, repeat: int) -> dict[str, dict[str, float]]:
    python = [sys.executable, "-c"]
    found = {
        "python": spent([*python, "pass"], repeat),
        "help": spent([sys.executable, "-m", "armchair", "--help"], repeat),
        "import_armchair": spent([*python, "import armchair"], repeat),
        "import_torch": spent([*python, "import torch"], repeat),
        "import_and_load": spent([*python, LOAD.format(model=model)], repeat),
        "first_picture": spent([*python, PICTURE.format(model=model)], repeat),
    }
    beyond = {
        key: round(found["import_and_load"][key] - found["import_torch"][key], 3) for key in ("wall", "cpu")
    }
    return {**found, "load_beyond_torch": beyond}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="a drawing bundle; by default dalle1, or one of its size")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    from rich.console import Console

    from armchair.core.bundle import MANIFEST, SHIPPED

    with tempfile.TemporaryDirectory() as folder:
        model, made = args.model, False
        if model is None:
            model = "dalle1"
            if not (SHIPPED / model / MANIFEST).is_file():
                model, made = str(Path(folder) / "made"), True
                subprocess.run([sys.executable, "-c", MADE, model], check=True)
        seconds = measure(model, args.repeat)
    result = {
        "benchmark": "cold_start",
        "date": date.today().isoformat(),
        "machine": {
            "cores": os.cpu_count(),
            "system": platform.platform(),
            "load": round(os.getloadavg()[0], 1),
        },
        "python": platform.python_version(),
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "model": "random weights of dalle1's size" if made else model,
        "repeat": args.repeat,
        "seconds": seconds,
        "limits": LIMITS,
    }
    path = args.out / f"cold_start_{date.today():%Y%m%d}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")
    Console().print_json(json.dumps(result))


if __name__ == "__main__":
    main()
