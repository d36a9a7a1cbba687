"""The README's commands run; what its pages name, be it a file, a function or a make target, exists.

Every fence opened with ```sh or ```python is run, in order, in one folder that starts with `pictures/`, a
handful of captioned drawings. One opened with ```sh slow runs in `make test-all` only, ```sh network with
`pytest -m network`. One that starts with `make` is not run from here, for it would run these tests.
"""

import ast
import os
import random
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image, ImageDraw

from armchair.cli.app import LazyGroup, group
from armchair.cli.recipe_names import recipe_names

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


class Fence(NamedTuple):
    line: int
    language: str
    when: str  # "", slow or network
    code: str


def fences(text: str) -> list[Fence]:
    """The fenced blocks of a Markdown text that are to be run."""
    found = re.finditer(r"^```(sh|python)(?: (\w+))?\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    blocks = [Fence(text[: m.start()].count("\n") + 1, m[1], m[2] or "", m[3]) for m in found]
    return [block for block in blocks if not block.code.startswith("make ")]


def run(folder: Path, *when: str) -> None:
    """Run the README's fences of these kinds. A later one may need an earlier one's files."""
    chosen = [fence for fence in fences(PAGES[0].read_text("utf-8")) if fence.when in when]
    assert chosen, "the README has no such fence"
    draw_pictures(folder / "pictures")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for fence in chosen:
        shell = [sys.executable, "-c"] if fence.language == "python" else ["bash", "-euo", "pipefail", "-c"]
        command = [*shell, fence.code]
        environment = {**os.environ, "PATH": path}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"README.md line {fence.line}:\n{fence.code}\n{done.stdout}{done.stderr}"


def draw_pictures(folder: Path, n: int = 24) -> None:
    """A picture folder as a reader might have one: NAME.png beside NAME.txt."""
    folder.mkdir()
    chance = random.Random(0)
    for i in range(n):
        colour, shape = chance.choice(["red", "green", "blue"]), chance.choice(["ellipse", "rectangle"])
        image = Image.new("RGB", (96, 96), "white")
        x, y = chance.randrange(8, 40), chance.randrange(8, 40)
        getattr(ImageDraw.Draw(image), shape)((x, y, x + 40, y + 40), fill=colour)
        image.save(folder / f"{i:04d}.png")
        (folder / f"{i:04d}.txt").write_text(f"a {colour} {shape} on a white wall\n", encoding="utf-8")


@pytest.mark.timeout(600)
def test_commands_run(tmp_path: Path) -> None:
    """A README that does not run is the first thing a stranger finds out."""
    run(tmp_path, "")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_slow_commands_run(tmp_path: Path) -> None:
    """The same with those that take longer."""
    run(tmp_path, "", "slow")


@pytest.mark.network
@pytest.mark.timeout(1200)
def test_commands_that_fetch_run(tmp_path: Path) -> None:
    """The same with those that need the network."""
    run(tmp_path, "network")


def test_make_targets_exist() -> None:
    """A make command that the pages name and the Makefile lacks."""
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    pages = "\n".join(page.read_text("utf-8") for page in PAGES)
    named = set(re.findall(r"(?:^|`)make ([\w-]+)", pages, re.MULTILINE))
    assert {"demo", "test"} <= named <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_shown_commands_parse(page: Path) -> None:
    """Most fences are not run; an option that was renamed, or a recipe that is gone, would live on there."""
    for words in commands(page.read_text("utf-8")):
        command, arguments = group(LazyGroup, "armchair"), words
        while isinstance(command, LazyGroup):
            command, arguments = command.get_command(None, arguments[0]), arguments[1:]
        assert command is not None, words
        command.make_context("armchair", [*arguments])  # raises for what it does not take
        assert words[0] != "train" or not arguments or arguments[0] in recipe_names(), words


def commands(text: str) -> list[list[str]]:
    """The command lines in a page's fences, but for those with placeholders: NAME, [--option], a | b, ..."""
    blocks = re.findall(r"^```(?:sh|text)[^\n]*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    found = [re.search(r"(?:^|\| |-m )armchair (.*)", line.strip()) for line in lines]
    split = [shlex.split(match[1], comments=True) for match in found if match is not None]
    return [words for words in split if not any(re.search(r"[][|]|\.\.\.|^[A-Z]+$", w) for w in words)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Files move; the pages that name them stay behind."""
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text("utf-8"))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_code_exists(page: Path) -> None:
    """A page that sends its reader to a function which was renamed: `dalle1/dvae.py::Encoder`."""
    named = re.findall(r"`([\w/]+\.py)(?:::([\w.]+))?`", page.read_text("utf-8"))
    missing = [f"{path}::{name}" for path, name in named if not has(ROOT / "src" / "armchair" / path, name)]
    assert missing == []


def has(path: Path, name: str) -> bool:
    """Whether a file is there and defines the dotted name; an empty name is in every file."""
    if not path.exists():
        return False
    body = ast.parse(path.read_text("utf-8")).body
    for part in name.split(".") if name else []:
        found = [node for node in body if part in defined(node)]
        if not found:
            return False
        body = getattr(found[0], "body", [])
    return True


def defined(node: ast.stmt) -> list[str]:
    """The names that a statement defines."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]
