"""Where to compute, and in which precision."""

from __future__ import annotations

import torch

from armchair.core.errors import BadInput, nearest

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def pick_device(name: str | torch.device = "auto") -> torch.device:
    """ "auto" is the first CUDA device, else Apple's GPU, else the CPU. Raises BadInput for one that is not
    here.
    """
    if isinstance(name, torch.device):
        name = str(name)
    here = available_devices()
    if name == "auto":
        return torch.device(here[0])
    kind, _, index = name.partition(":")
    if kind not in here:
        raise BadInput(
            f"device {name!r} is not on this machine; it has {', '.join(here)}.{nearest(kind, here)}"
        )
    if index and (not index.isdigit() or (kind == "cuda" and int(index) >= torch.cuda.device_count())):
        raise BadInput(
            f"device {name!r} is not on this machine; it has {torch.cuda.device_count()} CUDA devices"
        )
    return torch.device(name)


def available_devices() -> list[str]:
    """The kinds of device that this torch can use here, the fastest first."""
    here = ["cpu"]
    if torch.backends.mps.is_available():
        here.insert(0, "mps")
    if torch.cuda.is_available():
        here.insert(0, "cuda")
    return here


def pick_dtype(name: str | torch.dtype = "auto") -> torch.dtype:
    """ "auto" is float32, the precision in which the same seed is the same picture. Raises BadInput."""
    if isinstance(name, torch.dtype):
        name = str(name).removeprefix("torch.")
    if name == "auto":
        return torch.float32
    if name not in DTYPES:
        raise BadInput(f"dtype {name!r} is not one of auto, {', '.join(DTYPES)}.{nearest(name, DTYPES)}")
    return DTYPES[name]
