"""Earlier projects beside ours: in a folder of their own, with stand-ins for what they import and do not use.

    pip install --target PEERS --no-deps dalle-pytorch==1.6.6 einops \\
        axial-positional-embedding rotary-embedding-torch
    pip install --target PEERS --no-deps open_clip_torch==3.3.0

They run as they were published; nothing of theirs is part of Armchair.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

UNUSED = (  # what dalle-pytorch imports at its top and the networks never call
    "taming torchvision transformers omegaconf requests yaml pkg_resources youtokentome regex tqdm"
).split()


class Anything(type):
    """The class of a class that has every attribute, None."""

    def __getattr__(cls, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


class StandIn(ModuleType):
    """An empty module: whatever is asked of it is a class that does nothing."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything(name, (), {})


class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives a stand-in for each unused package, installed or not."""

    def __init__(self, unused: Sequence[str]):
        self.unused = unused

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name.partition(".")[0] in self.unused:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> ModuleType:
        return StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


def dalle_pytorch(folder: Path | None) -> ModuleType | None:
    """lucidrains' dalle-pytorch from a folder made with pip --target; None where there is none."""
    return _with_stand_ins("dalle_pytorch", "dalle_pytorch.dalle_pytorch", folder, UNUSED)


def open_clip(folder: Path | None) -> ModuleType | None:
    """open_clip likewise; its pictures' transforms want torchvision, its networks do not."""
    return _with_stand_ins("open_clip", "open_clip", folder, ["torchvision"])


def _with_stand_ins(
    package: str, module: str, folder: Path | None, unused: Sequence[str]
) -> ModuleType | None:
    if folder is not None:
        sys.path.append(str(folder))
    if importlib.util.find_spec(package) is None:
        return None
    finder = StandIns(unused)
    sys.meta_path.insert(0, finder)
    try:
        return importlib.import_module(module)
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name, module in sys.modules.items() if isinstance(module, StandIn)]:
            del sys.modules[name]
