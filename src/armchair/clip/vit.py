"""CLIP's vision transformer (arXiv:2103.00020, section 2.4)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armchair.clip.config import ViTConfig
from armchair.nn.transformer import Block


class ViT(nn.Module):
    """A class token and N = grid * grid patches; the class token's last state is projected.

    B batch, S pixels a side, p a patch's, N patches, W width, E embedding.
    """

    def __init__(self, config: ViTConfig, grid: int, embed: int, quick_gelu: bool):
        super().__init__()
        self.config = config
        width = config.width
        self.patches = nn.Conv2d(3, width, config.patch, stride=config.patch, bias=False)
        self.class_embedding = nn.Parameter(torch.empty(width))
        self.position_embedding = nn.Parameter(torch.empty(1 + grid**2, width))
        self.position_embedding.no_muon = True  # type: ignore[attr-defined]
        self.norm_pre = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(
            Block(width, config.heads, quick_gelu=quick_gelu) for _ in range(config.depth)
        )
        self.norm_post = nn.LayerNorm(width)
        self.projection = nn.Parameter(torch.empty(width, embed))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """The released code draws its own embeddings and leaves the rest to torch; the blocks are drawn as
        the text tower's, which start smaller the deeper they are.
        """
        std = self.config.width**-0.5
        for p in (self.class_embedding, self.position_embedding, self.projection):
            nn.init.normal_(p, std=std)
        init_tower(self.blocks, self.config.width)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, 3, S, S) normalised -> (B, E)"""
        return self.norm_post(self.states(x)[:, 0]) @ self.projection

    def states(self, x: Tensor) -> Tensor:
        """x (B, 3, S, S) normalised -> (B, 1 + N, W), the last block's: the class token, then the patches"""
        h = self.embed(x)
        for block in self.blocks:
            h = block(h)
        return h

    def embed(self, x: Tensor, product: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """x (B, 3, S, S) -> (B, 1 + N, W), what the blocks read. product: (..., 3 p p) -> (..., W) instead of
        the patches' weights
        """
        p = self.config.patch
        cut = x.unflatten(2, (-1, p)).unflatten(4, (-1, p)).permute(0, 2, 4, 1, 3, 5)  # (B, h, w, 3, p, p)
        cut = cut.flatten(3).flatten(1, 2)  # (B, N, 3 p p)
        # a strided convolution whose windows do not overlap is a product, and its backward pass is too
        h = F.linear(cut, self.patches.weight.flatten(1)) if product is None else product(cut)  # (B, N, W)
        first = self.class_embedding.expand(len(h), 1, -1)
        return self.norm_pre(torch.cat([first, h], dim=1) + self.position_embedding)


def init_tower(blocks: nn.ModuleList, width: int) -> None:
    """Section 2.4's transformers as the released code draws them; biases start at zero."""
    added = width**-0.5 * (2 * len(blocks)) ** -0.5  # what is added to the stream
    stds = {"qkv": width**-0.5, "out": added, "mlp.0": (2 * width) ** -0.5, "mlp.2": added}
    for block in blocks:
        for name, layer in block.named_modules():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=next(s for end, s in stds.items() if name.endswith(end)))
                nn.init.zeros_(layer.bias)
