"""The worker's models: loaded when they are asked for, within a budget of memory."""

from __future__ import annotations

import io
from collections.abc import Mapping
from types import SimpleNamespace

import pytest

from armchair.serve import worker


def loading(monkeypatch: pytest.MonkeyPatch, budget: int | None, sizes: Mapping[str, int]) -> worker.Worker:
    """A worker whose models take so many bytes."""
    options = {"studio": "tests.serve.fake", "device": "cpu", "dtype": "auto", "memory": budget}
    found = worker.Worker(options, io.BytesIO())
    monkeypatch.setattr(found, "studio", SimpleNamespace(load=lambda name, device, dtype: name))
    monkeypatch.setattr(worker, "held_bytes", lambda device: sum(sizes[name] for name in found.models))
    return found


def test_the_least_recently_used_goes_first(monkeypatch: pytest.MonkeyPatch):
    """And before the next one is loaded, once its size is known: the budget is not passed twice."""
    found = loading(monkeypatch, 8, {"a": 4, "b": 3, "c": 5})
    asked: list[list[str]] = []
    for name in ("a", "b", "a", "c", "b", "a", "c"):
        assert found.artist(name) == name
        asked.append(list(found.models))
    assert asked == [["a"], ["a", "b"], ["b", "a"], ["c"], ["c", "b"], ["b", "a"], ["c"]]


def test_without_a_budget_all_stay_and_one_beyond_it_is_drawn_with(monkeypatch: pytest.MonkeyPatch):
    """A model that is larger than the budget still draws, alone."""
    free = loading(monkeypatch, None, {"a": 4, "b": 3})
    tight = loading(monkeypatch, 2, {"a": 4, "b": 3})
    for name in ("a", "b"):
        free.artist(name)
    assert list(free.models) == ["a", "b"]
    monkeypatch.setattr(worker, "held_bytes", lambda device: 4 * len(tight.models))
    for name in ("a", "b", "a"):
        tight.artist(name)
        assert list(tight.models) == [name]
