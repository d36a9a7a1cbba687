"""How much `make demo` downloads where there is nothing: the wheels of the core set, by pip's own choice.

Counts the build of torch that pip finds where this runs; the result says which.
"""

import datetime
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def measure() -> dict:
    """Download the core set into a temporary folder and add it up; MB are 10^6 bytes."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "-q", "-c", "constraints.txt", "-d", folder, "."]
        subprocess.run(command, cwd=ROOT, check=True)
        sizes = {path.name: path.stat().st_size for path in Path(folder).iterdir()}
    torch = next(name for name in sizes if name.startswith("torch-"))
    return {
        "benchmark": "install_size",
        "date": datetime.date.today().isoformat(),
        "machine": platform.platform(),
        "python": platform.python_version(),
        "torch": torch,
        "files": len(sizes),
        "total_mb": round(sum(sizes.values()) / 1e6, 1),
        "torch_mb": round(sizes[torch] / 1e6, 1),
    }


def main() -> None:
    text = json.dumps(measure(), indent=1)
    print(text)
    place = ROOT / "benchmarks" / "results" / f"install_size_{datetime.date.today():%Y%m%d}.json"
    place.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
