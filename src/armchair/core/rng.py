"""Keyed randomness: one generator per image, so that a sample never depends on its neighbours.

Nothing in Armchair reads torch's global generator. A random number is a function of a key (a seed, a step, a
position), which makes it the same alone or in a batch, in one process or two, before a crash or after it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def mix(*key: int | str) -> int:
    """An integer in 0 .. 2**63 - 1 for a key of integers and words; other keys give unrelated ones."""
    words = [f"i{part}" if isinstance(part, int) else f"s{len(part)}:{part}" for part in key]
    return int.from_bytes(hashlib.sha256(",".join(words).encode()).digest()[:8], "big") >> 1


def generator(*key: int | str, device: str | torch.device = "cpu") -> torch.Generator:
    """A fresh generator seeded by the key."""
    return torch.Generator(device=device).manual_seed(mix(*key))


class SeedBatch:
    """One CPU generator per image: image i draws the same numbers alone, in a batch, and on any device.

    Numbers are drawn on the CPU and then moved, because generators differ between devices. Every draw moves
    all the generators on, so the order of the calls matters and the batch size does not. B images; each
    method returns one row per image.
    """

    def __init__(self, seeds: Sequence[int], device: str | torch.device = "cpu"):
        """seeds: one integer an image, any sign and size; device: where the drawn numbers go."""
        self.seeds = tuple(seeds)
        self.device = torch.device(device)
        self.generators = [torch.Generator().manual_seed(_small(seed)) for seed in self.seeds]

    def __len__(self) -> int:
        return len(self.seeds)

    def subset(self, rows: slice) -> SeedBatch:
        """The images in `rows`. The generators are shared: what the subset draws, the whole has drawn."""
        part = SeedBatch((), self.device)
        part.seeds = self.seeds[rows]
        part.generators = self.generators[rows]
        return part

    def normal(self, *shape: int) -> Tensor:
        """(B, *shape) float32 from the standard normal law."""
        out = torch.empty(len(self), *shape)
        for row, source in zip(out, self.generators, strict=True):
            row.normal_(generator=source)
        return out.to(self.device)

    def uniform(self, *shape: int) -> Tensor:
        """(B, *shape) float32, evenly from [0, 1)."""
        out = torch.empty(len(self), *shape)
        for row, source in zip(out, self.generators, strict=True):
            row.uniform_(generator=source)
        return out.to(self.device)

    def bernoulli(self, p: float) -> Tensor:
        """(B,) bool, True with probability p."""
        return self.uniform() < p

    def randint(self, low: int, high: int) -> Tensor:
        """(B,) int64, evenly from low .. high - 1."""
        out = torch.empty(len(self), dtype=torch.int64)
        for row, source in zip(out, self.generators, strict=True):
            row.random_(low, high, generator=source)
        return out.to(self.device)


def _small(seed: int) -> int:
    """torch's CPU generator ignores all but the low 32 bits, so that 1 and 2**32 + 1 would be one seed."""
    return seed if 0 <= seed < 2**32 else mix(seed)
