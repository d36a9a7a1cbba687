"""What every known format says about itself, and what it makes of a source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from armchair.core.bundle import Component, Streamed
    from armchair.weights.importing.source import Source


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a person adds to a source that does not say everything itself."""

    merges: Path | None = None  # CLIP's file of merges
    activation: str | None = None  # of CLIP's transformers: quick_gelu or gelu
    clip: Path | None = None  # a folder with CLIP's image tower
    prediction: str | None = None  # of a latent U-Net: eps or v


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A bundle to be written."""

    kind: str
    components: Mapping[str, Component | Streamed]
    dropped: Mapping[str, str]  # source key -> why it is not needed
    licence: str | None = None  # of the published weights, where the source says none
    languages: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict[str, Any])
    exact: frozenset[str] = frozenset()  # COMPONENT/TENSOR that keeps its type whatever is asked for
    others: Mapping[str, Any] = field(default_factory=dict[str, Any])  # origins of what options named


@dataclass(frozen=True, kw_only=True)
class Format:
    """One way in which weights are published."""

    name: str
    looks_for: str  # what `matches` wants to see, for the message when nothing matches
    matches: Callable[[Source], bool]  # by the names of files and small JSON files alone
    plan: Callable[[Source, Options], Plan]  # raises ArmchairError for what does not fit
    takes: frozenset[str] = frozenset()  # the Options that it reads
