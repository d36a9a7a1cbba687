"""A bundle as plain files: one safetensors and one JSON a component, in our own names."""

from __future__ import annotations

from pathlib import Path

import torch

from armchair.core.bundle import Bundle
from armchair.weights.exporting.files import save_json, save_tensors


def export(bundle: Bundle, folder: Path, dtype: torch.dtype) -> None:
    """int8 and half precision are unpacked to `dtype`; shared components are written out."""
    for name in bundle.components:
        entry = bundle.home(name)[2]
        if entry.storage == "file":
            (folder / Path(entry.files[0].path).name).write_bytes(bundle.bytes(name))
            continue
        save_tensors(folder / f"{name}.safetensors", bundle.tensors(name, dtype))
        save_json(folder / f"{name}.json", entry.config)
