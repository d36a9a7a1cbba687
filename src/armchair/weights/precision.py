"""The types in which weights are stored, by the names that people give them."""

from __future__ import annotations

import torch

from armchair.core.errors import BadInput, nearest

DTYPES = {
    "float32": torch.float32,
    "fp32": torch.float32,
    "bfloat16": torch.bfloat16,
    "bf16": torch.bfloat16,
    "float16": torch.float16,
    "fp16": torch.float16,
}


def dtype_named(name: str, *others: str) -> torch.dtype | None:
    """A type by its name; None for one of `others`. Raises BadInput."""
    if name in others:
        return None
    if name not in DTYPES:
        options = [*others, *DTYPES]
        raise BadInput(f"dtype {name!r} is not one of {', '.join(options)}.{nearest(name, options)}")
    return DTYPES[name]
