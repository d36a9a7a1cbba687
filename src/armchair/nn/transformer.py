"""The causal transformer that every system here is built on."""

import math

from torch import Tensor, nn

from armchair.nn.attention import Attention
from armchair.nn.sparse import Places


class QuickGELU(nn.Module):
    """x sigmoid(1.702 x), as OpenAI's CLIP has it"""

    def forward(self, x: Tensor) -> Tensor:
        return x * (1.702 * x).sigmoid()


class Block(nn.Module):
    """Attention, then an MLP, each added to what it read: pre-activation, as in Child et al. (1904.10509)."""

    def __init__(
        self, width: int, heads: int, *, mlp_ratio: int = 4, qk_norm: bool = False, quick_gelu: bool = False
    ):
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads, qk_norm=qk_norm)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, mlp_ratio * width),
            QuickGELU() if quick_gelu else nn.GELU(),
            nn.Linear(mlp_ratio * width, width),
        )

    def forward(self, x: Tensor, places: Places | None = None, keep: Tensor | None = None) -> Tensor:
        """x (B, L, D) -> (B, L, D); places and keep as in `Attention`"""
        x = x + self.attention(self.attention_norm(x), places, keep)
        return x + self.mlp(self.mlp_norm(x))


def init_blocks(blocks: nn.ModuleList, std: float = 0.02) -> None:
    """Normal weights, zero biases; what is added to the stream starts smaller by 1 / sqrt(2 * layers)."""
    for block in blocks:
        for name, layer in block.named_modules():
            if isinstance(layer, nn.Linear):
                added = name.endswith("out") or name == "mlp.2"
                nn.init.normal_(layer.weight, std=std / math.sqrt(2 * len(blocks)) if added else std)
                nn.init.zeros_(layer.bias)
