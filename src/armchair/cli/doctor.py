"""armchair doctor: what this machine and this installation can do."""

from __future__ import annotations

import os
import platform
import shutil
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from armchair.cli import options as o

EXTRAS = {  # extra -> the packages that it brings, by their names on PyPI
    "train": ("accelerate", "tensorboard", "webdataset", "fsspec", "emoji", "resvg-py", "py3langid"),
    "serve": ("fastapi", "uvicorn", "prometheus-client"),
    "hub": ("huggingface_hub",),
    "llm": ("openai", "transformers"),
}
SIDE = 512  # of the square matrices whose product measures a precision


def command(as_json: o.Json = False) -> int:
    """Python, torch, cores, memory, the speed of each precision, extras, cache, npm, and whether every
    bundle loads. Exit 1 if one does not.

    \b
    Example
      armchair doctor
    """
    from armchair.cli.out import show_json

    report = look()
    if as_json:
        show_json(report)
    else:
        show(report)
    return 1 if any(entry["problem"] for entry in report["bundles"]) else 0


def look() -> dict[str, Any]:
    """Everything, as plain JSON."""
    import torch

    from armchair.core.device import available_devices
    from armchair.core.version import VERSION
    from armchair.data.world.packages import cache_folder

    npm = shutil.which("npm")
    cache = cache_folder()
    return {
        "armchair": VERSION,
        "folder": str(Path(__file__).resolve().parents[1]),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "torch": torch.__version__,
        "devices": available_devices(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "memory_bytes": memory(),
        "gflops": {name: speed(name) for name in ("float32", "bfloat16", "float16")},
        "extras": {extra: missing(packages) for extra, packages in EXTRAS.items()},
        "cache": str(cache),
        "cache_bytes": sum(file.stat().st_size for file in cache.rglob("*") if file.is_file())
        if cache.is_dir()
        else 0,
        "npm": npm,
        "bundles": bundles(),
    }


def show(report: dict[str, Any]) -> None:
    """For a person."""
    from armchair.cli.out import line, table

    memory_bytes = report["memory_bytes"]
    speeds = ", ".join(
        f"{name} {value:,.0f}" for name, value in report["gflops"].items() if value is not None
    )
    extras = [
        f"{extra}: {'yes' if not lacking else 'lacks ' + ', '.join(lacking)}"
        for extra, lacking in report["extras"].items()
    ]
    table(
        [
            ("armchair", f"{report['armchair']} in {report['folder']}"),
            ("python", f"{report['python']} on {report['system']}"),
            ("torch", f"{report['torch']}, devices: {', '.join(report['devices'])}"),
            ("cores", f"{report['cores']}, {report['threads']} threads used"),
            ("memory", "unknown" if memory_bytes is None else f"{memory_bytes / 2**30:.1f} GiB"),
            ("GFLOP/s", f"{speeds} (products of {SIDE}x{SIDE} on {report['devices'][0]})"),
            ("extras", "; ".join(extras)),
            ("cache", f"{report['cache']}, {report['cache_bytes'] / 2**20:.0f} MiB"),
            ("npm", report["npm"] or "missing: Emoji World needs it once, to fetch its drawings"),
        ]
    )
    for entry in report["bundles"]:
        said = entry["problem"] or f"loads in {entry['seconds']:.2f} s"
        line(f"bundle    {entry['name']} ({entry['where']}): {said}")
    if not report["bundles"]:
        line("bundles   none here")


def cores() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory() -> int | None:
    """Bytes of the machine; None where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def speed(name: str, seconds: float = 0.15) -> float | None:
    """GFLOP/s of a matrix product in a precision on the best device; None where it cannot."""
    import torch

    from armchair.core.device import DTYPES, pick_device

    device = pick_device("auto")

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    try:
        a = torch.ones(SIDE, SIDE, dtype=DTYPES[name], device=device)
        torch.mm(a, a)
        wait()
        start, count = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            torch.mm(a, a)
            wait()
            count += 1
    except RuntimeError:
        return None
    return count * 2 * SIDE**3 / (time.perf_counter() - start) / 1e9


def missing(packages: tuple[str, ...]) -> list[str]:
    """Those that are not installed."""
    lacking: list[str] = []
    for package in packages:
        try:
            metadata.distribution(package)
        except metadata.PackageNotFoundError:
            lacking.append(package)
    return lacking


def bundles() -> list[dict[str, Any]]:
    """Every bundle here: hashes checked, and loaded if it draws by itself."""
    from armchair.artist.artist import load
    from armchair.artist.find import available
    from armchair.core.bundle import Bundle, verify
    from armchair.core.errors import ArmchairError
    from armchair.weights.kinds import PIPELINES

    rows: list[dict[str, Any]] = []
    for found in available():
        start = time.perf_counter()
        problems = verify(found.folder)
        if not problems and Bundle.open(found.folder).kind in PIPELINES:
            try:
                load(found.folder)
            except ArmchairError as error:
                problems.append(str(error))
        rows.append(
            {
                "name": found.name,
                "where": found.where,
                "seconds": round(time.perf_counter() - start, 3),
                "problem": problems[0] if problems else None,
            }
        )
    return rows
