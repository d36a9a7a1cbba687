"""What the server can reach reads no pickle: judged from the source, imports inside functions included."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

from armchair.weights.kinds import PIPELINES

SOURCE = Path(__file__).parents[2] / "src"
READER = "armchair.weights.importing.sandbox"
READS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def file_of(module: str) -> Path | None:
    path = SOURCE.joinpath(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def names(path: Path) -> set[str]:
    """Every dotted name that a file imports, or that a string of it gives to import_module."""
    package = module_of(path) if path.name == "__init__.py" else module_of(path).rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package.rsplit(".", node.level - 1)[0] if node.level else ""
            start = ".".join(part for part in (base, node.module) if part)
            found |= {start, *(f"{start}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value.partition(":")[0])
    return {name for name in found if re.fullmatch(r"armchair[.\w]*", name)}


@functools.cache
def served() -> dict[str, Path]:
    """Modules of ours that importing and using the server can bring in, with their files."""
    seen: dict[str, Path] = {}
    work = [module_of(path) for path in (SOURCE / "armchair" / "serve").glob("*.py")]
    work += ["armchair.artist.artist", *PIPELINES.values()]
    while work:
        module = work.pop().partition(":")[0]
        path = file_of(module)
        if module and module not in seen and path is not None:
            seen[module] = path
            work += [module.rpartition(".")[0], *names(path)]
    return seen


def faults(tree: ast.Module) -> list[str]:
    """Names that read pickles: imports, and loaders of torch that unpickle."""
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in READS]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            taken = {f"{node.module}.{alias.name}" for alias in node.names}
            found += [node.module] if node.module.split(".")[0] in READS else []
            found += sorted(taken & {"torch.load", "torch.serialization", "torch.jit"})
        elif isinstance(node, ast.Attribute):
            name = ast.unparse(node)
            found += [name] if name in {"torch.load", "torch.jit.load", "torch.hub.load"} else []
    return found


def test_the_server_reaches_no_pickle():
    """A model file must never be able to run code in a process that answers strangers; and the walk must see
    what it should.
    """
    assert {"armchair.weights.kinds", "armchair.core.bundle", "armchair.dalle1.pipeline"} <= served().keys()
    assert {name: faults(parsed(path)) for name, path in served().items() if faults(parsed(path))} == {}


def test_the_server_reaches_no_importer():
    """Foreign files are read by `armchair import` alone."""
    assert [name for name in served() if name.startswith("armchair.weights.importing")] == []


def test_one_module_alone_reads_pickles():
    """Everywhere in the package."""
    found = {module_of(path) for path in (SOURCE / "armchair").rglob("*.py") if faults(parsed(path))}
    assert found == {READER}


@pytest.mark.parametrize(
    "source",
    ["import pickle", "from pickle import loads", "def f():\n    import torch\n    torch.load('x')",
     "from torch import load", "import torch\nload = torch.jit.load"],
)  # fmt: skip
def test_the_check_sees(source: str):
    """A check that finds nothing anywhere would pass too."""
    assert faults(ast.parse(source))
