"""The published implementations, for tests with the marker `references`."""

from __future__ import annotations

import enum
import importlib
import importlib.machinery
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest
import torch

PICTURES = (  # what open_clip takes from torchvision at import: transforms of pictures, of which none is used
    "torchvision",
    "torchvision.ops",
    "torchvision.ops.misc",
    "torchvision.transforms",
    "torchvision.transforms.functional",
)


class Absent(types.ModuleType):
    """A module whose every name is an empty class."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (torch.nn.Module,), {})


@pytest.fixture(scope="session")
def open_clip() -> Iterator[Any]:
    """open_clip without torchvision, whose published builds do not load beside a torch for the CPU."""
    for name in PICTURES:
        module = Absent(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        sys.modules[name] = module
        parent, _, leaf = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], leaf, module)
    modes = enum.Enum("InterpolationMode", ["BICUBIC", "BILINEAR", "NEAREST"])
    vars(sys.modules["torchvision.transforms"])["InterpolationMode"] = modes
    sys.modules["timm"] = None  # type: ignore[assignment]  # its other towers, which need torchvision too
    yield importlib.import_module("open_clip")
    for name in (*PICTURES, "timm"):
        del sys.modules[name]
