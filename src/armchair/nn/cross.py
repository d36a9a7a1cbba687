"""Attention over a picture that reads words too.

What it reads of the words, keys and values, does not depend on the picture: `read` computes it, once for all
steps of a drawing.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armchair.nn.attention import attend
from armchair.nn.norm import GroupNorm

Words = tuple[Tensor, ...]  # keys, then values (B, h, L, d) of the tokens, for each attention over them


class KeyedAttention(nn.Module):
    """x + attention of every cell over all cells and all tokens: the tokens' keys and values stand before the
    picture's own (arXiv:2112.10741, section 4.1).

    B batch, C channels, h heads of width d, L tokens of width W.
    """

    def __init__(
        self,
        width: int,
        head_width: int,
        context_width: int,
        *,
        groups: int = 32,
        qk_norm: bool = False,
        eps: float = 1e-5,
    ):
        """context_width: of the tokens; 0 is a block that reads the picture alone
        qk_norm: RMS-normalise queries and keys: not in GLIDE, steadier at high learning rates.  eps: of the
        norm
        """
        super().__init__()
        self.heads = width // head_width
        self.norm = GroupNorm(groups, width, eps)
        self.qkv = nn.Linear(width, 3 * width)
        self.context_kv = nn.Linear(context_width, 2 * width) if context_width else None
        self.q_norm = nn.RMSNorm(head_width) if qk_norm else nn.Identity()
        self.k_norm = nn.RMSNorm(head_width) if qk_norm else nn.Identity()
        self.out = nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def read(self, context: Tensor) -> Words:
        """context (B, L, W) -> keys and values (B, h, L, d) of the tokens"""
        assert self.context_kv is not None
        k, v = self.context_kv(context).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return normed(k, self.k_norm, v), v

    def forward(self, x: Tensor, words: Words = (), keep: Tensor | None = None) -> Tensor:
        """x (B, C, H, W), words: of `read`, keep (B, L) bool: False is no token -> (B, C, H, W); see
        `repeated` for x of fewer rows than the words'
        """
        x = repeated(x, len(words[0])) if words else x
        h = self.norm(x).permute(0, 2, 3, 1).flatten(1, 2)  # (B, H W, C), no copy where x is channels last
        q, k, v = self.qkv(h).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (B, h, H W, d)
        q, k = normed(q, self.q_norm, v), normed(k, self.k_norm, v)
        mask = None
        if self.context_kv is not None:
            k, v = torch.cat([words[0], k], dim=2), torch.cat([words[1], v], dim=2)  # (B, h, L + H W, d)
            if keep is not None:
                mask = nn.functional.pad(keep, (0, q.shape[2]), value=True)[:, None, None, :]
        h = self.out(attend(q, k, v, mask=mask).transpose(1, 2).flatten(2))  # (B, H W, C)
        return x + h.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)


class CrossTransformer(nn.Module):
    """x + transformer blocks over all cells, each of which looks at the picture, then at the tokens, then
    goes through a gated MLP: latent diffusion's spatial transformer (arXiv:2112.10752, appendix E.2.1).

    B batch, C channels, h heads of width d, L tokens of width W.
    """

    def __init__(
        self,
        width: int,
        head_width: int,
        context_width: int,
        *,
        groups: int = 32,
        depth: int = 1,
        qk_norm: bool = False,
        eps: float = 1e-6,
    ):
        """depth: blocks.  eps: of the norm before them"""
        super().__init__()
        self.norm = GroupNorm(groups, width, eps)
        self.into = nn.Linear(width, width)
        self.blocks = nn.ModuleList(
            CrossBlock(width, head_width, context_width, qk_norm=qk_norm) for _ in range(depth)
        )
        self.out = nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def read(self, context: Tensor) -> Words:
        """context (B, L, W) -> keys and values (B, h, L, d) of the tokens, of one block after the other"""
        blocks = cast(Sequence[CrossBlock], self.blocks)
        return tuple(part for block in blocks for part in block.context.read(context))

    def forward(self, x: Tensor, words: Words, keep: Tensor | None = None) -> Tensor:
        """x (B, C, H, W), words: of `read`, keep (B, L) bool: False is no token -> (B, C, H, W); see
        `repeated` for x of fewer rows than the words'
        """
        h = self.into(self.norm(x).permute(0, 2, 3, 1).flatten(1, 2))  # (B, H W, C)
        for i, block in enumerate(self.blocks):
            h = block(h, words[2 * i : 2 * i + 2], keep)
        return repeated(x, len(h)) + self.out(h).unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)


class CrossBlock(nn.Module):
    """Attention over the sequence, attention over words, a gated MLP, each added to what it read."""

    def __init__(self, width: int, head_width: int, context_width: int, *, qk_norm: bool = False):
        super().__init__()
        self.own_norm = nn.LayerNorm(width)
        self.own = CrossAttention(width, width, head_width, qk_norm=qk_norm)
        self.context_norm = nn.LayerNorm(width)
        self.context = CrossAttention(width, context_width, head_width, qk_norm=qk_norm)
        self.mlp_norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 8 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x: Tensor, words: Words, keep: Tensor | None) -> Tensor:
        """x (B, N, C), words: what `context` reads of them, keep (B, L) bool -> (B, N, C); see `repeated`
        for x of fewer rows than the words'
        """
        h = self.own_norm(x)
        x = repeated(x + self.own(h, self.own.read(h)), len(words[0]))
        x = x + self.context(self.context_norm(x), words, keep)
        value, gate = self.up(self.mlp_norm(x)).chunk(2, dim=-1)
        return x + self.down(value * nn.functional.gelu(gate))


class CrossAttention(nn.Module):
    """Queries of one sequence, keys and values of another, which may be the same."""

    def __init__(self, width: int, context_width: int, head_width: int, *, qk_norm: bool = False):
        super().__init__()
        self.heads = width // head_width
        self.q = nn.Linear(width, width, bias=False)
        self.kv = nn.Linear(context_width, 2 * width, bias=False)
        self.q_norm = nn.RMSNorm(head_width) if qk_norm else nn.Identity()
        self.k_norm = nn.RMSNorm(head_width) if qk_norm else nn.Identity()
        self.out = nn.Linear(width, width)

    def read(self, context: Tensor) -> Words:
        """context (B, L, W) -> keys and values (B, h, L, d)"""
        k, v = self.kv(context).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return normed(k, self.k_norm, v), v

    def forward(self, x: Tensor, words: Words, keep: Tensor | None = None) -> Tensor:
        """x (B, N, C), words: of `read`, keep (B, L) bool: False is not looked at -> (B, N, C)"""
        k, v = words
        q = normed(self.q(x).unflatten(-1, (self.heads, -1)).transpose(1, 2), self.q_norm, v)  # (B, h, N, d)
        h = attend(q, k, v, mask=None if keep is None else keep[:, None, None, :])
        return self.out(h.transpose(1, 2).flatten(2))


class KeyedBlock(nn.Module):
    """A causal transformer block that reads a context too: the context's keys and values stand before the
    sequence's own, and every place sees all of them.

    B batch, L places, D width, h heads of width d, S tokens of width W.
    """

    def __init__(
        self, width: int, heads: int, context_width: int, *, mlp_ratio: int = 4, qk_norm: bool = False
    ):
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.context_kv = nn.Linear(context_width, 2 * width)
        self.q_norm = nn.RMSNorm(width // heads) if qk_norm else nn.Identity()
        self.k_norm = nn.RMSNorm(width // heads) if qk_norm else nn.Identity()
        self.out = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, mlp_ratio * width), nn.GELU(), nn.Linear(mlp_ratio * width, width)
        )

    def context(self, context: Tensor) -> Tensor:
        """context (B, S, W) -> (2, B, h, S, d), keys and values, the same for all places"""
        k, v = self.context_kv(context).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return torch.stack([normed(k, self.k_norm, v), v])

    def forward(self, x: Tensor, before: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (B, L, D), before (2, B, h, P, d) keys and values of the P places that all of x may see,
        mask broadcasting to (B, h, L, P + L) bool, None: all of P, and of x what is not later
        -> (B, L, D) and (2, B, h, P + L, d) with those of x added
        """
        qkv = self.qkv(self.attention_norm(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q, k = normed(qkv[0], self.q_norm, qkv[2]), normed(qkv[1], self.k_norm, qkv[2])
        kv = torch.cat([before, torch.stack([k, qkv[2]])], dim=3)
        h = attend(q, kv[0], kv[1], mask=mask, causal=mask is None)
        x = x + self.out(h.transpose(1, 2).flatten(2))
        return x + self.mlp(self.mlp_norm(x)), kv


def repeated(x: Tensor, rows: int) -> Tensor:
    """x (B, ...) -> (rows, ...), all of it again and again. What is the same for all captions of a picture,
    as for the two rows of guidance, is computed once and repeated where words come in.
    """
    return x if len(x) == rows else torch.cat([x] * (rows // len(x)))


def normed(x: Tensor, norm: nn.Module, like: Tensor) -> Tensor:
    """Queries or keys after their norm, if they have one: in fp32 under autocast too, then as `like`."""
    if not isinstance(norm, nn.RMSNorm):
        return x
    assert norm.weight is not None
    return F.rms_norm(x.float(), norm.normalized_shape, norm.weight.float(), norm.eps).to(like.dtype)
