"""Attention over a sequence: causal, sparse or over everything."""

from functools import lru_cache
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from armchair.nn import sparse
from armchair.nn.sparse import BlockedAttention, Places, block_cells, blocks_of, dense_mask

# In bf16 on a CPU products beat SDPA. With a gradient 4 times at 64 places, 1.5 at 1,024; more places win
# too, and take memory: every score is held. Without one 1.4 to 1.9 times for heads of WIDE channels or more,
# by blocks whose scores stay in a core's cache; with narrow heads the exponentials are all that counts.
LONGEST = 1280  # 32 x 32 cells and 256 words
WIDE = 40  # Stable Diffusion's narrowest
HELD = 2**20  # scores of a block: 2 MB


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    mask: Tensor | None = None,
    causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """softmax(q k^T scale + mask) v: q (B, h, Q, d), k, v (B, h, K, d) -> (B, h, Q, d)

    mask: broadcast to (B, h, Q, K), bool (True = look) or added to the scores; causal: the queries are the
    last of the keys' places, and see those up to their own; scale: None is 1 / sqrt(d).
    """
    trains = torch.is_grad_enabled() and q.requires_grad
    if (
        scale is None
        and q.device.type == "cpu"
        and q.dtype == torch.bfloat16
        and (trains or q.shape[3] >= WIDE)
    ):
        if mask is None and not causal and not trains:
            return by_blocks(q, k, v)
        if max(q.shape[2], k.shape[2]) <= LONGEST:
            if mask is None:
                return cast(Tensor, ProductAttention.apply(q, k, v, causal))
            if not causal and mask.dtype == torch.bool and mask.shape == (len(q), 1, 1, k.shape[2]):
                return cast(Tensor, ProductAttention.apply(q, k, v, False, mask))
    if causal and q.shape[2] != k.shape[2]:  # SDPA's own mask begins at the first key
        before = k.shape[2] - q.shape[2]
        seen = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=q.device)
        mask, causal = seen.tril(before), False
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal, scale=scale)


def by_blocks(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """`attend` without a mask as matrix products, several heads or some queries of one head at a time. The
    scores are rounded to the tensors' type before the softmax.
    """
    shape, queries, keys = q.shape[:2], q.shape[2], k.shape[2]
    q, k, v = (q * q.shape[-1] ** -0.5).flatten(0, 1), k.flatten(0, 1).mT, v.flatten(0, 1)
    heads, rows = max(1, HELD // (queries * keys)), max(1, HELD // keys)
    out = torch.empty_like(q)
    held = q.new_empty(min(heads, len(q)), min(rows, queries), keys)
    with torch.autocast(q.device.type, enabled=False):
        for first in range(0, len(q), heads):
            some = slice(first, first + heads)
            for start in range(0, queries, rows):
                block = some, slice(start, start + rows)
                asked = q[block]
                scores = torch.bmm(asked, k[some], out=held[: len(asked), : asked.shape[1]])
                torch.bmm(torch.softmax(scores, -1, out=scores), v[some], out=out[block])
    return out.unflatten(0, shape)


class ProductAttention(torch.autograd.Function):
    """Attention as batched matrix products, forward and backward: for bf16 on a CPU.

    The scores are rounded to bf16 before the softmax, as in `BlockedAttention`.
    """

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, causal: bool, keep: Tensor | None = None
    ) -> Tensor:
        """q (B, h, Q, d), k, v (B, h, K, d) of one dtype, keep (B, 1, 1, K) bool: False is not looked at ->
        (B, h, Q, d)
        """
        flat = [x.flatten(0, 1) for x in (q, k, v)]
        bias = _bias(q.shape[2], k.shape[2], causal, q.dtype)  # (Q, K)
        if keep is not None:
            hidden = bias.new_zeros(keep.shape).masked_fill_(~keep, float("-inf"))
            bias = hidden.expand(-1, q.shape[1], q.shape[2], -1).flatten(0, 1)  # (B h, Q, K)
        with torch.autocast(q.device.type, enabled=False):
            out, weights = sparse.attend(*flat, bias=bias)
        ctx.save_for_backward(*flat, out, weights)
        ctx.heads = q.shape[:2]
        return out.unflatten(0, ctx.heads)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        (g,) = grads
        with torch.autocast(g.device.type, enabled=False):
            dq, dk, dv = sparse.attend_backward(g.flatten(0, 1), *ctx.saved_tensors)
        return (*(d.unflatten(0, ctx.heads) for d in (dq, dk, dv)), None, None)  # type: ignore[return-value]


@lru_cache(maxsize=64)
def _bias(queries: int, keys: int, causal: bool, dtype: torch.dtype) -> Tensor:
    """(Q, K), 0 where a query may look, -inf elsewhere"""
    bias, later = torch.zeros(queries, keys, dtype=dtype), 1 + keys - queries
    return bias.masked_fill_(torch.ones_like(bias).triu(later).bool(), float("-inf")) if causal else bias


class Attention(nn.Module):
    """Multi-head self-attention. B batch, L places, D width, h heads."""

    def __init__(self, width: int, heads: int, *, qk_norm: bool = False):
        super().__init__()
        self.heads = heads
        self.qk_norm = qk_norm
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.q_norm = nn.RMSNorm(width // heads) if qk_norm else nn.Identity()
        self.k_norm = nn.RMSNorm(width // heads) if qk_norm else nn.Identity()

    def forward(self, x: Tensor, places: Places | None = None, keep: Tensor | None = None) -> Tensor:
        """x (B, L, D) -> (B, L, D)

        places: what may look at what, L = places.prefix + places.cells; None: every place at every place.
        keep: (B, L) bool, False = nobody looks there; a place with nothing to look at gives 0. Not with a
        sparse pattern.
        """
        q, k, v = (
            self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        )  # each (B, h, L, D / h)
        if self.qk_norm:  # in fp32 under autocast too
            q, k = self.q_norm(q.float()).to(v.dtype), self.k_norm(k.float()).to(v.dtype)
        if keep is not None:
            mask = keep[:, None, None, :]
            if places is not None:
                assert places.pattern == "full", places.pattern
                mask = mask & dense_mask(places, v.device)
            h = attend(q, k, v, mask=mask)
        elif places is None:
            h = attend(q, k, v)
        else:
            h = self._patterned(q, k, v, places)
        return self.out(h.transpose(1, 2).flatten(2))  # (B, L, D)

    def _patterned(self, q: Tensor, k: Tensor, v: Tensor, places: Places) -> Tensor:
        """q, k, v (B, h, L, D / h) -> (B, h, L, D / h), computed sparsely where that is a gain"""
        if places.pattern == "full":
            return attend(q, k, v, causal=True)
        block = block_cells(places, v.dtype) if v.device.type == "cpu" else None
        if block is not None:
            return cast(Tensor, BlockedAttention.apply(q, k, v, blocks_of(places, block)))
        return attend(q, k, v, mask=dense_mask(places, v.device))
