"""The allocator in training, which asks for the same big blocks step after step."""

from __future__ import annotations

import ctypes
import sys

# of mallopt(3); the greatest that its int holds
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
NEVER = 2**31 - 1


def keep_blocks() -> bool:
    """Have glibc keep what is freed for the next step. Otherwise it returns big blocks to the kernel, which
    clears each page anew when it is touched: a sixth of a step of the dVAE (docs/log.md).

    For the whole process, and meant for one that trains. Returns whether this C library could.
    """
    if not sys.platform == "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return mallopt is not None and bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, NEVER))
