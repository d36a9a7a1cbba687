"""Sizes of CLIP's two towers: those of the paper by name, DALL·E 2's, and any other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

HEAD_WIDTH = 64  # channels of an attention head, in every tower of the paper; a larger ViT may have 80


@dataclass(frozen=True, kw_only=True)
class ViTConfig:
    """An image tower that attends over square patches (arXiv:2103.00020, section 2.4)."""

    patch: int = 32  # pixels per side of a patch
    width: int = 768  # channels of the residual stream
    depth: int = 12  # blocks
    head_width: int = HEAD_WIDTH

    def __post_init__(self) -> None:
        _heads("image.width", self.width, self.head_width)

    @property
    def heads(self) -> int:
        return self.width // self.head_width


@dataclass(frozen=True, kw_only=True)
class ResNetConfig:
    """The modified ResNet (arXiv:2103.00020, section 2.4). Features are 32 * width channels wide."""

    layers: tuple[int, int, int, int] = (
        3,
        4,
        6,
        3,
    )  # bottlenecks a stage; the next stage halves the side
    width: int = 64  # channels after the stem; a stage has 4, 8, 16, 32 times as many
    norm: Literal["batch", "group"] = "batch"  # batch is the paper's; group needs no statistics of a batch
    stem_stride: Literal[2, 4] = 4  # of the stem: 4 with its average pool (the paper's), 2 without

    def __post_init__(self) -> None:
        if len(self.layers) != 4 or min(self.layers) < 1:
            raise ValueError(f"image.layers {self.layers}: four stages of one block or more")
        if self.width % 2 or self.features % HEAD_WIDTH:
            raise ValueError(f"image.width {self.width} is odd, or 32 times it no multiple of {HEAD_WIDTH}")

    @property
    def features(self) -> int:
        """Channels of the last stage."""
        return 32 * self.width

    @property
    def heads(self) -> int:
        """Heads of the attention that pools."""
        return self.features // HEAD_WIDTH

    @property
    def stride(self) -> int:
        """Pixels per cell of the last stage."""
        return 8 * self.stem_stride


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """The text tower: a causal transformer read at the end of the text (section 2.4)."""

    vocab: int = 49_408  # ids; the last two are start and end of text
    length: int = 77  # places, start and end among them
    width: int = 512
    depth: int = 12
    head_width: int = HEAD_WIDTH

    def __post_init__(self) -> None:
        _heads("text.width", self.width, self.head_width)
        if self.length < 3 or self.vocab < 3:
            raise ValueError(f"text.length {self.length} and text.vocab {self.vocab} must be 3 or more")

    @property
    def heads(self) -> int:
        return self.width // self.head_width

    @property
    def start(self) -> int:
        """Id of the start of text."""
        return self.vocab - 2

    @property
    def end(self) -> int:
        """Id of the end of text, the largest: where the tower is read."""
        return self.vocab - 1


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """Both towers. The defaults are the released ViT-B/32."""

    image_size: int = 224  # pixels per side
    embed: int = 512  # numbers of an embedding
    image: ViTConfig | ResNetConfig = field(default_factory=ViTConfig)
    text: TextConfig = field(default_factory=TextConfig)
    quick_gelu: bool = True  # x sigmoid(1.702 x) in both transformers, as in the released models; off: GELU

    def __post_init__(self) -> None:
        stride = self.image.patch if isinstance(self.image, ViTConfig) else self.image.stride
        if self.image_size % stride:
            raise ValueError(f"image_size {self.image_size} is not a multiple of {stride}")

    @property
    def grid(self) -> int:
        """Cells per side that the image tower attends over."""
        image = self.image
        return self.image_size // (image.patch if isinstance(image, ViTConfig) else image.stride)


@dataclass(frozen=True, kw_only=True)
class ClipTextConfig:
    """The text tower alone, of weights that were published without the other."""

    embed: int  # numbers of an embedding
    text: TextConfig
    quick_gelu: bool


def _heads(name: str, width: int, head_width: int) -> None:
    if head_width < 1 or width % head_width:
        raise ValueError(f"{name} {width} is not a multiple of {head_width}, the width of a head")


def _resnet(embed: int, size: int, layers: tuple[int, int, int, int], width: int, text: int) -> ClipConfig:
    image = ResNetConfig(layers=layers, width=width)
    return ClipConfig(embed=embed, image_size=size, image=image, text=TextConfig(width=text))


def _vit(embed: int, size: int, patch: int, width: int, depth: int, text: int, text_depth: int) -> ClipConfig:
    image = ViTConfig(patch=patch, width=width, depth=depth)
    return ClipConfig(
        embed=embed, image_size=size, image=image, text=TextConfig(width=text, depth=text_depth)
    )


# arXiv:2103.00020, tables 19 and 20; the last is DALL·E 2's (arXiv:2204.06125, appendix C)
VARIANTS: dict[str, ClipConfig] = {
    "RN50": _resnet(1024, 224, (3, 4, 6, 3), 64, 512),
    "RN101": _resnet(512, 224, (3, 4, 23, 3), 64, 512),
    "RN50x4": _resnet(640, 288, (4, 6, 10, 6), 80, 640),
    "RN50x16": _resnet(768, 384, (6, 8, 18, 8), 96, 768),
    "RN50x64": _resnet(1024, 448, (3, 15, 36, 10), 128, 1024),
    "ViT-B/32": _vit(512, 224, 32, 768, 12, 512, 12),
    "ViT-B/16": _vit(512, 224, 16, 768, 12, 512, 12),
    "ViT-L/14": _vit(768, 224, 14, 1024, 24, 768, 12),
    "ViT-L/14@336": _vit(768, 336, 14, 1024, 24, 768, 12),
    "ViT-H/16": _vit(1024, 256, 16, 1280, 32, 1024, 24),
}
