"""Sizes of the upsamplers: DALL·E 2's two (arXiv:2204.06125, table 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from armchair.core.errors import BadInput
from armchair.diffusion.prediction import Kind
from armchair.diffusion.schedule import Schedule
from armchair.nn.unet import LevelSpec, UNetConfig


@dataclass(frozen=True, kw_only=True)
class UpsamplerConfig:
    """A U-Net over the noisy picture and the enlarged small one, and the diffusion that it takes part in."""

    unet: UNetConfig
    low: int = 64  # pixels per side of what it is given; other sizes are enlarged by as much
    size: int = 256  # pixels per side of what it gives
    schedule: Literal["cosine", "linear"] = "cosine"
    times: int = 1000  # time steps of training; 1: the mean of all pictures that could be, in one step
    predicts: Kind = "eps"
    residual: float = 0.0  # above 0: the noisy sample is (picture - enlarged) / residual. 0: the picture
    steps: str = "27"  # where none are given, a word of Schedule.respace
    sampler: Literal["ddim", "ddpm"] = "ddim"
    kernel: Literal["bicubic", "smooth"] = "bicubic"  # smooth: bicubic with -0.5 in place of -0.75 (Karlo)
    rounded: bool = True  # the small picture is rounded to 8 bits first, as in GLIDE
    last: bool = False  # a network of its own for the last step (Karlo)

    def __post_init__(self) -> None:
        if self.low < 1 or self.size % self.low:
            raise BadInput(f"size {self.size} is not a multiple of low {self.low}")
        if self.size % self.unet.stride:
            raise BadInput(f"size {self.size} is not a multiple of the U-Net's stride {self.unet.stride}")
        if (self.unet.channels_in, self.unet.channels_out) != (6, 3):
            raise BadInput(
                f"the U-Net has {self.unet.channels_in} channels in and {self.unet.channels_out} out; two "
                "pictures go in and one comes out: 6 and 3"
            )
        if self.residual < 0:
            raise BadInput(f"residual {self.residual}: 0 (off) or the spread of what enlarging lacks")
        if self.predicts == "flow":
            raise BadInput("predicts='flow': the time steps here are a schedule's; eps, x0 or v")
        self.levels().respace(self.steps)

    @property
    def factor(self) -> int:
        """How much larger a side becomes: 4."""
        return self.size // self.low

    def levels(self) -> Schedule:
        """The noise levels of training."""
        make = Schedule.cosine if self.schedule == "cosine" else Schedule.linear
        return make(self.times)


def adm(width: int, multiples: Sequence[int], depth: int, dropout: float = 0.0) -> UNetConfig:
    """ADM's U-Net (arXiv:2105.05233) without any attention, one level a multiple of the width."""
    return UNetConfig(
        channels_in=6,
        channels_out=3,
        levels=tuple(LevelSpec(width=width * multiple, depth=depth) for multiple in multiples),
        time_width=width,
        dropout=dropout,
    )


PAPER_256 = UpsamplerConfig(
    unet=adm(320, (1, 2, 3, 4), 3, dropout=0.1), low=64, size=256, schedule="cosine", steps="10,10,3,2,2"
)
PAPER_1024 = UpsamplerConfig(
    unet=adm(192, (1, 1, 2, 2, 4, 4), 2), low=256, size=1024, schedule="linear", steps="15"
)
