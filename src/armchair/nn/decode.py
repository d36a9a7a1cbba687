"""One place at a time through trained blocks: packed weights, cached keys, nothing that autograd needs.

A row is one image (twice over under guidance). A row's result must not depend on how many rows are computed
beside it, or the same seed would give another picture in a batch: matrix products of different heights differ in
the last bits. So every product that rows share runs on a multiple of ROWS rows, padded with zeros, by a kernel
that was seen to give each row the same bits at any such height, and otherwise on ROWS rows at a time.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armchair.nn.attention import Places, conv_offsets
from armchair.nn.transformer import Block

# Rows of the smallest product. oneDNN reads packed fp32 weights at 13 GB/s for 1 row, 16 for 4, 13 for 8, on one
# core with 25 to read from; `x @ W` reads them at 20 (wide W) or 10 (narrow) for 1 row, 9 or 6 for 4.
ROWS = 4

Cells = TypeVar("Cells", int, Tensor)  # one cell's number, or those of many


def padded(rows: int) -> int:
    """The next multiple of ROWS."""
    return -(-rows // ROWS) * ROWS


class PackedLinear:
    """x W^T + b, then GELU where asked, with the weights laid out for few rows."""

    def __init__(self, layer: nn.Linear, *, scale: Tensor | None = None, gelu: bool = False):
        """scale: (out,) factors on the outputs, folded into the weights"""
        weight, bias = layer.weight.detach(), layer.bias.detach()
        if scale is not None:
            weight, bias = weight * scale.unsqueeze(1).to(weight.dtype), bias * scale.to(bias.dtype)
        self.dtype = weight.dtype
        self.bias = bias
        self.gelu = gelu
        self.onednn = _onednn(weight)
        self.weight = (
            torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), ROWS) if self.onednn else weight
        )
        self.steady = weight.device.type != "cpu" or self._rows_agree(weight.shape[1])

    def __call__(self, x: Tensor) -> Tensor:
        """x (R, in), R a multiple of ROWS -> (R, out)"""
        x = x.to(self.dtype)
        if self.steady or len(x) == ROWS:
            return self.product(x)
        return torch.cat([self.product(part) for part in x.split(ROWS)])

    def product(self, x: Tensor) -> Tensor:
        """x (..., in) of the weights' dtype -> (..., out), by the fastest kernel for that height"""
        if self.onednn:
            return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, _GELU[self.gelu], [], "none")
        y = F.linear(x, self.weight, self.bias)
        return F.gelu(y) if self.gelu else y

    def _rows_agree(self, width: int) -> bool:
        """Whether a tall product gives each row the bits of a product of ROWS rows."""
        x = torch.linspace(-1, 1, 6 * ROWS * width).sin().view(-1, width).to(self.dtype)
        apart = torch.cat([self.product(part) for part in x.split(ROWS)])
        return all(torch.equal(self.product(x[: n * ROWS]), apart[: n * ROWS]) for n in (2, 3, 4, 6))


_GELU = {False: "none", True: "gelu"}


def _onednn(weight: Tensor) -> bool:
    """Whether oneDNN has a packed product for these weights on this machine."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if weight.dtype == torch.bfloat16:
        return torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return weight.dtype == torch.float32


class PackedNorm:
    """Layer norm in fp32."""

    def __init__(self, norm: nn.LayerNorm):
        self.shape, self.eps = norm.normalized_shape, norm.eps
        self.weight, self.bias = norm.weight.detach().float(), norm.bias.detach().float()

    def __call__(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.shape, self.weight, self.bias, self.eps)


class PackedBlock:
    """One `Block`, ready to be run over a prefix and then place by place.

    G texts (2 under guidance), B images of each, L places, R = padded(G * B) rows, D width, h heads, d head width.
    """

    def __init__(self, block: Block):
        a = block.attention
        width = a.out.in_features
        self.heads = a.heads
        scale = torch.ones(3, width, device=a.out.weight.device)
        self.qk_gain: Tensor | None = None
        if isinstance(a.q_norm, nn.RMSNorm) and isinstance(a.k_norm, nn.RMSNorm):
            gain = torch.stack([a.q_norm.weight.detach(), a.k_norm.weight.detach()]).float()
            gain[0] *= gain.shape[1] ** -0.5
            self.qk_gain = gain.view(2, 1, 1, 1, -1)
            self.qk_eps = a.q_norm.eps
        else:
            scale[0] = (width // a.heads) ** -0.5
        self.attention_norm, self.mlp_norm = PackedNorm(block.attention_norm), PackedNorm(block.mlp_norm)
        self.qkv = PackedLinear(a.qkv, scale=scale.flatten())
        self.out = PackedLinear(a.out)
        up, _, down = block.mlp
        self.up, self.down = PackedLinear(up, gelu=True), PackedLinear(down)

    def prefill(self, x: Tensor, look: Tensor) -> tuple[Tensor, Tensor]:
        """x (G, L, D), look (L, L) bool -> x after the block, and keys and values (2, G, h, L, d), all fp32"""
        q, k, v = self._split(self.qkv.product(self.attention_norm(x).to(self.qkv.dtype)))
        h = F.scaled_dot_product_attention(q, k, v, attn_mask=look, scale=1.0)
        h = h.transpose(1, 2).flatten(2).to(self.out.dtype)
        x = x + self.out.product(h).float()
        x = x + self.down.product(self.up.product(self.mlp_norm(x).to(self.up.dtype))).float()
        return x, torch.stack([k, v])

    def step(self, x: Tensor, cache: LayerCache, cell: int) -> Tensor:
        """x (R, D) one place of every row, which is cell number `cell` of its grid -> (R, D)"""
        G, B = cache.texts, cache.images
        q, k, v = self._split(self.qkv(self.attention_norm(x))[: G * B].view(G, B, -1))  # each (G, h, B, d)
        cache.put(cell, k, v)
        h = torch.zeros_like(x)
        h[: G * B].view(G, B, self.heads, -1).copy_(cache.read(cell, q).transpose(1, 2))
        x = x + self.out(h)
        return x + self.down(self.up(self.mlp_norm(x)))

    def _split(self, qkv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(G, L, 3 D) -> q scaled, k, v, each (G, h, L, d) fp32"""
        qkv = qkv.float().unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if self.qk_gain is None:
            q, k, v = qkv
        else:
            q, k = F.rms_norm(qkv[:2], qkv.shape[-1:], eps=self.qk_eps) * self.qk_gain
            v = qkv[2]
        return q, k, v


