"""One place at a time through trained blocks: packed weights, cached keys, nothing that autograd needs.

A row is one image (one more under guidance). A row's result must not depend on how many rows are computed
beside it, or the same seed would give another picture in a batch: products of different heights differ in
their last bits. So every product that rows share runs at heights that were seen to give a row the same bits,
and in parts where they do not.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armchair.nn.attention import attend
from armchair.nn.sparse import Places, conv_offsets
from armchair.nn.transformer import Block, QuickGELU

# Rows of the smallest product with weights in full precision. On a core that reads 25 GB/s, oneDNN reads
# packed fp32 weights at 13 GB/s for 1 row, 16 for 4, 13 for 8; `x @ W` reads them at 20 (wide W) or 10
# (narrow) for 1 row, at 9 or 6 for 4.
ROWS = 4


def padded(rows: int, multiple: int = ROWS) -> int:
    """The next multiple"""
    return -(-rows // multiple) * multiple


def rows_agree(
    product: Callable[[Tensor], Tensor], width: int, dtype: torch.dtype, base: int, heights: Sequence[int]
) -> bool:
    """Whether a product (R, width) -> (..., R, out) gives rows the bits that they have base by base."""
    x = torch.linspace(-1, 1, max(heights) * width).sin().view(-1, width).to(dtype)
    apart = torch.cat([product(part) for part in x.split(base)], dim=-2)
    return all(torch.equal(product(x[:n]), apart[..., :n, :]) for n in heights)


def halves(weight: Tensor) -> tuple[Tensor, Tensor | None] | None:
    """weight (out, in) fp32 -> numbers that half precision holds, and a factor for each output (out,), None
    for 1: their product is the weight to the bit. The weights of int8 and float16 bundles are such products;
    None for others.
    """
    if torch.equal(weight.half().float(), weight):
        return weight, None
    scale = (weight.abs().amax(1, keepdim=True) / 127).half().float()  # as core.packing has it
    q = (weight / scale.clamp_min(torch.finfo(torch.float16).tiny / 1024)).round_()
    return (q, scale.squeeze(1)) if torch.equal(q * scale, weight) else None


class PackedLinear:
    """x W^T + b, then GELU where asked, with the weights laid out for few rows.

    Weights that `halves` takes apart are read in 16 bits and multiplied in fp32 by FBGEMM, one input after
    another at any height: twice as fast as fp32 ones. The others take rows by multiples of ROWS.
    """

    def __init__(self, layer: nn.Linear, *, scale: Tensor | None = None, gelu: bool = False):
        """scale: (out,) factors on the outputs"""
        weight, bias = layer.weight.detach(), layer.bias.detach()
        self.inputs, self.dtype, self.device = layer.in_features, weight.dtype, weight.device
        self.gelu = "gelu" if gelu else "none"
        self.onednn = self.fbgemm = self.factor = None
        self.multiple = ROWS
        parts = halves(weight) if _fbgemm_packs(weight) else None
        if parts is not None:
            weight, self.factor = parts
            if scale is not None:
                self.factor = scale if self.factor is None else scale * self.factor
                bias = bias * scale
            self.fbgemm = torch.ops.quantized.linear_dynamic_fp16.default
            self.multiple = 1
            weight = torch.ops.quantized.linear_prepack_fp16(weight, bias if self.factor is None else None)
        else:
            if scale is not None:
                weight, bias = weight * scale.unsqueeze(1).to(weight.dtype), bias * scale.to(bias.dtype)
            if _onednn_packs(weight):
                weight = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), ROWS)
                self.onednn = torch.ops.mkldnn._linear_pointwise.default
        self.weight, self.bias = weight, bias

    @cached_property
    def steady(self) -> bool:
        """Whether a row's result has the same bits at any height. Measured when more than the least come."""
        heights = [self.multiple * n for n in (2, 3, 4, 6, 15)]
        return self.device.type != "cpu" or rows_agree(
            self.product, self.inputs, self.dtype, self.multiple, heights
        )

    def __call__(self, x: Tensor) -> Tensor:
        """x (R, in), R a multiple of `multiple` -> (R, out)"""
        if x.dtype != self.dtype:
            x = x.to(self.dtype)
        if len(x) == self.multiple or self.steady:
            return self.product(x)
        return torch.cat([self.product(part) for part in x.split(self.multiple)])

    def product(self, x: Tensor) -> Tensor:
        """x (..., in) of the weights' dtype -> (..., out), by the fastest kernel for that height"""
        if self.onednn is not None:
            return self.onednn(x, self.weight, self.bias, self.gelu, [], "none")
        if self.fbgemm is not None:
            y = self.fbgemm(x, self.weight)
            if self.factor is not None:
                y = torch.addcmul(self.bias, y, self.factor)
        else:
            y = F.linear(x, self.weight, self.bias)
        return F.gelu(y) if self.gelu == "gelu" else y


