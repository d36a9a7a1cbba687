"""Importing is free of effects, and drawing needs the core dependencies alone."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
MODULES = sorted(
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
    for path in (SOURCE / "armchair").rglob("*.py")
)
NEED_EXTRAS = {"train", "recipes", "evaluation", "serve"}  # layers that are not for drawing

IMPORT_ALL = """
import importlib, json, random, socket, sys, threading
import numpy, torch

def state():
    return {
        "threads of torch": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "threads": threading.active_count(),
        "grad": torch.is_grad_enabled(),
        "dtype": str(torch.get_default_dtype()),
        "device": str(torch.get_default_device()),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "random": [random.getstate()[1][:3], numpy.random.get_state()[1][:3].tolist()],
        "random of torch": torch.get_rng_state().sum().item(),
        "excepthook": str(sys.excepthook),
    }

def refuse(*args, **kwargs):
    raise AssertionError(f"network at import: {args}")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
before = state()
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
after = state()
print(json.dumps({key: [before[key], after[key]] for key in before if before[key] != after[key]}))
"""

IMPORT_CORE = """
import importlib, json, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

absent = set(json.loads(sys.argv[2]))
sys.meta_path.insert(0, Absent())
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
"""


def python(code: str, *arguments: object, folder: Path) -> str:
    """What a fresh Python prints that runs `code` in an empty folder, which is its home too."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    environment |= {"HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-c", code, *(json.dumps(argument) for argument in arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def extras() -> set[str]:
    """The modules that come with an extra and not with the core set."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {line for extra in project["optional-dependencies"].values() for line in extra}
    return {name.split(">")[0].strip().replace("-", "_") for name in names}


def test_importing_does_nothing(tmp_path: Path) -> None:
    """A library that makes folders or sets thread counts when imported does so to every program."""
    changes = json.loads(python(IMPORT_ALL, MODULES, folder=tmp_path))
    assert changes == {}
    assert [str(path) for path in tmp_path.rglob("*")] == []


def test_drawing_needs_the_core_set_alone(tmp_path: Path) -> None:
    """The first command of the README installs the core set; importing an extra breaks it there only."""
    drawing = [name for name in MODULES if not NEED_EXTRAS & set(name.split("."))]
    python(IMPORT_CORE, drawing, sorted(extras()), folder=tmp_path)


@pytest.mark.parametrize("module", ["armchair", "armchair.cli"])
def test_heavy_libraries_wait(module: str, tmp_path: Path) -> None:
    """--help answers at once: torch alone takes a second or more to load."""
    code = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    loaded = set(json.loads(python(code, folder=tmp_path)))
    assert {"torch", "numpy", "PIL", "tokenizers"} & loaded == set()


@pytest.mark.parametrize("name", ["dalle1", "dalle2", "dalle3"])
def test_drawing_loads_no_more_than_it_needs(name: str, tmp_path: Path) -> None:
    """Arithmetic on "meta" tensors, as of scaled random weights, loads torch's compiler: two seconds of a
    cold start. Tables of published weights and the mending of broken Unicode are a tenth of a second each.
    """
    draw = f"armchair.load({name!r}).generate('a red apple', size='64x64')"
    code = f"import json, sys, armchair; {draw}; print(json.dumps(sorted(sys.modules)))"
    unneeded = {"torch._dynamo", "sympy", "armchair.weights.lora", "armchair.weights.tables", "ftfy"}
    assert unneeded & set(json.loads(python(code, folder=tmp_path))) == set()
