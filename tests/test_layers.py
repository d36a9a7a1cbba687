"""The layers: who may import whom, and what no file may hold.

Read from the syntax trees, imports inside functions and for type checking included: an import in the wrong
direction is a dependency however it is written.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "armchair"

FOUNDATION = {"core"}
BLOCKS = {"core", "nn", "diffusion", "text", "data"}
SHARED = BLOCKS | {"clip", "upsample", "judge", "writer"}
SYSTEMS = SHARED | {"dalle1", "dalle2", "dalle3"}
MODELS = SYSTEMS | {"train", "weights", "artist"}
EVERYTHING = MODELS | {"evaluation", "recipes", "cli", "serve", "armchair"}

MAY_IMPORT = {  # besides itself; "armchair" is the package's own face: __init__.py and __main__.py
    "core": set(),
    "nn": FOUNDATION,
    "diffusion": FOUNDATION,
    "text": FOUNDATION,
    "data": FOUNDATION | {"text"},
    "clip": BLOCKS,
    "upsample": BLOCKS,
    "judge": BLOCKS,
    "writer": BLOCKS,
    "dalle1": SHARED,
    "dalle2": SHARED,
    "dalle3": SHARED,
    "train": FOUNDATION | {"data"},
    "weights": SYSTEMS,
    "artist": SYSTEMS | {"weights"},
    "evaluation": MODELS,
    "recipes": MODELS,
    "cli": EVERYTHING,
    "serve": EVERYTHING - {"train"},
    "armchair": EVERYTHING,
}
LAZY = {"cli", "serve", "armchair"}  # at module level these import core and each other alone
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
LONGEST = 600  # lines; aim at 400

FILES = sorted(PACKAGE.rglob("*.py"))


def folder_of(path: Path) -> str:
    """The layer that a file of the package belongs to."""
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else "armchair"


def imported(tree: ast.Module, path: Path) -> Iterator[tuple[int, str, bool]]:
    """(line, layer, whether at module level) of all that a file takes from the package, however named."""
    later = {  # runs when it is called, or never
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or guards_types(node)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        for name in names(node, path):
            face, *rest = re.split(r"[.:]", name)
            if face != "armchair" or rest == ["__version__"]:
                continue
            known = bool(rest) and (rest[0] in MAY_IMPORT or (PACKAGE / rest[0]).is_dir())
            at_top = id(node) not in later and not isinstance(node, ast.Constant)
            yield node.lineno, rest[0] if known else face, at_top  # unknown: `from armchair import load`


def names(node: ast.AST, path: Path) -> list[str]:
    """The dotted modules that a statement imports, or that a string names for import_module."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        package = ("armchair", *path.relative_to(PACKAGE).parent.parts)
        base = package[: len(package) + 1 - node.level] if node.level else ()
        module = ".".join([*base, *([] if node.module is None else [node.module])])
        return [f"{module}.{alias.name}" if module == "armchair" else module for alias in node.names]
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        found = re.fullmatch(r"armchair\.(\w+)[\w.]*(:\w+)?", node.value)
        return [node.value] if found is not None and found[1] in MAY_IMPORT else []
    return []


def guards_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def faults(source: str, path: Path) -> list[str]:
    """Every rule that a file of the package breaks, one line each."""
    layer, tree, found = folder_of(path), ast.parse(source), []
    if layer not in MAY_IMPORT:
        return [f"the folder {layer} stands in no layer: add it to MAY_IMPORT"]
    for line, other, at_top in imported(tree, path):
        if other not in MAY_IMPORT[layer] | {layer}:
            found.append(f"{line}: {layer} must not import {other}")
        elif at_top and layer in LAZY and other not in LAZY | {"core"}:
            found.append(f"{line}: {layer} must import {other} inside a function")
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and layer != "weights":
            pickles = PICKLES & {name.split(".")[0] for name in names(node, path)}
            found += [f"{node.lineno}: {name} outside weights" for name in pickles]
        if isinstance(node, ast.Call):
            call, keys = ast.unparse(node.func), {key.arg: ast.unparse(key.value) for key in node.keywords}
            if call == "print":
                found.append(f"{node.lineno}: print; the command line has a console, the rest returns values")
            if call.endswith(".cuda"):
                found.append(f"{node.lineno}: .cuda(); pass a device")
            if call == "torch.load" and layer != "weights":
                found.append(f"{node.lineno}: torch.load outside weights")
            if keys.get("allow_pickle", "False") != "False":
                found.append(f"{node.lineno}: allow_pickle")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_file_keeps_the_rules(path: Path) -> None:
    """One import in the wrong direction, once in, draws the next ones after it."""
    assert faults(path.read_text(encoding="utf-8"), path) == []


def test_no_file_is_too_long() -> None:
    """A file answers one question; over 600 lines it answers several."""
    folders = [PACKAGE, *(ROOT / name for name in ("tests", "benchmarks", "scripts", "tools"))]
    lines = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for folder in folders
        for path in folder.rglob("*.py")
    }
    assert {name: count for name, count in lines.items() if count > LONGEST} == {}


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("core/a.py", "from armchair.nn import attention"),
        ("core/a.py", "import armchair"),
        ("nn/a.py", "def f():\n    import armchair.text.bpe"),
        ("nn/a.py", "from ..data import world"),
        ("nn/a.py", "if TYPE_CHECKING:\n    from armchair import dalle1"),
        ("dalle1/a.py", "from armchair.dalle2 import prior"),
        ("dalle1/a.py", "import_module('armchair.train.loop:run')"),
        ("train/a.py", "from armchair.dalle1.task import DVAETask"),
        ("serve/a.py", "def f():\n    from armchair.train import loop"),
        ("cli/a.py", "from armchair.artist import load"),
        ("cli/a.py", "try:\n    import armchair.train\nexcept ImportError:\n    pass"),
        ("somewhere/a.py", ""),
        ("core/a.py", "print(1)"),
        ("nn/a.py", "net.cuda()"),
        ("train/a.py", "import pickle"),
        ("train/a.py", "torch.load(path)"),
        ("data/a.py", "np.load(path, allow_pickle=True)"),
    ],
)
def test_the_check_sees(file: str, source: str) -> None:
    """A check that finds nothing anywhere would pass too."""
    assert faults(source, PACKAGE / file) != []


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("nn/a.py", "from armchair.core.errors import BadInput\nfrom . import b"),
        ("dalle1/a.py", "from armchair.clip import towers"),
        (
            "cli/a.py",
            "from armchair.core.errors import BadInput\n\ndef run():\n    from armchair.train import loop",
        ),
        ("cli/a.py", "if TYPE_CHECKING:\n    from armchair.artist import Artist"),
        ("cli/a.py", "console.print(1)"),
        ("core/a.py", "PATH = 'armchair.json'"),
        ("core/device.py", "torch.cuda.is_available()"),
        ("weights/a.py", "import pickle"),
        ("data/a.py", "np.load(path, allow_pickle=False)"),
    ],
)
def test_the_check_allows(file: str, source: str) -> None:
    """A check that forbids what the design allows would be switched off sooner or later."""
    assert faults(source, PACKAGE / file) == []
