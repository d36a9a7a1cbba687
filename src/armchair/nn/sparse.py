"""Causal attention over a prefix and a grid, in the sparse patterns of DALL·E 1 (arXiv:2102.12092, B.1).

A pattern is a `Places`. Training computes it in blocks: a block of cells looks at the prefix and at the few
cells that its pattern can reach. The dense mask is for devices and sizes where that is no gain.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


@dataclass(frozen=True)
class Places:
    """What may look at what: a causal prefix, then cells of a grid in raster order, all of which see it."""

    pattern: str  # row, column, conv or full, as in `pattern_mask`
    prefix: int  # places before the first cell, at least 1
    grid: int  # cells a row
    cells: int  # places after the prefix; the last row may be short
    kernel: int = 11  # side of the conv pattern, odd

    def mask(self) -> Tensor:
        """(prefix + cells, prefix + cells) bool, True = look"""
        return pattern_mask(self.pattern, self.prefix, self.grid, self.cells, self.kernel)

    @property
    def turned(self) -> bool:
        """Whether it is computed over the transposed grid, where a column is contiguous (figure 11 c)."""
        return self.pattern == "column"

    @property
    def size(self) -> int:
        """Cells of the grid down to the last row that is begun."""
        return -(-self.cells // self.grid) * self.grid

    @property
    def line(self) -> int:
        """Cells of a row, or of a column where the grid is transposed."""
        return self.size // self.grid if self.turned else self.grid

    def reach(self, block: int) -> int:
        """How far before a block of cells its queries may see, in cells in the order of computation."""
        column = 0 if block % self.line == 0 else self.line - 1
        conv = self.kernel // 2 * (self.grid + 1)
        reach = {"row": self.grid, "column": column, "conv": conv, "full": self.size}[self.pattern]
        return min(reach, (self.size - 1) // block * block)  # the last block has no more before it


def pattern_mask(pattern: str, prefix: int, grid: int, cells: int, kernel: int = 11) -> Tensor:
    """(prefix + cells, prefix + cells) bool, True = the row's place may look at the column's.

    The prefix (text) is causal and never sees the grid; every cell sees the whole prefix. Among cells, in
    raster order with W = grid: `row` the cell and the W before it, `column` the cells above it, `conv` a
    causal kernel that wraps at row ends, `full` everything before it.
    """
    q = torch.arange(cells).unsqueeze(1)
    back = q - torch.arange(cells)
    if pattern == "row":
        image = (back >= 0) & (back <= grid)
    elif pattern == "column":
        image = (back >= 0) & (back % grid == 0)
    elif pattern == "conv":
        image = torch.isin(back, conv_offsets(grid, kernel))
    elif pattern == "full":
        image = back >= 0
    else:
        raise ValueError(f"attention pattern {pattern!r}: one of row, column, conv, full")
    mask = torch.ones(prefix + cells, prefix + cells, dtype=torch.bool).tril()
    mask[prefix:, prefix:] = image
    return mask


def conv_offsets(grid: int, kernel: int) -> Tensor:
    """How far back the conv pattern looks in raster order, ascending from 0: 61 distances for 11 x 11."""
    half = kernel // 2
    above = {dr * grid + dc for dr in range(1, half + 1) for dc in range(-half, half + 1)}
    return torch.tensor(sorted(above | set(range(half + 1))))


class Blocks:
    """A pattern cut into n blocks of c cells, each with K keys: the prefix, the cells before it, its own.

    B batch, h heads, L places, d head width.
    """

    def __init__(self, places: Places, block: int, multiple: int = 32):
        """block: cells a block; multiple: K is rounded up to it, since bf16 softmax is slow otherwise"""
        size = places.size
        self.prefix, self.cells, self.turned = places.prefix, places.cells, places.turned
        self.rows, self.grid = size // places.grid, places.grid
        self.block = block = min(block, size)
        self.count = -(-size // block)
        self.keys = -(-(places.prefix + places.reach(block) + block) // multiple) * multiple
        self.back = self.keys - places.prefix - block  # cells before the block
        self.tail = self.count * block - size

        raster = torch.arange(size)
        if self.turned:
            raster = raster.view(self.rows, self.grid).T.flatten()
        start = torch.arange(self.count).view(-1, 1, 1) * block
        q = start + torch.arange(block).view(-1, 1)  # (n, c, 1)
        k = start + torch.arange(-self.back, block)  # (n, 1, K - prefix)
        inside = (q < size) & (k >= 0) & (k < size)
        q, k = raster[q.clamp(max=size - 1)], raster[k.clamp(0, size - 1)]
        inside &= (q < places.cells) & (k < places.cells)
        image = places.mask()[places.prefix :, places.prefix :]
        look = inside & image[q.clamp(max=places.cells - 1), k.clamp(max=places.cells - 1)]
        look = torch.cat([torch.ones(self.count, block, places.prefix, dtype=torch.bool), look], dim=-1)
        self.look = look  # (n, c, K) bool
        self._bias: dict[torch.dtype, tuple[Tensor, Tensor]] = {}

    def bias(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """(prefix, prefix) and (n, c, K): what is added to the scores, 0 or -inf"""
        if dtype not in self._bias:
            text = torch.zeros(self.prefix, self.prefix, dtype=dtype)
            text = text.masked_fill_(torch.ones_like(text, dtype=torch.bool).triu(1), -torch.inf)
            image = torch.zeros(self.look.shape, dtype=dtype).masked_fill_(~self.look, -torch.inf)
            self._bias[dtype] = text, image
        return self._bias[dtype]

    def cut(self, x: Tensor) -> Tensor:
        """x (B, h, L, d) -> (B, h, n, c, d) the cells, in the order of the blocks"""
        x = _pad(x[:, :, self.prefix :], self.rows * self.grid - self.cells)
        if self.turned:
            x = x.unflatten(2, (self.rows, self.grid)).transpose(2, 3).flatten(2, 3)
        return _pad(x, self.tail).unflatten(2, (self.count, self.block))

    def paste(self, blocks: Tensor, out: Tensor) -> None:
        """The reverse of `cut`, into out (B, h, L, d)"""
        x = blocks.flatten(2, 3)[:, :, : self.rows * self.grid]
        if self.turned:
            x = x.unflatten(2, (self.grid, self.rows)).transpose(2, 3).flatten(2, 3)
        out[:, :, self.prefix :] = x[:, :, : self.cells]

    def gather(self, x: Tensor) -> Tensor:
        """x (B, h, L, d) -> (B, h, n, K, d) the keys of each block; what lies before the first cell is 0"""
        cells = self.cut(x)
        out = x.new_empty(*cells.shape[:3], self.keys, x.shape[-1])
        out[:, :, :, : self.prefix] = x[:, :, None, : self.prefix]
        out[:, :, :, self.prefix + self.back :] = cells
        cells = cells.flatten(2, 3)
        for i, before in enumerate(out[:, :, :, self.prefix : self.prefix + self.back].unbind(2)):
            first = i * self.block - self.back
            missing = max(-first, 0)
            before[:, :, :missing] = 0
            before[:, :, missing:] = cells[:, :, first + missing : first + self.back]
        return out

    def scatter(self, grads: Tensor, out: Tensor) -> None:
        """The adjoint of `gather`: grads (B, h, n, K, d) summed into out (B, h, L, d), to its prefix added"""
        out[:, :, : self.prefix] += grads[:, :, :, : self.prefix].sum(2)
        blocks = grads[:, :, :, self.prefix + self.back :].clone()
        cells = blocks.flatten(2, 3)  # a view
        for i, before in enumerate(grads[:, :, :, self.prefix : self.prefix + self.back].unbind(2)):
            first = i * self.block - self.back
            missing = max(-first, 0)
            cells[:, :, first + missing : first + self.back] += before[:, :, missing:]
        self.paste(blocks, out)


def _pad(x: Tensor, places: int) -> Tensor:
    """x (B, h, n, d) -> (B, h, n + places, d), zeros at the end"""
    return F.pad(x, (0, 0, 0, places)) if places else x


@lru_cache(maxsize=64)
def blocks_of(places: Places, block: int) -> Blocks:
    return Blocks(places, block)


CHUNK = 2**21  # bytes of scores worked on at a time: they stay in the cache from the product to the product


class BlockedAttention(torch.autograd.Function):
    """Attention computed block by block with batched matrix products, forward and backward, on a CPU.

    Faster there than SDPA, whose bf16 backward runs at 25-65 GFLOP/s a core where these products reach
    100-190. In bf16 the scores are rounded to bf16 before the softmax, as in any attention under autocast
    that is not fused. Kept for the backward pass: q, k, v, what was read and the weights; keys are gathered
    anew.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, blocks: Blocks) -> Tensor:
        """q, k, v (B, h, L, d) of one dtype -> (B, h, L, d)"""
        B, h, L, d = q.shape
        T = blocks.prefix
        causal, bias = blocks.bias(q.dtype)
        with torch.autocast(q.device.type, enabled=False):
            text = attend(*[x[:, :, :T].flatten(0, 1) for x in (q, k, v)], bias=causal)
            image = (blocks.cut(q), blocks.gather(k), blocks.gather(v))
            image = attend(*[x.flatten(0, 2) for x in image], bias=bias)
        out = q.new_empty(B, L, h, d).transpose(1, 2)
        out[:, :, :T] = text[0].view(B, h, T, d)
        blocks.paste(image[0].view(B, h, blocks.count, blocks.block, d), out)
        ctx.save_for_backward(q, k, v, *text, *image)
        ctx.blocks = blocks
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        (g,) = grads
        q, k, v, *saved = ctx.saved_tensors
        blocks: Blocks = ctx.blocks
        B, h, L, d = q.shape
        T = blocks.prefix
        dq, dk, dv = (q.new_empty(B, L, h, d).transpose(1, 2) for _ in range(3))
        with torch.autocast(q.device.type, enabled=False):
            text = (x[:, :, :T].flatten(0, 1) for x in (g, q, k, v))
            for out, part in zip((dq, dk, dv), attend_backward(*text, *saved[:2]), strict=True):
                out[:, :, :T] = part.view(B, h, T, d)
            image = (blocks.cut(g), blocks.cut(q), blocks.gather(k), blocks.gather(v))
            parts = attend_backward(*(x.flatten(0, 2) for x in image), *saved[2:])
        parts = [x.view(B, h, blocks.count, -1, d) for x in parts]
        blocks.paste(parts[0], dq)
        blocks.scatter(parts[1], dk)
        blocks.scatter(parts[2], dv)
        return dq, dk, dv, None


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """q (N, c, d), k, v (N, K, d), bias (c, K) or (n, c, K) with n a divisor of N
    -> what is read (N, c, d), and the weights (N, c, K)
    """
    q = q * q.shape[-1] ** -0.5
    weights = q.new_empty(*q.shape[:2], k.shape[1])
    out = torch.empty_like(q)
    for part in _chunks(weights, bias.shape[0] if bias.ndim == 3 else 1):
        w = torch.bmm(q[part], k[part].mT, out=weights[part])
        w.view(-1, *bias.shape).add_(bias)
        torch.softmax(w, -1, out=w)
        torch.bmm(w, v[part], out=out[part])
    return out, weights


