"""Sizes of DALL·E 2's networks; the defaults are the paper's (arXiv:2204.06125, table 3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from armchair.diffusion.prediction import Kind
from armchair.diffusion.schedule import Schedule
from armchair.nn.autoencoder import AutoencoderConfig
from armchair.nn.autoencoder import DecoderConfig as PixelsConfig
from armchair.nn.draft import DraftConfig, check_draft
from armchair.nn.layout import LayoutConfig, check_layout
from armchair.nn.sketch import SketchConfig
from armchair.nn.unet import LevelSpec, UNetConfig

ScheduleName = Literal["cosine", "linear"]


def schedule_of(name: ScheduleName, steps: int) -> Schedule:
    """The noise levels of training."""
    return Schedule.cosine(steps) if name == "cosine" else Schedule.linear(steps)


@dataclass(frozen=True, kw_only=True)
class CaptionConfig:
    """The transformer that reads the caption (arXiv:2112.10741, section 4.1; sizes of table 3)."""

    vocab: int = 50_257  # BPE entries; the paper does not say, GLIDE has these
    length: int = 256  # places
    width: int = 2048
    depth: int = 24
    heads: int = 32

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"caption.width {self.width} is not a multiple of caption.heads {self.heads}")


@dataclass(frozen=True, kw_only=True)
class CellsConfig:
    """A U-Net that works on cells of pixels: a convolution makes them of the noisy picture, and an
    autoencoder's decoder makes pixels of what is left when their noise is taken away. Not in the paper.
    """

    channels: int = 4  # numbers of a cell
    patch: int = 4  # pixels of a cell a side
    noise: float = 0.75  # of a cell, where that of the pixels is 1
    error: float = 0.1  # of pixels, -1..1, made of clean cells: the picture, where less noisy, is believed
    pixels: PixelsConfig = field(default_factory=lambda: PixelsConfig(widths=(48, 128), depth=2, patch=2))
    groups: int = 8  # of the group norms on the way to pixels

    def __post_init__(self) -> None:
        if self.noise <= 0 or self.error < 0:
            raise ValueError(f"noise {self.noise} is above 0, and error {self.error} at least 0")

    @property
    def autoencoder(self) -> AutoencoderConfig:
        """One whose decoder has these sizes."""
        return AutoencoderConfig(
            widths=(self.groups,),
            channels=self.channels,
            patch=self.patch,
            attention=False,
            groups=self.groups,
            decoder=self.pixels,
        )


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """GLIDE's U-Net with CLIP's image embedding beside the caption (section 2.1 and table 3)."""

    image_size: int = 64  # pixels per side
    embed: int = 1024  # numbers of a CLIP embedding
    image_tokens: int = 4  # extra tokens that the embedding is projected to
    caption: CaptionConfig | None = field(default_factory=CaptionConfig)  # None: states of CLIP's text tower
    text_width: int = 1024  # of CLIP's text tower, where it reads the caption
    vocab: int = 49_408  # ids of CLIP's tokens, where there is a sketch
    sketch: SketchConfig | None = None  # shown to the U-Net where nothing is known; not in the paper
    layout: LayoutConfig | None = None  # drawn from what the sketch reads, and shown; not in the paper
    draft: DraftConfig | None = None  # painted after a layout, shown in the sketch's place; not in the paper
    levels: tuple[LevelSpec, ...] = (
        LevelSpec(width=512, depth=3),
        LevelSpec(width=1024, depth=3, attention="keys"),
        LevelSpec(width=1536, depth=3, attention="keys"),
        LevelSpec(width=2048, depth=3, attention="keys"),
    )
    pooled: bool = False  # the mean of the text's states joins the timestep, not the last; not in the paper
    cells: CellsConfig | None = None  # what the U-Net works on in place of pixels; not in the paper
    patch: int = (
        1  # squares of so many pixels, or cells, a side become channels before the first level; not in it
    )
    time_width: int = 512  # of the timestep's sinusoid
    head_width: int = 64
    resample: Literal["block", "conv"] = "block"  # by residual blocks, or by single convolutions
    groups: int = 32  # of the group norms
    dropout: float = 0.1
    qk_norm: bool = False  # RMS-normalise queries and keys: not in the paper
    places: int = 0  # octaves of the cells' coordinates that attention is told: not in the paper
    steps: int = 1000  # noise levels of training
    schedule: ScheduleName = "cosine"
    prediction: Kind = "eps"  # what the network says of a noisy picture
    learned_variance: bool = True  # of the reverse step (arXiv:2102.09672)

    unit: ClassVar[bool] = True  # CLIP's embeddings have length one

    def __post_init__(self) -> None:
        if self.prediction == "flow":
            raise ValueError("prediction flow has no place on a schedule of steps; take eps, v or x0")
        if (self.sketch is not None or self.pooled) and self.caption is not None:
            word = "pooled means" if self.sketch is None else "a sketch reads"
            raise ValueError(f"{word} the states of CLIP's text tower: caption null is needed")
        check_layout(self.layout, self.sketch, self.levels[0].width, self.patch)
        check_draft(self.draft, self.layout)
        if self.sketch is not None and self.sketch.width != self.text_width:
            raise ValueError(f"sketch has width {self.sketch.width}, and the text's states {self.text_width}")
        if self.cells is not None and self.prediction != "x0":
            raise ValueError(f"cells are made pixels of: prediction x0 is needed, not {self.prediction}")
        stride = self.unet.stride * (1 if self.cells is None else self.cells.patch)
        if self.image_size % stride:
            raise ValueError(
                f"image_size {self.image_size} is not a multiple of the coarsest level's {stride}"
            )

    @property
    def channels(self) -> int:
        """Of what the U-Net works on: pixels, or cells."""
        return 3 if self.cells is None else self.cells.channels

    @property
    def unet(self) -> UNetConfig:
        """The skeleton: pixels or cells, what is known of them for inpainting (as many numbers and the mask),
        and words. The variance is always of pixels' three colours.
        """
        return UNetConfig(
            channels_in=2 * self.channels + 1,
            channels_out=self.channels + (3 if self.learned_variance else 0),
            levels=self.levels,
            middle_attention=self.levels[-1].attention,
            patch=self.patch,
            time_width=self.time_width,
            context_width=self.context_width,
            head_width=self.head_width,
            resample=self.resample,
            groups=self.groups,
            dropout=self.dropout,
            qk_norm=self.qk_norm,
            places=self.places,
        )

    @property
    def context_width(self) -> int:
        """Of the tokens that attention reads."""
        return self.text_width if self.caption is None else self.caption.width

    @property
    def levels_of_noise(self) -> Schedule:
        return schedule_of(self.schedule, self.steps)


@dataclass(frozen=True, kw_only=True)
class ClipDecoderConfig:
    """A decoder that reads the caption through CLIP's text tower, and CLIP's embeddings as they are, of any
    length. It draws and does not inpaint. The defaults are Karlo's.
    """

    text_width: int = 768  # of CLIP's text tower
    image_size: int = 64  # pixels per side
    embed: int = 768  # numbers of a CLIP embedding
    image_tokens: int = 4  # extra tokens that the embedding is projected to
    context_width: int = 1536  # of the tokens that attention reads
    levels: tuple[LevelSpec, ...] = (
        LevelSpec(width=320, depth=3),
        LevelSpec(width=640, depth=3, attention="keys"),
        LevelSpec(width=960, depth=3, attention="keys"),
        LevelSpec(width=1280, depth=3, attention="keys"),
    )
    time_width: int = 320  # of the timestep's sinusoid
    head_width: int = 64
    groups: int = 32  # of the group norms
    steps: int = 1000  # noise levels of training
    prediction: Kind = "eps"  # what the network says of a noisy picture
    learned_variance: bool = True  # of the reverse step (arXiv:2102.09672)

    unit: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.prediction == "flow":
            raise ValueError("prediction flow has no place on a schedule of steps; take eps, v or x0")
        if self.image_size % self.unet.stride:
            raise ValueError(
                f"image_size {self.image_size} is not a multiple of the coarsest level's {self.unet.stride}"
            )

    @property
    def unet(self) -> UNetConfig:
        """The skeleton."""
        return UNetConfig(
            channels_in=3,
            channels_out=6 if self.learned_variance else 3,
            levels=self.levels,
            middle_attention=self.levels[-1].attention,
            time_width=self.time_width,
            context_width=self.context_width,
            head_width=self.head_width,
            groups=self.groups,
        )

    @property
    def levels_of_noise(self) -> Schedule:
        return Schedule.cosine(self.steps)


@dataclass(frozen=True, kw_only=True)
class PriorConfig:
    """The diffusion prior (section 2.2 and table 3). What it reads of the caption is, in the paper, tokens
    through the same transformer, as the one size of table 3 suggests; Karlo has the states of CLIP's text
    tower.
    """

    embed: int = 1024  # numbers of a CLIP embedding
    unit: bool = True  # CLIP's embeddings have length one; else they are as CLIP gives them (Karlo)
    words: Literal["tokens", "clip"] = "tokens"  # what stands for the caption's words
    vocab: int = 49_408  # ids of CLIP's tokens, where words are tokens
    text_width: int = 1024  # of CLIP's text tower, where words are its states
    length: int = 256  # places for words
    width: int = 2048
    depth: int = 24
    heads: int = 32
    qk_norm: bool = False  # RMS-normalise queries and keys: not in the paper
    steps: int = 1000  # noise levels of training
    schedule: ScheduleName = "cosine"
    hidden: Literal["learned", "empty"] = (
        "learned"  # what stands for a hidden caption: a vector, or the empty text
    )
    candidates: int = 2  # embeddings drawn, of which the one nearest to the text's is kept (section 2.2)
    limit: float | None = None  # what the numbers of the clean embedding, scaled, stay within while drawing

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        if self.candidates < 1:
            raise ValueError(f"candidates {self.candidates}: at least 1 is needed")

    @property
    def levels_of_noise(self) -> Schedule:
        return schedule_of(self.schedule, self.steps)


@dataclass(frozen=True, kw_only=True)
class ArPriorConfig:
    """The autoregressive prior (section 2.2 and table 3): codes of principal components, one after another.

    The caption enters as keys and values beside the codes' own: 256 tokens and 319 codes do not fit into the
    context of 384 that table 3 gives.
    """

    embed: int = 1024  # numbers of a CLIP embedding
    components: int = 319  # principal components that are predicted
    buckets: int = 1024  # codes of a component, and of the dot product with the text's embedding
    caption: CaptionConfig | None = field(default_factory=CaptionConfig)  # None: states of CLIP's text tower
    text_width: int = 1024  # of CLIP's text tower, where it is read
    width: int = 1664
    depth: int = 24
    heads: int = 26
    qk_norm: bool = False  # RMS-normalise queries and keys: not in the paper

    unit: ClassVar[bool] = True  # CLIP's embeddings have length one

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        if not 1 <= self.components <= self.embed:
            raise ValueError(f"components {self.components} is outside 1..embed {self.embed}")
        if self.buckets < 2:
            raise ValueError(f"buckets {self.buckets}: at least 2 are needed")

    @property
    def context_width(self) -> int:
        """Width of what is read of the caption."""
        return self.text_width if self.caption is None else self.caption.width
