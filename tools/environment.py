"""Make .venv and install Armchair into it, with the versions of constraints.txt.

    python3 tools/environment.py [EXTRA ...]        no extra: what drawing needs

Uses the standard library alone. A stamp in .venv records what was installed, so that a second run does
nothing. A torch in range that this Python (or .venv) already has is kept, whatever its build: that is how a
CPU build is chosen.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILES = ("pyproject.toml", "constraints.txt")
VENV = ROOT / ".venv"
STAMP = VENV / "armchair.json"
INSTALLED = VENV / "bin" / "python"
CUDA_NOTE = (
    "There is no torch here yet, so pip fetches one. On Linux its ordinary build brings several GB of CUDA\n"
    "libraries; for the much smaller CPU build stop now (Ctrl-C) and see 'Install' in README.md."
)


def main(extras: "list[str]") -> int:
    wanted = {
        "files": hashlib.sha256(b"".join((ROOT / name).read_bytes() for name in FILES)).hexdigest(),
        "root": str(ROOT),  # a moved clone needs its editable install again
    }
    done = read_stamp()
    extras = sorted({*extras, *(done.get("extras", []) if done.get("root") == str(ROOT) else [])})
    if done == {**wanted, "extras": extras} and INSTALLED.exists():
        return 0

    if not INSTALLED.exists():
        base = getattr(sys, "_base_executable", sys.executable)  # the Python below an active environment
        reuse = torch_version(base) is not None
        print(f"Making {VENV}" + (" around the torch that is already installed" if reuse else ""), flush=True)
        if run(base, "-m", "venv", *(["--system-site-packages"] if reuse else []), str(VENV)):
            return fail("python -m venv failed. On Debian and Ubuntu it is in the package python3-venv.")
    version = torch_version(str(INSTALLED))
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    if version is not None:
        pins = re.sub(r"^torch==.*$", f"torch=={version}", pins, flags=re.MULTILINE)
    elif sys.platform == "linux":
        print(CUDA_NOTE, flush=True)
    constraints = VENV / "constraints.txt"
    constraints.write_text(pins, encoding="utf-8")

    package = str(ROOT) + (f"[{','.join(extras)}]" if extras else "")
    pip = [str(INSTALLED), "-m", "pip", "--disable-pip-version-check", "install"]
    if run(*pip, "-c", str(constraints), "-e", package):
        return fail("pip could not install Armchair: its own message is above.")
    STAMP.write_text(json.dumps({**wanted, "extras": extras}, indent=1), encoding="utf-8")
    return 0


def read_stamp() -> dict:
    try:
        return json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def torch_version(python: str) -> "str | None":
    """The version, less its build, of a working torch that pyproject.toml admits; None without one."""
    code = "import torch; print(torch.__version__.split('+')[0])"
    found = subprocess.run([python, "-c", code], capture_output=True, text=True, cwd=os.sep)
    version = found.stdout.strip()
    match = re.fullmatch(r"(\d+)\.(\d+)\.\d+", version)
    if found.returncode or match is None:
        return None
    return version if (2, 10) <= (int(match[1]), int(match[2])) < (3, 0) else None


def run(*command: str) -> int:
    return subprocess.run(command).returncode


def fail(message: str) -> int:
    print(message, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
