"""The towers without autograd: packed weights, fused additions, and of the last block only the place that is
read.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armchair.clip.preprocess import MEAN, STD
from armchair.clip.text import TextTower, by_length
from armchair.clip.vit import ViT
from armchair.nn.attention import attend
from armchair.nn.packed import onednn_has
from armchair.nn.transformer import Block, QuickGELU

QUICK = 1.702  # x sigmoid(1.702 x) = swish(1.702 x) / 1.702, and oneDNN has a product that ends in swish
AFTER = {"none": lambda y: y, "gelu": F.gelu, "swish": F.silu}


class Product:
    """x W^T + b, an activation, and what is added to it; the weights are laid out for oneDNN where it has a
    product of their type.
    """

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype, after: str = "none"):
        """weight (out, in), bias (out,)"""
        self.weight, self.bias = (p.detach().to(dtype).contiguous() for p in (weight, bias))
        self.after = after
        self.packed = onednn_has(self.weight)
        if self.packed:
            self.weight = torch.ops.mkldnn._reorder_linear_weight(self.weight, None)

    def __call__(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        """x (..., in), added (..., out) -> (..., out); nothing is added behind an activation"""
        if not self.packed:
            y = AFTER[self.after](F.linear(x, self.weight, self.bias))
            return y if added is None else y + added
        if added is None:
            return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, self.after, [], "none")
        return torch.ops.mkldnn._linear_pointwise.binary(x, added, self.weight, self.bias, "add")


class Norm:
    """Layer norm in fp32, whatever the type of its input and output."""

    def __init__(self, norm: nn.LayerNorm):
        self.shape, self.eps = norm.normalized_shape, norm.eps
        self.weight, self.bias = norm.weight.detach().float(), norm.bias.detach().float()

    def __call__(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu":  # where the mean and the spread are fp32 in any case
            return torch.layer_norm(x, self.shape, self.weight, self.bias, self.eps)
        return torch.layer_norm(x.float(), self.shape, self.weight, self.bias, self.eps).to(x.dtype)


class FastBlock:
    """One `Block`. B batch, L places, W width, h heads."""

    def __init__(self, block: Block, dtype: torch.dtype, last: bool):
        """last: `read` will be asked of it"""
        a = block.attention
        up, act, down = block.mlp
        assert not a.qk_norm and isinstance(up, nn.Linear) and isinstance(down, nn.Linear)
        quick = QUICK if isinstance(act, QuickGELU) else 1.0
        width = a.out.in_features
        self.heads = a.heads
        self.attention_norm, self.mlp_norm = Norm(block.attention_norm), Norm(block.mlp_norm)
        # the last block asks for one place only, and so apart
        cuts = (width, 2 * width) if last else (3 * width,)
        parts = zip(a.qkv.weight.split(cuts), a.qkv.bias.split(cuts), strict=True)
        self.qkv = [Product(weight, bias, dtype) for weight, bias in parts]
        self.out = Product(a.out.weight, a.out.bias, dtype)
        self.up = Product(up.weight * quick, up.bias * quick, dtype, "gelu" if quick == 1.0 else "swish")
        self.down = Product(down.weight / quick, down.bias, dtype)

    def __call__(self, x: Tensor, causal: bool) -> Tensor:
        """x (B, L, W) -> (B, L, W)"""
        h = self.attention_norm(x)
        qkv = torch.cat([product(h) for product in self.qkv], dim=-1) if len(self.qkv) > 1 else self.qkv[0](h)
        q, k, v = qkv.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # each (B, h, L, W / h)
        return self._rest(x, attend(q, k, v, causal=causal))

    def read(self, x: Tensor, places: Tensor, causal: bool) -> Tensor:
        """x (B, L, W), places (B,) -> (B, W): what a `last` block makes of one place of each row"""
        h = self.attention_norm(x)
        rows = torch.arange(len(x), device=x.device)
        to_q, to_kv = self.qkv
        q = to_q(h[rows, places]).unflatten(-1, (self.heads, 1, -1))  # (B, h, 1, W / h)
        k, v = to_kv(h).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)  # each (B, h, L, W / h)
        look = torch.arange(x.shape[1], device=x.device) <= places[:, None, None, None] if causal else None
        return self._rest(x[rows, places].unsqueeze(1), attend(q, k, v, mask=look)).squeeze(1)

    def _rest(self, x: Tensor, h: Tensor) -> Tensor:
        """x (B, n, W) the stream, h (B, h, n, W / h) what attention read -> (B, n, W)"""
        x = self.out(h.transpose(1, 2).flatten(2), x)
        return self.down(self.up(self.mlp_norm(x)), x)


class FastViT:
    """An image tower; its blocks move in here, the rest is read from it. Letters as in `ViT`."""

    def __init__(self, tower: ViT, dtype: torch.dtype):
        self.tower, self.dtype = tower, dtype
        weight = tower.patches.weight.detach()  # (W, 3, p, p)
        mean, std = (weight.new_tensor(values).view(3, 1, 1) for values in (MEAN, STD))
        bias = -(weight * (mean / std)).sum(dim=(1, 2, 3))
        self.patches = Product((weight / std).flatten(1), bias, dtype)  # of pictures in 0..1
        self.blocks = taken(tower, dtype)

    def __call__(self, image: Tensor) -> Tensor:
        """image (B, 3, S, S) in 0..1 -> (B, E) float32, not normalised"""
        tower = self.tower
        x = tower.embed(image.to(self.dtype), self.patches).to(self.dtype)
        first = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        for block in self.blocks[:-1]:
            x = block(x, causal=False)
        return tower.norm_post(self.blocks[-1].read(x, first, causal=False).float()) @ tower.projection


class FastText:
    """A text tower; its blocks move in here, the rest is read from it. Letters as in `TextTower`."""

    def __init__(self, tower: TextTower, dtype: torch.dtype):
        self.tower, self.dtype = tower, dtype
        self.blocks = taken(tower, dtype)

    def __call__(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """tokens (B, L) -> text_emb (B, E), text_seq (B, L, W), both float32"""
        x = self.tower.embed(tokens).to(self.dtype)
        for block in self.blocks:
            x = block(x, causal=True)
        return self.tower.read(self.tower.norm(x.float()), tokens)

    def pooled(self, tokens: Tensor) -> Tensor:
        """tokens (B, L) -> text_emb (B, E) float32 alone"""
        return by_length(tokens, self._pooled)

    def _pooled(self, tokens: Tensor) -> Tensor:
        x = self.tower.embed(tokens).to(self.dtype)
        for block in self.blocks[:-1]:
            x = block(x, causal=True)
        last = self.blocks[-1].read(x, tokens.argmax(dim=1), causal=True)
        return self.tower.norm(last.float()) @ self.tower.projection


def taken(tower: ViT | TextTower, dtype: torch.dtype) -> list[FastBlock]:
    """The tower's blocks, packed, of which it keeps none: one copy of the weights is enough."""
    last = len(tower.blocks) - 1
    found = [FastBlock(cast(Block, block), dtype, i == last) for i, block in enumerate(tower.blocks)]
    tower.blocks = nn.ModuleList()
    return found
