"""What the training loop and the systems agree on: a Source gives Samples, a Task turns them into a loss.

The loop (armchair/train/loop.py) knows nothing else about a system, and a system nothing else about the loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from armchair.core.rng import SeedBatch

if TYPE_CHECKING:
    from armchair.core.bundle import Component, Shared

CaptionKind = Literal["alt", "short", "long"]
Language = Literal["en", "ko", ""]


class Spot(NamedTuple):
    """Where a thing stands that a caption names. Shares of the picture's width and height."""

    end: int  # characters of the caption up to the end of the words that name it
    x: float  # of its middle
    y: float
    w: float  # of all of it
    h: float


@dataclass(frozen=True)
class Caption:
    """Words that go with a picture."""

    text: str
    kind: CaptionKind = "alt"  # alt: as found on the web; short and long: true descriptions
    language: Language = ""  # "" is unknown
    spots: tuple[Spot, ...] = ()  # what of it stands where, as far as the source knows
    look: str = ""  # the manner that the picture is drawn in, said or not, as far as the source knows


@dataclass(frozen=True)
class Sample:
    """One picture with its words, as it comes from a Source."""

    key: str  # names the sample to a person: a relative path, a scene number
    image: np.ndarray  # (H, W, 3) uint8
    captions: tuple[Caption, ...] = ()
    truth: Any = None  # what the picture shows, where the source knows: Emoji World's Scene
    small: np.ndarray | None = None  # (h, w, 3) uint8, the picture as an upsampler is to meet it


class Source(Protocol):
    """Numbered samples. Several threads may read at once; index i is always the same sample."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample:
        """Sample `index`. Raises DataError naming the file when it cannot be read."""
        ...

    def describe(self) -> dict[str, Any]:
        """What this is, as JSON: goes into the run's recipe.json and the bundle's `trained.data`."""
        ...


@dataclass(frozen=True)
class Batch:
    """The examples of one micro-batch, stacked. B examples."""

    data: dict[str, Tensor]  # what Task.example returned, each (B, ...)
    indices: list[int]  # B sample numbers in the source
    step: int  # the update that this batch belongs to, from 0
    totals: Mapping[str, float]  # Task.counts summed over all micro-batches of this step, in all processes

    def __len__(self) -> int:
        return len(self.indices)


class Task(Protocol):
    """One network's training. Everything random comes from the generators that are passed in.

    All that training changes sits in `net`, in parameters and persistent buffers: that is what a checkpoint
    holds. A buffer is filled by `prepare` and does not change afterwards. Frozen networks stand beside `net`
    as attributes, and go to the same device.
    """

    net: nn.Module
    bundle_kind: str
    languages: Sequence[str]
    defaults: Mapping[str, Any]  # options that the bundle draws with where none is given

    def prepare(self, source: Source, rng: torch.Generator) -> None:
        """Fit what must be fitted before the first step (a PCA, a latent's scale). Called again on resume,
        before the checkpoint's weights and buffers replace what it set. Every process calls it with the same
        generator.
        """
        ...

    def example(self, sample: Sample, generator: torch.Generator) -> dict[str, Tensor]:
        """One sample as tensors, augmented and tokenised; every sample gives the same keys and shapes.
        Runs in another thread or process than `loss`, on the CPU, and changes nothing in the task."""
        ...

    def counts(self, data: dict[str, Tensor]) -> Mapping[str, float]:
        """What the parts of the loss are averaged over, in this micro-batch: {"samples": 8, "text": 133}.
        Always the same keys."""
        ...

    def loss(self, batch: Batch, rng: SeedBatch) -> tuple[Tensor, Mapping[str, float | Tensor]]:
        """This micro-batch's share of the global mean, and numbers to log, which are shares too.

        A share is a sum over the examples divided by `batch.totals[...]`, so that shares of micro-batches and
        of processes add up to the mean. Calls `self.net`; rng holds one generator an example.
        """
        ...

    def preview(self, rng: SeedBatch) -> Image.Image | None:
        """A sheet of pictures by the code path that `generate` uses, at most one a seed; None when there is
        nothing to show. The same seeds at every call of a run.
        """
        ...

    def evaluate(self, source: Source, n: int) -> Mapping[str, float]:
        """Scores on `n` samples of a source, the same ones each time."""
        ...

    def components(self) -> Mapping[str, Component | Shared]:
        """What the bundle of this network holds, by component name."""
        ...

    def golden(self) -> tuple[str, int, Image.Image] | None:
        """A prompt, a seed and the 64-px picture that they give; None when it draws nothing."""
        ...
