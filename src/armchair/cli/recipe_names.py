"""Recipes by name, without importing them: a listing must be instant."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

from armchair.core.errors import BadInput, nearest

if TYPE_CHECKING:
    from armchair.train.recipe import Recipe

FOLDER = Path(__file__).resolve().parents[1] / "recipes"


def recipe_names() -> dict[str, Path]:
    """Name -> file of every recipe module; helpers begin with an underscore."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.py")) if not path.stem.startswith("_")}


def about(path: Path) -> str:
    """The first paragraph of a module's docstring, as one line."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    return "" if text is None else " ".join(text.split("\n\n")[0].split())


def load_recipe(name: str) -> Recipe:
    """The recipe of this name. Raises BadInput with the nearest names."""
    import importlib

    names = recipe_names()
    if name not in names:
        raise BadInput(f"no recipe {name!r}.{nearest(name, names)} `armchair train` lists all {len(names)}")
    return importlib.import_module(f"armchair.recipes.{name}").recipe()
