"""Parameters by what they are: the papers count matrices, so biases, gains and embeddings stand on lines of
their own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

KINDS = ("matrices of blocks", "biases", "gains", "embeddings", "other matrices")


def count_kinds(shapes: Iterable[tuple[str, Sequence[int]]]) -> dict[str, int]:
    """Parameter names with their shapes -> how many of each kind, kinds without any left out."""
    counts: dict[str, int] = dict.fromkeys(KINDS, 0)
    for name, shape in shapes:
        counts[kind_of(name, shape)] += math.prod(shape)
    return {kind: count for kind, count in counts.items() if count}


def count_parts(shapes: Iterable[tuple[str, Sequence[int]]]) -> dict[str, int]:
    """How many lie in each direct child of the network."""
    counts: dict[str, int] = {}
    for name, shape in shapes:
        part = name.split(".")[0]
        counts[part] = counts.get(part, 0) + math.prod(shape)
    return counts


def shapes_of(net: nn.Module) -> list[tuple[str, list[int]]]:
    """The names and shapes of a network's parameters; a shared one once."""
    return [(name, list(value.shape)) for name, value in net.named_parameters()]


def kind_of(name: str, shape: Sequence[int]) -> str:
    """What a parameter is, from its name and shape: our networks name their embeddings so."""
    parts = name.split(".")
    if any("embedding" in part or "position" in part or part.startswith("start_of") for part in parts):
        return "embeddings"
    if parts[-1] == "bias":
        return "biases"
    if len(shape) < 2:
        return "gains"
    return "matrices of blocks" if "blocks" in parts else "other matrices"
