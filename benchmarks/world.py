"""What a scene of Emoji World costs once the drawings are cached: sampling, drawing, captions.

    python benchmarks/world.py                  writes benchmarks/results/world_YYYYMMDD.json
    python benchmarks/world.py --measure        writes src/armchair/data/world/shapes.json anew

One thread of one core. The first run fetches the drawings and rasterises them (a minute or two).
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import PIL
from rich.console import Console

from armchair.data.world import shapes
from armchair.data.world.art import BASE, emoji_art
from armchair.data.world.concepts import load_concepts
from armchair.data.world.scene import STYLES, WorldConfig
from armchair.data.world.source import World, captions

SIZES = (64, 128, 256)


def milliseconds(work: Callable[[int], object], start: int, n: int) -> dict[str, float]:
    """Mean, median and 99th percentile of work(index) over n indices; cpu: the mean in processor time."""
    spent = []
    cpu_began = time.process_time()
    for index in range(start, start + n):
        began = time.perf_counter()
        work(index)
        spent.append(1e3 * (time.perf_counter() - began))
    cpu_mean = 1e3 * (time.process_time() - cpu_began) / n
    spent.sort()
    cuts = {
        "cpu": cpu_mean,
        "mean": statistics.fmean(spent),
        "median": spent[n // 2],
        "p99": spent[int(n * 0.99)],
    }
    return {name: round(value, 4) for name, value in cuts.items()}


def cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def measure() -> None:
    """Write shapes.json for the concepts as they are."""
    art = emoji_art()
    path = Path(shapes.__file__).with_name("shapes.json")
    shapes.write_table(path, load_concepts(), STYLES, lambda name, style: art.picture(name, style, BASE))


def benchmark(n: int) -> dict:
    world = World(WorldConfig())
    began = time.perf_counter()
    world.art.picture("apple", "glossy", BASE)
    opened = time.perf_counter() - began
    for index in range(300):  # opens all sheets
        world.picture(world.scene(index))
    scenes = [world.scene(index) for index in range(n)]
    return {
        "benchmark": "world",
        "date": date.today().isoformat(),
        "machine": {"cpu": cpu(), "cores": os.cpu_count(), "system": platform.platform()},
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "pillow": PIL.__version__,
        },
        "threads": 1,
        "scenes": n,
        "concepts": len(load_concepts()),
        "open_seconds": round(opened, 3),
        "ms_per_scene": {
            "sample": milliseconds(world.scene, n, n),
            **{f"draw_{s}px": milliseconds(lambda i, s=s: world.picture(scenes[i], s), 0, n) for s in SIZES},
            "six_captions": milliseconds(lambda i: captions(scenes[i]), 0, n),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--measure", action="store_true", help="write shapes.json instead")
    parser.add_argument("--n", type=int, default=2000, help="scenes")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    if args.measure:
        return measure()
    result = benchmark(args.n)
    path = args.out / f"world_{date.today():%Y%m%d}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")
    Console().print_json(json.dumps(result))


if __name__ == "__main__":
    main()
