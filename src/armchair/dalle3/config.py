"""Sizes of DALL·E 3's latent diffusion model; the defaults are those of the paper's ablation (appendix A)
where it names them, and Stable Diffusion 1's where it does not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from armchair.clip.config import TextConfig
from armchair.diffusion.flow import Flow
from armchair.diffusion.prediction import Kind
from armchair.diffusion.schedule import Schedule
from armchair.nn.draft import DraftConfig, check_draft
from armchair.nn.layout import LayoutConfig, check_layout
from armchair.nn.resnet import Modulation
from armchair.nn.sketch import SketchConfig
from armchair.nn.t5 import T5BlocksConfig
from armchair.nn.unet import AttentionKind, LevelSpec, UNetConfig

ScheduleName = Literal["cosine", "linear", "scaled_linear"]
Ratio = Literal["1:1", "7:4", "4:7"]  # width to height


@dataclass(frozen=True, kw_only=True)
class T5Config(T5BlocksConfig):
    """An encoder of T5 1.1. The defaults are T5-XXL's: 4.76e9 parameters."""

    vocab: int = 32_128  # ids, those of the padding and of the end among them
    length: int = 256  # tokens that are read of a caption, its end among them
    pad: int = 0  # id that fills a row after its end
    end: int = 1  # id after a caption's last token

    masked = True  # the padding is not read

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.length < 1 or not 0 <= self.pad < self.vocab or not 0 <= self.end < self.vocab:
            raise ValueError(f"pad {self.pad} and end {self.end} lie in 0..vocab - 1, {self.vocab - 1}")


@dataclass(frozen=True, kw_only=True)
class ClipWordsConfig:
    """The states of a CLIP text tower; in Stable Diffusion all its places are read, empty ones too."""

    text: TextConfig = field(default_factory=lambda: TextConfig(width=768))  # of ViT-L/14
    quick_gelu: bool = True
    pad: int | None = None  # id that fills a row after its end; None: the end's, as in Stable Diffusion 1
    masked: bool = False  # what comes after the end is not read

    @property
    def width(self) -> int:
        return self.text.width

    @property
    def vocab(self) -> int:
        return self.text.vocab

    @property
    def length(self) -> int:
        return self.text.length


WordsConfig = T5Config | ClipWordsConfig


