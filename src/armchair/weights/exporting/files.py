"""What every exported folder is written with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from armchair.core.files import dump_json


def save_json(path: Path, value: Any) -> None:
    path.write_bytes(dump_json(value))


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """safetensors as other libraries expect them: contiguous, each with its own memory."""
    own = {name: value.detach().cpu().clone() for name, value in tensors.items()}
    path.write_bytes(safetensors.torch.save(own, {"format": "pt"}))
