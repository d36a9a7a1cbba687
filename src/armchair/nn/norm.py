"""Group normalisation (arXiv:1803.08494)."""

import torch
from torch import Tensor, nn

CELLS = 1024  # of a picture, from which torch has a faster kernel for channels that lie last


class GroupNorm(nn.GroupNorm):
    """torch's; in bfloat16 on the CPU its kernels for channels that lie last take four times what the other
    takes, so that the picture is turned for it and back: all but that for large pictures without gradients,
    which is eight times as fast (docs/log.md).
    """

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, h, w) -> the same shape, memory format and dtype"""
        if x.dtype != torch.bfloat16 or x.device.type != "cpu" or x.is_contiguous():
            return super().forward(x)
        if not torch.is_grad_enabled() and x[0, 0].numel() >= CELLS:
            return super().forward(x)
        return super().forward(x.contiguous()).contiguous(memory_format=torch.channels_last)
