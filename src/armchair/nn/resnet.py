"""The residual block of ADM (arXiv:2105.05233) and GLIDE: timestep by scale and shift, resampling inside."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Resample = Literal["up", "down"]


def conv(channels_in: int, channels_out: int, kernel: int, *, zero: bool = False) -> nn.Conv2d:
    """A same-size convolution that holds its weights channels last; zero: of weights 0, so that the block
    around it starts as the identity.
    """
    layer = nn.Conv2d(channels_in, channels_out, kernel, padding=(kernel - 1) // 2)
    assert layer.bias is not None
    if zero:
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
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


class ResBlock(nn.Module):
    """skip(x) + conv(SiLU(norm(conv(SiLU(norm(x)))) (1 + scale) + shift)), scale and shift from the timestep.

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
    ):
        """resample: before the first convolution and on the skip path"""
        super().__init__()
        self.resample: Resample | None = resample
        self.norm_in = nn.GroupNorm(groups, channels_in)
        self.conv_in = conv(channels_in, channels_out, 3)
        self.film = nn.Linear(emb_width, 2 * channels_out)
        self.norm_out = nn.GroupNorm(groups, channels_out)
        self.dropout = nn.Dropout(dropout)
        self.conv_out = conv(channels_out, channels_out, 3, zero=True)
        self.skip = conv(channels_in, channels_out, 1) if channels_in != channels_out else nn.Identity()

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """x (B, C, h, w), emb (B, E) after its SiLU -> (B, D, h, w), with half or twice the side where it
        resamples
        """
        h = resampled(F.silu(self.norm_in(x)), self.resample)
        h = self.norm_out(self.conv_in(h))
        scale, shift = self.film(emb)[:, :, None, None].to(h.dtype).chunk(2, dim=1)  # each (B, D, 1, 1)
        h = F.silu(torch.addcmul(shift, h, 1 + scale))
        return self.skip(resampled(x, self.resample)) + self.conv_out(self.dropout(h))
