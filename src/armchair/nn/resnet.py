"""The residual block of ADM (arXiv:2105.05233) and GLIDE: timestep by scale and shift, resampling inside;
and that of latent diffusion (arXiv:2112.10752): timestep added or absent, resampling by itself.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armchair.nn.norm import GroupNorm
from armchair.nn.packed import Conv, pack_transposed, packs, transposed

Resample = Literal["up", "down"]
Modulation = Literal["film", "add"]  # what the timestep does to a block: scales and shifts, or is added


def conv(channels_in: int, channels_out: int, kernel: int, *, zero: bool = False) -> Conv:
    """A same-size convolution that holds its weights channels last; zero: of weights 0, so that the block
    around it starts as the identity.
    """
    layer = Conv(channels_in, channels_out, kernel)
    assert layer.bias is not None
    if zero:
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    return layer


def resampled(x: Tensor, how: Resample | None) -> Tensor:
    """x (B, C, h, w) -> twice the side by nearest neighbours, half of it by averages, or as it is"""
    match how:
        case "up":
            return F.interpolate(x, scale_factor=2.0, mode="nearest")
        case "down":
            return F.avg_pool2d(x, 2)
        case None:
            return x


class UpConv(nn.Conv2d):
    """A 3 x 3 convolution of what is resampled to twice the side by nearest neighbours.

    A cell then stands four times in what is read, so that a transposed convolution of 4 x 4 and stride 2
    gives the same with 4/9 of the products. That is how it draws on a CPU; training takes the two steps.
    """

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__(channels_in, channels_out, 3, padding=1)
        self.weight.data = self.weight.data.contiguous(memory_format=torch.channels_last)
        self._folded: tuple[tuple[int, int, bool], Tensor] | None = None  # what it was made from; 4 x 4

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, D, 2 h, 2 w)"""
        if torch.is_grad_enabled() or self.weight.requires_grad or input.device.type != "cpu":
            return super().forward(resampled(input, "up"))
        return transposed(input, self._four(input), self.bias)

    def _four(self, x: Tensor) -> Tensor:
        """(C, D, 4, 4): every number of the 3 x 3 at the four places where its cell stands; packed for x
        where that is a gain
        """
        packed = packs(self.weight, x)
        made_from = (self.weight.data_ptr(), self.weight._version, packed)
        if self._folded is None or self._folded[0] != made_from:
            w = F.pad(self.weight.float().flip(2, 3).transpose(0, 1), (1, 1, 1, 1))  # (C, D, 5, 5)
            four = w[..., 1:, 1:] + w[..., 1:, :-1] + w[..., :-1, 1:] + w[..., :-1, :-1]
            form = four.to(self.weight.dtype).contiguous(memory_format=torch.channels_last)
            self._folded = made_from, pack_transposed(form, x) if packed else form
        return self._folded[1]


class ConvResample(nn.Module):
    """Half of the side by a convolution of stride 2, or twice the side by nearest neighbours and then one."""

    def __init__(self, width: int, how: Resample, *, corner: bool = False):
        """corner: pad to the right and below alone before halving, as latent diffusion's autoencoder does"""
        super().__init__()
        self.how: Resample = how
        self.corner = corner
        self.conv: UpConv | Conv = UpConv(width, width) if how == "up" else conv(width, width, 3)

    def forward(self, x: Tensor, emb: Tensor | None = None) -> Tensor:
        """x (B, C, h, w) -> (B, C, h / 2, w / 2) or (B, C, 2 h, 2 w); emb is not used"""
        if isinstance(self.conv, UpConv):
            return self.conv(x)
        return self.conv.moved(F.pad(x, (0, 1, 0, 1)), 2, 0) if self.corner else self.conv.moved(x, 2, 1)


class ResBlock(nn.Module):
    """skip(x) + conv(SiLU(norm(conv(SiLU(norm(x)))) (1 + scale) + shift)), scale and shift from the timestep;
    or, where it is added, skip(x) + conv(SiLU(norm(conv(SiLU(norm(x))) + shift))).

    B batch, C channels in, D channels out, E width of the embedding.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        emb_width: int,
        *,
        groups: int = 32,
        dropout: float = 0.0,
        resample: Resample | None = None,
        modulation: Modulation = "film",
        eps: float = 1e-5,
    ):
        """emb_width: 0 is a block that knows of no timestep
        resample: before the first convolution and on the skip path.  eps: of the norms
        """
        super().__init__()
        self.resample: Resample | None = resample
        self.modulation: Modulation = modulation
        self.norm_in = GroupNorm(groups, channels_in, eps)
        up = resample == "up"
        self.conv_in = UpConv(channels_in, channels_out) if up else conv(channels_in, channels_out, 3)
        numbers = (2 if modulation == "film" else 1) * channels_out
        self.film = nn.Linear(emb_width, numbers) if emb_width else None
        self.norm_out = GroupNorm(groups, channels_out, eps)
        self.dropout = nn.Dropout(dropout)
        self.conv_out = conv(channels_out, channels_out, 3, zero=True)
        self.skip = conv(channels_in, channels_out, 1) if channels_in != channels_out else nn.Identity()

    def forward(self, x: Tensor, emb: Tensor | None = None) -> Tensor:
        """x (B, C, h, w), emb (B, E) after its SiLU -> (B, D, h, w), with half or twice the side where it
        resamples
        """
        h = F.silu(self.norm_in(x))
        h = self.conv_in(h if self.resample == "up" else resampled(h, self.resample))
        if self.film is None:
            h = F.silu(self.norm_out(h))
        elif self.modulation == "add":
            h = F.silu(self.norm_out(h + self.film(emb)[:, :, None, None].to(h.dtype)))
        else:
            h = self.norm_out(h)
            scale, shift = self.film(emb)[:, :, None, None].to(h.dtype).chunk(2, dim=1)  # each (B, D, 1, 1)
            h = F.silu(torch.addcmul(shift, h, 1 + scale))
        return self.skip(resampled(x, self.resample)) + self.conv_out(self.dropout(h))