@dataclass(frozen=True, kw_only=True)
class LatentConfig:
    """The U-Net over latents and the text encoder that it reads."""

    side: int = 256  # pixels per side of the square that it draws
    stride: int = 8  # pixels per cell: the autoencoder's
    channels: int = 4  # of a latent: the autoencoder's
    ratios: tuple[Ratio, ...] = ("1:1", "7:4", "4:7")  # the square first; the others have its shorter side
    words: WordsConfig = field(default_factory=T5Config)
    sketch: SketchConfig | None = None  # shown to the U-Net where nothing is known; not in the paper
    layout: LayoutConfig | None = None  # drawn from what the sketch reads, and shown; not in the paper
    draft: DraftConfig | None = None  # painted after a layout, shown in the sketch's place; not in the paper
    pooled: bool = False  # the mean of the text's states joins the timestep; not in the paper
    levels: tuple[LevelSpec, ...] = (
        LevelSpec(width=320, depth=2, attention="cross"),
        LevelSpec(width=640, depth=2, attention="cross"),
        LevelSpec(width=1280, depth=2, attention="cross"),
        LevelSpec(width=1280, depth=2),
    )
    middle_attention: AttentionKind | None = "cross"
    patch: int = 1  # squares of so many cells a side become channels before the first level
    time_width: int = 320  # of the timestep's sinusoid
    head_width: int = 64
    heads: int = 8  # attention heads at every level, in place of head_width; 0: head_width says it
    modulation: Modulation = "film"  # scale and bias from the timestep (appendix A)
    resample: Literal["block", "conv"] = "conv"
    groups: int = 32  # of the group norms
    dropout: float = 0.0
    qk_norm: bool = False  # RMS-normalise queries and keys: not in the paper
    places: int = 0  # octaves of the cells' coordinates that attention is told: not in the paper
    inpaints: bool = True  # it is told which cells are known, so that one network draws and inpaints
    prediction: Kind = "eps"  # what the network says of a noisy latent
    steps: int = 1000  # noise levels of training, where it is no flow
    schedule: ScheduleName = "scaled_linear"
    spacing: Literal["even", "trailing", "leading"] = (
        "even"  # of the levels that drawing visits: see Schedule.respace
    )
    residue: bool = False  # drawing stops at the noise of the first level, as published schedulers do
    shift: float = 1.0  # of a flow: above 1 more of the steps at the noisy end

    def __post_init__(self) -> None:
        if not self.ratios or self.ratios[0] != "1:1" or len(set(self.ratios)) != len(self.ratios):
            raise ValueError(f"ratios {self.ratios}: 1:1 first, and each once")
        if self.sketch is not None and self.sketch.width != self.words.width:
            raise ValueError(
                f"sketch has width {self.sketch.width}, and the text's states {self.words.width}"
            )
        if self.sketch is not None and not self.inpaints:
            raise ValueError("a sketch is shown where nothing is known, and needs inpaints")
        check_layout(self.layout, self.sketch, self.levels[0].width, self.patch)
        check_draft(self.draft, self.layout)
        stride = self.stride * self.unet.stride
        for width, height in self.shapes:
            if width % stride or height % stride:
                raise ValueError(
                    f"side {self.side}: {width}x{height} are no multiples of the stride {stride}"
                )

    @property
    def unet(self) -> UNetConfig:
        """The skeleton: the latent, and what is known of it for inpainting (its channels and the mask)."""
        return UNetConfig(
            channels_in=2 * self.channels + 1 if self.inpaints else self.channels,
            channels_out=self.channels,
            levels=self.levels,
            middle_attention=self.middle_attention,
            patch=self.patch,
            time_width=self.time_width,
            context_width=self.words.width,
            head_width=self.head_width,
            heads=self.heads,
            modulation=self.modulation,
            resample=self.resample,
            groups=self.groups,
            dropout=self.dropout,
            qk_norm=self.qk_norm,
            places=self.places,
        )

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Width and height in pixels of each ratio."""
        pairs = [tuple(map(int, ratio.split(":"))) for ratio in self.ratios]
        return tuple((self.side * w // min(w, h), self.side * h // min(w, h)) for w, h in pairs)

    @property
    def grids(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of cells of each ratio."""
        return tuple((height // self.stride, width // self.stride) for width, height in self.shapes)

    @property
    def is_flow(self) -> bool:
        return self.prediction == "flow"

    @property
    def levels_of_noise(self) -> Schedule | Flow:
        if self.is_flow:
            return Flow(shift=self.shift)
        make = {
            "cosine": Schedule.cosine,
            "linear": Schedule.linear,
            "scaled_linear": Schedule.scaled_linear,
        }
        return make[self.schedule](self.steps)


@dataclass(frozen=True, kw_only=True)
class ConsistencyConfig:
    """The decoder from latents to pixels by diffusion in a few steps (appendix B). The defaults are those of
    the consistency decoder that was published for Stable Diffusion's latents.
    """

    channels: int = 4  # of a latent: the autoencoder's
    stride: int = 8  # pixels per cell: the autoencoder's
    levels: tuple[LevelSpec, ...] = (
        LevelSpec(width=320, depth=3),
        LevelSpec(width=640, depth=3),
        LevelSpec(width=1024, depth=3),
        LevelSpec(width=1024, depth=3),
    )
    patch: int = 1  # squares of so many pixels a side become channels before the first level
    time_width: int = 320  # of a timestep's learned row
    groups: int = 32  # of the group norms
    steps: int = 1024  # noise levels, on a cosine schedule
    rounding: int = 16  # only levels that are multiples of it are used, the highest steps - rounding
    visited: tuple[int, ...] = (1008, 512)  # levels that drawing starts from, one after the other
    data_std: float = 0.5  # of pixels in -1..1

    def __post_init__(self) -> None:
        if self.steps % self.rounding or self.steps < 2 * self.rounding:
            raise ValueError(f"steps {self.steps} are no multiple of rounding {self.rounding}, or too few")
        falling = list(self.visited) == sorted(set(self.visited), reverse=True)
        if (
            not self.visited
            or not falling
            or any(t % self.rounding or not 0 < t < self.steps for t in self.visited)
        ):
            raise ValueError(
                f"visited {self.visited}: falling multiples of {self.rounding} below {self.steps} are needed"
            )

    @property
    def unet(self) -> UNetConfig:
        """The skeleton: the noisy picture and the enlarged latent go in. Of the six channels that come out
        three are read.
        """
        return UNetConfig(
            channels_in=3 + self.channels,
            channels_out=6,
            levels=self.levels,
            patch=self.patch,
            time_width=self.time_width,
            times=self.steps,
            groups=self.groups,
        )

    @property
    def levels_of_noise(self) -> Schedule:
        return Schedule.cosine(self.steps)
