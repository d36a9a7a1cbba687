"""Sizes of DALL·E 1's two networks, from the paper's to ones that a laptop trains."""

from dataclasses import dataclass
from typing import Literal

Layout = Literal["start_of_image", "bos"]
Pattern = Literal["row", "column", "conv", "full"]


@dataclass(frozen=True, kw_only=True)
class DVAEConfig:
    """The discrete VAE (arXiv:2102.12092, appendix A). The defaults are the weights OpenAI released."""

    image_size: int = 256  # pixels per side
    width: int = 256  # channels of the first group; each next group doubles them
    groups: int = 4  # groups of residual blocks, a 2x pool between neighbours
    blocks: int = 2  # residual blocks per group
    vocab: int = 8192  # codebook entries
    code_width: int = 128  # channels that the decoder's codebook lookup gives

    def __post_init__(self) -> None:
        if self.image_size % self.stride:
            raise ValueError(f"image_size {self.image_size} is not a multiple of the stride {self.stride}")
        if self.width % 4:
            raise ValueError(
                f"width {self.width} is not a multiple of 4: a block's hidden width is a quarter of it"
            )

    @property
    def stride(self) -> int:
        """Pixels per code: 8 for the released model."""
        return 2 ** (self.groups - 1)

    @property
    def grid(self) -> int:
        """Codes per side: 32 for the released model."""
        return self.image_size // self.stride

    @property
    def post_gain(self) -> float:
        """What a residual path is multiplied by: 1 / layers squared, 1/64 for the released model."""
        return 1 / (self.groups * self.blocks) ** 2


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """The transformer over text and image tokens (arXiv:2102.12092, section 2.2 and appendix B).

    The defaults are the paper's 12-billion-parameter model.
    """

    text_vocab: int = 16384  # BPE entries
    image_vocab: int = 8192  # dVAE codebook entries
    text_length: int = 256  # text positions, the start of text among them
    grid: int = 32  # codes per side
    width: int = 3968  # channels of the residual stream
    depth: int = 64  # blocks, each one attention and one MLP
    heads: int = 62  # attention heads
    mlp_ratio: int = 4  # hidden width of the MLP over width
    conv_kernel: int = 11  # side of the convolutional attention pattern, odd
    patterns: tuple[Pattern, ...] | None = None  # one a layer; None: the paper's rule
    layout: Layout = "start_of_image"  # SPEC 1.6 A, or `bos` (B): pads as extra text ids
    qk_norm: bool = False  # RMS-normalise queries and keys: not in the paper, steadier at high learning rates
    text_loss: float = 1 / 8  # weight of the text's cross-entropy; the image's is the rest

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        if self.conv_kernel % 2 == 0:
            raise ValueError(f"conv_kernel {self.conv_kernel} is even: a causal kernel has a centre")
        if self.patterns is not None and len(self.patterns) != self.depth:
            raise ValueError(f"patterns names {len(self.patterns)} layers, depth is {self.depth}")

    @property
    def image_length(self) -> int:
        """Image tokens of a picture: 1024 for the paper's model."""
        return self.grid**2

    @property
    def length(self) -> int:
        """Places in the stream: 1280 for the paper's model."""
        return self.text_length + self.image_length

    @property
    def layer_patterns(self) -> tuple[Pattern, ...]:
        """One attention pattern a layer."""
        return paper_patterns(self.depth) if self.patterns is None else self.patterns


def paper_patterns(depth: int) -> tuple[Pattern, ...]:
    """Appendix B.1, layers counted from 1: the last is conv, 2, 6, 10 ... are column, the rest row."""
    return tuple(
        "conv" if i == depth else "column" if (i - 2) % 4 == 0 else "row" for i in range(1, depth + 1)
    )
