"""What a result says about its machine, how its time is taken, and the projects beside ours."""

from __future__ import annotations

import datetime
import importlib
import importlib.util
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from _peers import dalle_pytorch
from rich.console import Console

RESULTS = Path(__file__).parent / "results"
console = Console()


def clock() -> float:
    """Seconds. With one thread the processor's, which other programs slow less: an idle core's wall time."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def seconds(work: Callable[[], object]) -> float:
    began = clock()
    work()
    return clock() - began


def read_bandwidth() -> float:
    """Bytes a second that a sum over 256 MB reads: the best of six."""
    x = torch.ones(64_000_000)
    x.sum()
    return 256e6 / min(seconds(x.sum) for _ in range(6))


def facts(name: str) -> dict[str, Any]:
    """What, where and when."""
    one = torch.get_num_threads() == 1
    return {
        "benchmark": name,
        "date": datetime.date.today().isoformat(),
        "machine": f"{_processor()}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
        "clock": "processor seconds of one thread" if one else "wall seconds",
        "load": round(os.getloadavg()[0], 1),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def show(row: dict[str, Any]) -> None:
    console.print(json.dumps(row), markup=False, highlight=False, soft_wrap=True)


def write(result: dict[str, Any]) -> Path:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{result['benchmark']}_{datetime.date.today():%Y%m%d}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    console.print(f"wrote {path}")
    return path


def peers(folder: Path | None) -> tuple[Any | None, Any | None]:
    """dalle-pytorch and transformers; None, and a line that says how to get it, for one that is not here."""
    dalle = dalle_pytorch(folder)
    found = importlib.util.find_spec("transformers") is not None
    transformers = importlib.import_module("transformers") if found else None
    wanted = {
        "dalle-pytorch": "--no-deps dalle-pytorch==1.6.6 einops axial-positional-embedding "
        "rotary-embedding-torch",
        "transformers": "transformers",
    }
    for (name, packages), module in zip(wanted.items(), (dalle, transformers), strict=True):
        if module is None:
            how = f"pip install --target PEERS {packages}, then --peers PEERS"
            console.print(f"{name} is not here and is left out; {how}", style="yellow", markup=False)
    return dalle, transformers


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