def attend_backward(
    g: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of `attend` by q, k and v, from that of what it read, g (N, c, d)"""
    dq, dk, dv = (torch.empty(x.shape, dtype=x.dtype) for x in (q, k, v))
    drift = (g * out).sum(-1, keepdim=True)
    q = q * q.shape[-1] ** -0.5
    for part in _chunks(weights, 1):
        w = weights[part]
        torch.bmm(w.mT, g[part], out=dv[part])
        ds = torch.bmm(g[part], v[part].mT).sub_(drift[part]).mul_(w)
        torch.bmm(ds.mT, q[part], out=dk[part])
        torch.bmm(ds, k[part], out=dq[part])
    return dq.mul_(q.shape[-1] ** -0.5), dk, dv


def _chunks(scores: Tensor, multiple: int) -> Iterator[slice]:
    """Slices of the scores (N, c, K), each a multiple of so many matrices and about CHUNK bytes"""
    step = max(1, CHUNK // (multiple * scores[0].numel() * scores.element_size())) * multiple
    for start in range(0, len(scores), step):
        yield slice(start, start + step)


def block_cells(places: Places, dtype: torch.dtype) -> int | None:
    """Queries a block for training on a CPU; None: SDPA is no slower.

    Whole rows or columns, at least 64 cells: of 1 to 16 rows a block that was the fastest, or near it, at 12,
    16 and 32 cells a row. In bf16 blocks win even where they skip nothing; in fp32 they must leave a query at
    most 3/5 of the keys.
    """
    if places.pattern == "full":
        return None
    block = min(places.size, places.line * -(-64 // places.line))
    share = (places.prefix + places.reach(block) + block) / (places.prefix + places.cells)
    return None if share > 0.6 and dtype != torch.bfloat16 else block


def causal(length: int) -> Places:
    """Plain causal attention over so many places"""
    return Places("full", length, 1, 0)


@lru_cache(maxsize=64)
def dense_mask(places: Places, device: torch.device) -> Tensor:
    """The mask of `places` on a device, built once"""
    return places.mask().to(device)
