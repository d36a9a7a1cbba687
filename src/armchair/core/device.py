"""Where to compute, and in which precision."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import torch

from armchair.core.errors import BadInput, nearest

LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
SHARE = 0.8  # of the memory, for weights; the rest is for what they compute
DTYPES = {
    "float32": torch.float32,
    "fp32": torch.float32,
    "bfloat16": torch.bfloat16,
    "bf16": torch.bfloat16,
    "float16": torch.float16,
    "fp16": torch.float16,
}


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


def memory_of(device: torch.device) -> int | None:
    """Bytes that networks may take there: most of what the device, or this process's container, has. None
    where that cannot be known.
    """
    if device.type == "cuda":
        return int(SHARE * torch.cuda.mem_get_info(device)[1])
    if not hasattr(os, "sysconf"):  # Windows
        return None
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in LIMITS:
        with contextlib.suppress(OSError, ValueError):  # no such file; "max"
            found.append(int(path.read_text()))
    return int(SHARE * min(found))


def pick_dtype(name: str | torch.dtype = "auto") -> torch.dtype:
    """ "auto" is float32, the precision in which the same seed is the same picture. Raises BadInput."""
    if isinstance(name, torch.dtype):
        name = str(name).removeprefix("torch.")
    if name == "auto":
        return torch.float32
    if name not in DTYPES:
        raise BadInput(f"dtype {name!r} is not one of auto, {', '.join(DTYPES)}.{nearest(name, DTYPES)}")
    return DTYPES[name]