def _fbgemm_packs(weight: Tensor) -> bool:
    """Whether FBGEMM has a product of fp32 rows and half-precision weights on this machine."""
    engine = torch.backends.quantized.engine in ("x86", "fbgemm")
    return weight.device.type == "cpu" and weight.dtype == torch.float32 and engine


def _onednn_packs(weight: Tensor) -> bool:
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
        return torch.layer_norm(x, self.shape, self.weight, self.bias, self.eps)


class PackedBlock:
    """One `Block`, ready to be run over a prefix and then place by place.

    G texts (2 under guidance), L places, R rows: the images of the first text, those of the second; P of
    them with the idle ones that make up a multiple of `multiple`. D width, h heads, d head width.
    """

    def __init__(self, block: Block):
        a = block.attention
        width = a.out.in_features
        self.heads = a.heads
        scale = torch.ones(3, width, device=a.out.weight.device)
        self.qk_gain: Tensor | None = None
        if isinstance(a.q_norm, nn.RMSNorm) and isinstance(a.k_norm, nn.RMSNorm):
            gain = torch.stack([a.q_norm.weight.detach(), a.k_norm.weight.detach()]).float()  # (2, d)
            gain[0] *= gain.shape[1] ** -0.5
            self.qk_gain, self.qk_eps = gain, a.q_norm.eps
        else:
            scale[0] = (width // a.heads) ** -0.5
        self.attention_norm, self.mlp_norm = PackedNorm(block.attention_norm), PackedNorm(block.mlp_norm)
        self.qkv = PackedLinear(a.qkv, scale=scale.flatten())
        self.out = PackedLinear(a.out)
        up, down = cast(nn.Linear, block.mlp[0]), cast(nn.Linear, block.mlp[2])
        self.quick = QuickGELU() if isinstance(block.mlp[1], QuickGELU) else None
        self.up, self.down = PackedLinear(up, gelu=self.quick is None), PackedLinear(down)
        self.multiple = max(layer.multiple for layer in (self.qkv, self.out, self.up, self.down))

    def prefill(self, x: Tensor, look: Tensor) -> tuple[Tensor, Tensor]:
        """x (G, L, D), look (L, L) bool -> x after the block, its keys and values (2, G, h, L, d), in fp32"""
        qkv = self.qkv.product(self.attention_norm(x).to(self.qkv.dtype)).unflatten(-1, (3, self.heads, -1))
        q, k, v = self._scaled(qkv.permute(2, 0, 3, 1, 4).float())  # each (G, h, L, d)
        h = attend(q, k, v, mask=look, scale=1.0)
        x = x + self.out.product(h.transpose(1, 2).flatten(2).to(self.out.dtype)).float()
        up = self.up.product(self.mlp_norm(x).to(self.up.dtype))
        x = x + self.down.product(up if self.quick is None else self.quick(up)).float()
        return x, torch.stack([k, v])

    def step(self, x: Tensor, cache: LayerCache, cell: int) -> Tensor:
        """x (P, D) one place of every row, which is cell number `cell` of its grid -> (P, D)"""
        rows, idle = cache.rows, len(x) - cache.rows
        qkv = self.qkv(self.attention_norm(x))[:rows].view(rows, 3, self.heads, -1)
        qkv = self._scaled(qkv.permute(1, 2, 0, 3).contiguous().float())  # (3, h, R, d)
        h = cache.step(cell, qkv[0], qkv[1:]).transpose(0, 1).reshape(rows, -1)
        x = x + self.out(F.pad(h, (0, 0, 0, idle)) if idle else h)
        up = self.up(self.mlp_norm(x))
        return x + self.down(up if self.quick is None else self.quick(up))

    def _scaled(self, qkv: Tensor) -> Tensor:
        """qkv (3, ..., d), with queries and keys normalised where the block does so"""
        if self.qk_gain is None:
            return qkv
        gain = self.qk_gain.view(2, *[1] * (qkv.ndim - 2), -1)
        return torch.cat([F.rms_norm(qkv[:2], qkv.shape[-1:], eps=self.qk_eps) * gain, qkv[2:]])


class LayerCache:
    """Keys and values of one layer: the prefix's, shared by the images of a text, and each row's own cells'.

    Only cells that a later one may look at are kept, and only those a cell may look at are read. T prefix
    places, S cells kept; the other letters as in `PackedBlock`.
    """

    def __init__(self, places: Places, before: Tensor, images: int | Sequence[int]):
        """places: the pattern over all cells; images: of each text, one number where they have as many
        before: keys and values (2, G, h, T + n, d) of the prefix and of n cells that all images share
        """
        _, texts, heads, _, d = before.shape
        counts = [images] * texts if isinstance(images, int) else list(images)
        self.rows = rows = sum(counts)
        self.prefix = T = places.prefix
        self.prefix_k = before[0, :, :, :T].contiguous()  # (G, h, T, d)
        self.prefix_v = before[1, :, :, :T].mT.contiguous()  # (G, h, d, T)
        most = max(counts)
        if most > 1 and before.device.type == "cpu":
            most = min(most, shared_rows(heads, T, d), shared_rows(heads, d, T))
        spans = [(g, sum(counts[:g]), sum(counts[: g + 1])) for g in range(texts)]
        # which text, and which of its rows at a time
        self.parts = [
            (g, slice(start, min(start + most, end)))
            for g, first, end in spans
            for start in range(first, end, most)
        ]
        self.window = Window(places)
        self.cells = before.new_zeros(self.window.size, 2, heads, rows, d)
        self.slots = self.cells.unbind(0)
        n = before.shape[3] - T
        for cell in range(max(0, n - self.window.size), n):
            for g, first, end in spans:
                own = self.slots[self.window.slot(cell)][:, :, first:end]
                own[:] = before[:, g, :, T + cell].unsqueeze(2)

    def step(self, cell: int, q: Tensor, kv: Tensor) -> Tensor:
        """Keep a cell's keys and values kv (2, h, R, d); what its queries q (h, R, d) read -> (h, R, d)"""
        T, (heads, rows, d) = self.prefix, q.shape
        self.slots[self.window.slot(cell)].copy_(kv)
        seen = self.window.seen(cell)
        cells = self.cells[seen] if isinstance(seen, slice) else self.cells.index_select(0, seen)
        k, v = cells.flatten(2, 3).unbind(1)  # (s, h R, d)
        own = torch.bmm(q.view(-1, 1, d), k.permute(1, 2, 0)).view(heads, rows, -1)  # (h, R, s)
        weights = torch.cat([self._shared(q, self.prefix_k), own], dim=-1).softmax(-1)  # (h, R, T + s)
        text = self._shared(weights[..., :T], self.prefix_v)  # (h, R, d)
        own = weights[..., T:].flatten(0, 1).unsqueeze(1)  # (h R, 1, s)
        return torch.baddbmm(text.reshape(-1, 1, d), own, v.transpose(0, 1)).view(heads, rows, d)

    def _shared(self, x: Tensor, by: Tensor) -> Tensor:
        """x (h, R, a), by (G, h, b, a) -> (h, R, b): each row by what belongs to its text"""
        read = [torch.bmm(by[g], x[:, part].mT).mT for g, part in self.parts]
        return read[0] if len(read) == 1 else torch.cat(read, dim=1)


@lru_cache(maxsize=64)
def shared_rows(heads: int, a: int, b: int) -> int:
    """How many rows of a text may be multiplied by its (h, a, b) at a time on a CPU, in fp32: up to 3, since
    more take the library's kernels for matrices, which round otherwise than those for one row.
    """
    by = torch.linspace(-1, 1, heads * a * b).sin().view(heads, a, b)

    def product(x: Tensor) -> Tensor:
        return torch.bmm(by, x.mT.expand(heads, -1, -1)).mT

    return 3 if rows_agree(product, b, torch.float32, 1, (2, 3)) else 1


class Window:
    """Where a pattern's cells are kept, and which of them a cell may look at: itself and those before it."""

    def __init__(self, places: Places):
        self.pattern, self.grid = places.pattern, places.grid
        self.rows = places.size // places.grid
        if self.pattern == "row":
            self.size = self.grid + 1
        elif self.pattern == "conv":
            self.offsets: list[int] = conv_offsets(self.grid, places.kernel).tolist()
            self.size = self.offsets[-1] + 1
        else:
            self.size = places.size

    def slot(self, cell: int) -> int:
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
            past = bisect_right(self.offsets, cell)  # the others point before cell 0
            return (cell - torch.tensor(self.offsets[:past])) % self.size
        return slice(0, min(cell + 1, self.size))
