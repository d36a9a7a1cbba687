"""Intervals that mean what they say."""

from __future__ import annotations

import numpy as np
import pytest

from armchair.evaluation.bootstrap import estimate, item_differences, item_means, jackknife, mean, paired

RNG = np.random.default_rng(3)


def table(shares: np.ndarray, pictures: int = 4, language: str = "en", stratum: str = "x"):
    return {stratum: {str(i): {language: [float(s)] * pictures} for i, s in enumerate(shares)}}


def test_interval_is_as_wide_as_the_normal_one():
    """A hundred independent prompts: 1.96 standard errors either way, whatever their number of pictures."""
    values = RNG.normal(0.6, 0.2, 100)
    found = estimate([item_means(table(values), "x")])
    assert found.value == pytest.approx(values.mean())
    error = 1.96 * values.std() / 10
    assert (found.high - found.low) / 2 == pytest.approx(error, rel=0.1)
    assert found.n == 100
    assert estimate([item_means(table(values, pictures=64), "x")]) == found


def test_every_stratum_counts_the_same():
    """Ten prompts of one task weigh as much as ninety of another; each is drawn again among its own."""
    few, many = np.ones(10), np.zeros(90)
    found = estimate([few, many])
    assert (found.value, found.low, found.high, found.n) == (0.5, 0.5, 0.5, 100)


def test_the_same_items_in_several_strata_are_drawn_again_together():
    """A concept that no style helps is no five pieces of news: five equal strata tell as much as one."""
    shares = RNG.uniform(0, 1, 50)
    one = table(shares)
    five = {name: table(shares)["x"] for name in "abcde"}
    assert mean(five, list(five)) == pytest.approx(mean(one, ["x"]))
    other = {name: {f"{name}{i}": row for i, row in table(shares)["x"].items()} for name in "abcde"}
    apart = mean(other, list(other))
    assert apart.n == 250
    assert apart.high - apart.low < 0.6 * (mean(one, ["x"]).high - mean(one, ["x"]).low)
    assert paired(five, {s: table(shares - 0.1)["x"] for s in five}, list(five)).value == pytest.approx(0.1)


def test_languages():
    """One language alone, or both as one item."""
    scores = {"x": {"a": {"en": [1.0, 1.0], "ko": [0.0, 0.0]}, "b": {"en": [1.0, 0.0], "ko": [1.0, 1.0]}}}
    assert item_means(scores, "x", "en").tolist() == [1, 0.5]
    assert item_means(scores, "x").tolist() == [0.5, 0.75]
    assert item_differences(scores, "x", "ko", "en").tolist() == [-1, 0.5]


def test_pairs_tell_more():
    """A small gain on prompts that differ widely: certain in pairs, and not by two separate intervals."""
    hard = RNG.uniform(0, 0.9, 60)
    old, new = table(hard), table(hard + RNG.uniform(0.02, 0.06, 60))
    gain = paired(new, old, ["x"])
    assert 0.02 < gain.low < gain.value < gain.high < 0.06
    assert estimate([item_means(old, "x")]).high > estimate([item_means(new, "x")]).low


def test_jackknife_of_a_mean():
    """With a block an item it is the standard error of the mean, exactly."""
    x = RNG.normal(size=20)
    found = jackknife(lambda kept: {"mean": float(x[kept].mean())}, 20)["mean"]
    assert found.value == pytest.approx(x.mean())
    assert found.high - found.value == pytest.approx(1.96 * x.std(ddof=1) / np.sqrt(20))
    wide = jackknife(lambda kept: {"mean": float(np.repeat(x, 10)[kept].mean())}, 200)["mean"]
    assert wide.high - wide.value == pytest.approx(1.96 * x.std(ddof=1) / np.sqrt(20))
