"""Convolutions whose weights lie as oneDNN reads them. It lays plain ones out anew at every call, which for
wide layers over few cells takes longer than the products (docs/log.md).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDE = 2**20  # numbers of a weight from which packing is a gain: 340 channels in and out, 3 x 3


def onednn_has(weight: Tensor) -> bool:
    """Whether oneDNN multiplies packed weights of this type on this processor."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if weight.dtype == torch.bfloat16:
        return torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return weight.dtype == torch.float32


def packs(weight: Tensor, x: Tensor) -> bool:
    """Whether a product with x (B, C, h, w) takes packed weights: large ones, drawing and not training."""
    if weight.requires_grad or weight.numel() < WIDE or x.dtype != weight.dtype or not onednn_has(weight):
        return False
    return not (torch.is_autocast_enabled("cpu") or (torch.is_grad_enabled() and x.requires_grad))


class Conv(nn.Conv2d):
    """A same-size convolution, or one of stride 2. Where it only draws, packed weights take the place of the
    plain ones; `state_dict` gives plain ones in any case.

    B batch, C channels in, D channels out.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int):
        super().__init__(channels_in, channels_out, kernel, padding=(kernel - 1) // 2)
        self.weight.data = self.weight.data.contiguous(memory_format=torch.channels_last)

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, D, h, w)"""
        return self.moved(input, 1, self.kernel_size[0] // 2)

    def moved(self, x: Tensor, stride: int, padding: int) -> Tensor:
        """The same with another stride and other zeros around x."""
        if packs(self.weight, x):
            steps, around = [stride] * 2, [padding] * 2
            if not self.weight.is_mkldnn:
                laid = torch.ops.mkldnn._reorder_convolution_weight(
                    self.weight, around, steps, [1, 1], 1, list(x.shape)
                )
                self.weight = nn.Parameter(laid, requires_grad=False)
            return torch.ops.mkldnn._convolution_pointwise(
                x, self.weight, self.bias, around, steps, [1, 1], 1, "none", [], ""
            )
        return F.conv2d(x, plain(self.weight), self.bias, stride, padding)

    def _save_to_state_dict(self, destination: dict[str, Tensor], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[f"{prefix}weight"] = plain(destination[f"{prefix}weight"])


def plain(weight: Tensor) -> Tensor:
    """A weight as it was before it was packed."""
    return weight.to_dense() if weight.is_mkldnn else weight


def transposed(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A transposed convolution of 4 x 4 and stride 2 to twice the side. weight: plain, or of
    `pack_transposed`
    """
    if not weight.is_mkldnn:
        return F.conv_transpose2d(x, weight, bias, stride=2, padding=1)
    return torch.ops.mkldnn._convolution_transpose_pointwise(
        x, weight, bias, [1, 1], [0, 0], [2, 2], [1, 1], 1, "none", [], ""
    )


def pack_transposed(weight: Tensor, x: Tensor) -> Tensor:
    """weight (C, D, 4, 4) of `transposed` over x, packed"""
    return torch.ops.mkldnn._reorder_convolution_transpose_weight(
        weight, [1, 1], [0, 0], [2, 2], [1, 1], 1, list(x.shape)
    )