class LayerCache:
    """Keys and values of one layer: the prefix's, shared by the images of a text, and each image's own cells'.

    Only cells that a later one may look at are kept, and only those a cell may look at are read. T prefix places, S
    cells kept; the other letters as in `PackedBlock`.
    """

    def __init__(self, places: Places, before: Tensor, images: int):
        """places: the pattern over all cells; before: keys and values (2, G, h, T + n, d) of the prefix and of n
        cells that all images share"""
        self.texts, self.images, self.prefix = before.shape[1], images, places.prefix
        self.window = Window(places)
        prefix, shared = before[:, :, :, : self.prefix], before[:, :, :, self.prefix :]
        self.prefix_k = prefix[0].flatten(0, 1).mT.contiguous()  # (G h, d, T)
        self.prefix_v = prefix[1].flatten(0, 1).contiguous()  # (G h, T, d)
        self.cells = before.new_zeros(*before.shape[:3], images, self.window.size, before.shape[-1])
        n = shared.shape[3]
        kept = torch.arange(n)[-self.window.size :]
        self.cells[:, :, :, :, self.window.slot(kept)] = shared[:, :, :, None, n - len(kept) :]

    def put(self, cell: int, k: Tensor, v: Tensor) -> None:
        """k, v (G, h, B, d) of one cell"""
        slot = self.window.slot(cell)
        self.cells[0, :, :, :, slot] = k
        self.cells[1, :, :, :, slot] = v

    def read(self, cell: int, q: Tensor) -> Tensor:
        """q (G, h, B, d) scaled -> what it reads (G, h, B, d)"""
        T, B, R = self.prefix, self.images, padded(self.images)
        seen = self.window.seen(cell)
        k, v = self.cells[..., seen, :].flatten(1, 3)  # (G h B, s, d)
        text = _tall(F.pad(q, (0, 0, 0, R - B)).flatten(0, 1), self.prefix_k)  # (G h, R, T)
        own = torch.bmm(q.reshape(-1, 1, q.shape[-1]), k.mT)  # (G h B, 1, s)
        scores = [text.view(*q.shape[:2], R, T)[:, :, :B], own.view(*q.shape[:3], -1)]
        weights = torch.cat(scores, dim=-1).softmax(-1)  # (G, h, B, T + s)
        text = F.pad(weights[..., :T], (0, 0, 0, R - B)).flatten(0, 1)  # (G h, R, T)
        text = _tall(text, self.prefix_v).view(*q.shape[:2], R, -1)[:, :, :B]
        return torch.baddbmm(
            text.reshape(-1, 1, q.shape[-1]), weights[..., T:].flatten(0, 2).unsqueeze(1), v
        ).view_as(q)


def _tall(a: Tensor, b: Tensor) -> Tensor:
    """(N, R, K) @ (N, K, M), ROWS rows at a time"""
    if a.shape[1] == ROWS:
        return torch.bmm(a, b)
    return torch.cat([torch.bmm(part, b) for part in a.split(ROWS, dim=1)], dim=1)


class Window:
    """Where a pattern's cells are kept, and which of them a cell may look at: itself and those before it."""

    def __init__(self, places: Places):
        self.pattern, self.grid = places.pattern, places.grid
        self.rows = places.size // places.grid
        if self.pattern == "row":
            self.size = self.grid + 1
        elif self.pattern == "conv":
            self.offsets = conv_offsets(self.grid, places.kernel)
            self.size = int(self.offsets[-1]) + 1
        else:
            self.size = places.size

    def slot(self, cell: Cells) -> Cells:
        """Where a cell lies among the `size` that are kept"""
        if self.pattern == "column":
            return cell % self.grid * self.rows + cell // self.grid
        return cell % self.size

    def seen(self, cell: int) -> slice | Tensor:
        """The slots that a cell reads, its own among them"""
        if self.pattern == "column":
            start = cell % self.grid * self.rows
            return slice(start, start + cell // self.grid + 1)
        if self.pattern == "conv":
            past = int(torch.searchsorted(self.offsets, cell, right=True))  # offsets that do not point before cell 0
            return (cell - self.offsets[:past]) % self.size
        return slice(0, min(cell + 1, self.size))
