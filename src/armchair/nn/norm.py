"""Group normalisation (arXiv:1803.08494)."""

import torch
from torch import Tensor, nn


class GroupNorm(nn.GroupNorm):
    """torch's; in bfloat16 on the CPU its kernel for channels that lie last takes four times what the other
    takes, so that the picture is turned for it and back (docs/log.md).
    """

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, h, w) -> the same shape, memory format and dtype"""
        if x.dtype != torch.bfloat16 or x.device.type != "cpu" or x.is_contiguous():
            return super().forward(x)
        return super().forward(x.contiguous()).contiguous(memory_format=torch.channels_last)
