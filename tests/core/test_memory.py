"""What training asks of the allocator."""

from __future__ import annotations

import subprocess
import sys

import pytest

FAULTS = """
import resource
from armchair.core.memory import keep_blocks

def faults():
    bytearray(32_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        bytearray(32_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

given_back = faults()
assert keep_blocks()
print(given_back, faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_freed_blocks_are_used_again():
    """32 MB that every step asks for must not be faulted in page by page every time."""
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], check=True, capture_output=True, text=True, timeout=60
    )
    given_back, kept = map(int, done.stdout.split())
    assert kept < given_back / 10
