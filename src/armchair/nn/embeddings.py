"""Numbers as vectors: the timestep; and a text as one."""

import math

import torch
from torch import Tensor, nn


def sinusoid(t: Tensor, width: int, max_period: float = 10_000.0) -> Tensor:
    """t (B,) of any number type -> (B, width) float32: cosines first, then sines, as GLIDE and ADM have it

    Frequencies fall geometrically from 1 to nearly 1 / max_period.
    """
    half = width // 2
    steps = torch.arange(half, dtype=torch.float32, device=t.device) / half
    angles = t.float()[:, None] * torch.exp(-math.log(max_period) * steps)  # (B, width / 2)
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class TimeEmbedding(nn.Module):
    """Sinusoid, or a learned row a timestep, then Linear, SiLU, Linear."""

    def __init__(self, width: int, out: int, times: int = 0):
        """width: of the sinusoid, even; out: of the result; times: rows of a learned table in place of it"""
        super().__init__()
        self.width = width
        self.time_embedding = nn.Embedding(times, width) if times else None
        self.up = nn.Linear(width, out)
        self.down = nn.Linear(out, out)

    def forward(self, t: Tensor) -> Tensor:
        """t (B,) -> (B, out)"""
        table = self.time_embedding
        h = self.up((sinusoid(t, self.width) if table is None else table(t)).to(self.up.weight.dtype))
        return self.down(nn.functional.silu(h))


def mean_state(states: Tensor, keep: Tensor) -> Tensor:
    """states (B, L, W), keep (B, L) bool, False is no token -> (B, W) the mean of those that are kept"""
    shown = keep.unsqueeze(-1).to(states.dtype)
    return (states * shown).sum(dim=1) / shown.sum(dim=1)
