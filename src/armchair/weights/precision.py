"""The types in which weights are stored, by the names that people give them."""

from __future__ import annotations

import torch

from armchair.core.device import DTYPES
from armchair.core.errors import BadInput, nearest


def dtype_named(name: str, *others: str) -> torch.dtype | None:
    """A type by its name; None for one of `others`. Raises BadInput."""
    if name in others:
        return None
    if name not in DTYPES:
        options = [*others, *DTYPES]
        raise BadInput(f"dtype {name!r} is not one of {', '.join(options)}.{nearest(name, options)}")
    return DTYPES[name]
