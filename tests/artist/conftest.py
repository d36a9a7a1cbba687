"""A toy system under the name "toy", and a folder of bundles in place of the shipped ones."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from armchair.core import bundle as bundles
from armchair.weights import kinds


@pytest.fixture(scope="session")
def toy() -> ModuleType:
    name = "armchair_toy_system"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / "artist" / "toy.py")
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toy: ModuleType) -> Path:
    """A folder that holds the bundle "toy" and counts as the shipped one; the working directory is empty."""
    monkeypatch.setattr(bundles, "SHIPPED", tmp_path / "bundles")
    monkeypatch.setattr(kinds, "PIPELINES", {**kinds.PIPELINES, "toy": "armchair_toy_system:ToyPipeline"})
    toy.save_toy(tmp_path / "bundles" / "toy")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "bundles"
