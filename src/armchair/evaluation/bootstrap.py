"""Intervals: by bootstrap over prompts, since the pictures of one prompt are not independent.

A score table maps stratum (a task, a style) -> item (a prompt, a scene) -> language ("" where there is none)
-> the scores of its pictures. Items are drawn again, whole, within their stratum; an overall score is the
mean of the strata, so that a task with more prompts counts no more than another. Where all strata hold the
same items (a concept in every style), an item is drawn again with all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

Table = dict[str, dict[str, dict[str, list[float]]]]
RESAMPLES = 2_000
BLOCKS = 20  # of the jackknife
LEVEL = 95.0  # per cent


class Estimate(NamedTuple):
    """A mean with its 95 % interval over n independent items."""

    value: float
    low: float
    high: float
    n: int


def item_means(table: Table, stratum: str, language: str | None = None) -> np.ndarray:
    """(items,) the mean score of each item's pictures; language None: of all its languages."""
    rows = [
        [x for name, scores in item.items() if language in (None, name) for x in scores]
        for item in table[stratum].values()
    ]
    return np.array([np.mean(row) for row in rows if row])


def item_differences(table: Table, stratum: str, a: str, b: str) -> np.ndarray:
    """(items,) how much higher each item scores in language a than in b, of the items that have both."""
    items = [item for item in table[stratum].values() if a in item and b in item]
    return np.array([np.mean(item[a]) - np.mean(item[b]) for item in items])


def together(table: Table, strata: Sequence[str], values: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Values of the strata's items, (items,) each, as what is drawn again: the same list, or one array where
    the strata hold the same items.
    """
    same = all(table[s].keys() == table[strata[0]].keys() for s in strata)
    return [np.mean(values, axis=0)] if same and len({len(v) for v in values}) == 1 else list(values)


def mean(table: Table, strata: Sequence[str], language: str | None = None) -> Estimate:
    """The mean score of the strata."""
    return estimate(together(table, strata, [item_means(table, s, language) for s in strata]))


def difference(table: Table, strata: Sequence[str], a: str, b: str) -> Estimate:
    """How much higher language a scores than b on the same items."""
    return estimate(together(table, strata, [item_differences(table, s, a, b) for s in strata]))


def estimate(strata: Sequence[np.ndarray], resamples: int = RESAMPLES) -> Estimate:
    """The mean of the strata's means, by percentile bootstrap over the items of each. The same every time."""
    rng = np.random.default_rng(0)
    total = np.zeros(resamples)
    for values in strata:
        picks = rng.integers(len(values), size=(resamples, len(values)))
        total += values[picks].mean(axis=1) / len(strata)
    low, high = np.percentile(total, [50 - LEVEL / 2, 50 + LEVEL / 2])
    value = float(np.mean([values.mean() for values in strata]))
    return Estimate(value, float(low), float(high), sum(len(values) for values in strata))


def paired(new: Table, old: Table, strata: Sequence[str], language: str | None = None) -> Estimate:
    """How much higher `new` scores than `old` on the same items. The tables must hold the same ones."""
    assert all(new[s].keys() == old[s].keys() for s in strata)
    differences = [item_means(new, s, language) - item_means(old, s, language) for s in strata]
    return estimate(together(new, strata, differences))


def jackknife(statistic: Callable[[np.ndarray], Mapping[str, float]], n: int) -> dict[str, Estimate]:
    """Statistics of n items that are no means (a Frechet distance), with 1.96 standard errors either way.

    statistic: takes the indices of the items kept and returns numbers by name. The standard error is the
    delete-a-block jackknife's over 20 blocks, in which no item occurs twice: repeated items, as in a
    bootstrap, would narrow a covariance and make neighbours of equal pictures.
    """
    blocks = [block for block in np.array_split(np.arange(n), min(BLOCKS, n)) if len(block)]
    whole = statistic(np.arange(n))
    parts = [statistic(np.setdiff1d(np.arange(n), block)) for block in blocks]
    found: dict[str, Estimate] = {}
    for name, value in whole.items():
        without = np.array([part[name] for part in parts])
        error = np.sqrt((len(blocks) - 1) * without.var())
        found[name] = Estimate(value, value - 1.96 * float(error), value + 1.96 * float(error), n)
    return found
