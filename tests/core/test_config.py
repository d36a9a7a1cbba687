"""Configs travel as JSON and from --set: a silently dropped or mistyped field is a lost training run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from armchair.core.config import fill, from_json, override, to_json
from armchair.core.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class Optim:
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.96)
    name: Literal["adamw", "muon"] = "adamw"
    fused: bool = False


@dataclass(frozen=True, kw_only=True)
class Ema:
    decay: float = 0.999


@dataclass(frozen=True, kw_only=True)
class Net:
    width: int = 64
    layers: tuple[str, ...] = ("row", "column")

    def __post_init__(self):
        if self.width % 8:
            raise ValueError(f"width {self.width} is not a multiple of 8")


@dataclass(frozen=True, kw_only=True)
class Run:
    task: Any = field(default_factory=Net)
    optim: Optim = field(default_factory=Optim)
    ema: Ema | None = None
    steps: int = 100
    data: Path | None = None
    title: str = "run"
    weights: dict[str, float] = field(default_factory=dict)


def test_round_trip_keeps_every_type():
    """What a checkpoint's recipe.json holds must build the very same object."""
    run = Optim(lr=1, betas=(0.5, 0.6), name="muon")
    assert from_json(Optim, to_json(run)) == run
    assert isinstance(from_json(Optim, {"betas": [0.5, 0.6]}).betas, tuple)


def test_unknown_keys_are_refused_with_the_nearest_at_any_depth():
    """pydantic drops unknown keys of a plain dataclass silently; ours must not, nested ones included."""
    with pytest.raises(BadInput, match=r"bundle.json: unknown field 'lrr'\. Did you mean 'lr'"):
        from_json(Optim, {"lrr": 1.0}, "bundle.json")
    with pytest.raises(BadInput, match=r"optim\.beta.*Did you mean 'betas'"):
        from_json(Run, {"optim": {"beta": [1, 2]}})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"lr": "1"}, 'lr.*number.*"1"'),
        ({"name": "adam"}, "name.*adamw"),
        ({"betas": [1]}, "betas"),
        (["lr"], "object"),
    ],
)
def test_wrong_values_name_the_field(data: Any, words: str):
    """A text where a number belongs is refused, not converted: it is a typo in somebody's file."""
    with pytest.raises(BadInput, match=words):
        from_json(Optim, data)


def test_post_init_errors_become_bad_input():
    """A config's own check speaks in one line too, from every entry."""
    for make in (
        lambda: from_json(Net, {"width": 9}),
        lambda: override(Net(), ["width=9"]),
        lambda: fill(Run(), {"task": {"width": 9}}),
    ):
        with pytest.raises(BadInput, match="width 9 is not a multiple of 8"):
            make()


@pytest.mark.parametrize(
    ("setting", "get", "value"),
    [
        ("optim.lr=1e-4", lambda r: r.optim.lr, 1e-4),
        ("optim.lr=1", lambda r: r.optim.lr, 1.0),
        ("optim.betas=0.5,0.6", lambda r: r.optim.betas, (0.5, 0.6)),
        ("optim.betas=[0.5, 0.6]", lambda r: r.optim.betas, (0.5, 0.6)),
        ("optim.fused=True", lambda r: r.optim.fused, True),
        ("optim.name=muon", lambda r: r.optim.name, "muon"),
        ("task.width=128", lambda r: r.task.width, 128),
        ('task.layers=["row"]', lambda r: r.task.layers, ("row",)),
        ("steps=1e5", lambda r: r.steps, 100_000),
        ("steps=1_000", lambda r: r.steps, 1000),
        ("ema.decay=0.9", lambda r: r.ema, Ema(decay=0.9)),
        ("ema=none", lambda r: r.ema, None),
        ("data=some/where", lambda r: r.data, Path("some/where")),
        ("title=5", lambda r: r.title, "5"),
        ("title=a=b", lambda r: r.title, "a=b"),
        ("weights.flat=2", lambda r: r.weights, {"flat": 2}),
    ],
)
def test_override_reads_values_by_type(setting: str, get: Any, value: Any):
    """--set is text; the field's type says what the text means."""
    got = get(override(Run(), [setting]))
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("optim.lrs=1", "Optim has no field 'lrs'. Did you mean 'lr'"),
        ("optim.lr=fast", "optim.lr=fast: not a number"),
        ("steps=2.5", "steps=2.5: not a whole number"),
        ("steps.x=1", "has no field 'x'"),
        ("steps", "key=value"),
        ("optim.fused=maybe", "true or false"),
    ],
)
def test_override_refuses(setting: str, words: str):
    """A setting that would be ignored or misread must stop the run before it starts."""
    with pytest.raises(BadInput, match=words):
        override(Run(), [setting])


@dataclass(frozen=True)
class Weights:
    squared: float = 1.0
    absolute: float = 0.0

    def __post_init__(self) -> None:
        if self.squared + self.absolute == 0:
            raise BadInput("squared and absolute are both 0")


def test_a_setting_waits_for_what_makes_it_valid():
    """The order of settings that belong together does not matter; later ones win; what is wrong is told."""
    for settings in (["squared=0", "absolute=2"], ["absolute=2", "squared=0"]):
        assert override(Weights(), settings) == Weights(squared=0.0, absolute=2.0)
    assert override(Weights(), ["absolute=2", "absolute=3"]).absolute == 3
    with pytest.raises(BadInput, match="both 0"):
        override(Weights(), ["squared=0", "absolute=0"])


def test_fill_takes_the_class_of_the_default():
    """A recipe's task is typed Any: its class comes from the recipe's own default, so JSON can restore it."""
    run = Run(task=Net(width=32), ema=Ema())
    assert fill(Run(ema=Ema()), to_json(run)) == run
    with pytest.raises(BadInput, match=r"task\.widht.*Did you mean 'width'"):
        fill(Run(), {"task": {"widht": 8}})
    with pytest.raises(BadInput, match=r"task\.width"):
        fill(Run(), {"task": {"width": "8"}})


@dataclass(frozen=True, kw_only=True)
class Listed:
    nets: list[Net]
    ratios: tuple[float, ...] = ()
    note: str | None = None
    optim: Optim = field(default_factory=Optim)
    table: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
