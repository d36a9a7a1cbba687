"""Drawing tokens from their distribution, one alone or a text of them one after another."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def choose(
    logits: Tensor, noise: Tensor, temperature: float, top_k: int | None, top_p: float | None
) -> Tensor:
    """logits (B, K), noise (B,) evenly from [0, 1) -> (B,) int64, by the inverse of a row's distribution"""
    if temperature == 0:
        return logits.argmax(dim=-1)
    if temperature != 1:
        logits = logits * (1 / temperature)
    if top_k is not None:
        least = logits.topk(min(top_k, logits.shape[-1]), sorted=False).values.amin(dim=-1, keepdim=True)
        logits = logits.masked_fill(logits < least, -torch.inf)
    p = logits.softmax(dim=-1)
    if top_p is not None:
        ranked, order = p.sort(dim=-1, descending=True, stable=True)
        likelier = ranked.cumsum(dim=-1, dtype=torch.float64) - ranked
        p = torch.zeros_like(p).scatter_(-1, order, ranked.masked_fill(likelier >= top_p, 0))
    below = p.cumsum(dim=-1, dtype=torch.float64)  # (B, K)
    target = noise.to(below).unsqueeze(1) * below[:, -1:]
    return torch.searchsorted(below, target, right=True).squeeze(1)


def speak(
    step: Callable[[Tensor], Tensor],
    first: Tensor,
    *,
    end: int,
    length: int,
    noise: Tensor | None = None,
    temperature: float = 0.0,
    top_p: float | None = None,
) -> list[list[int]]:
    """R texts side by side: the tokens that come after `first`, without `end`.

    step: ids (R,) just said -> logits (R, V) of the next; first (R,) ids; length: tokens of a text at most;
    noise (R, length) evenly from [0, 1), needed where temperature is above 0.
    """
    assert temperature == 0 or noise is not None
    texts: list[list[int]] = [[] for _ in range(len(first))]
    open_ = [True] * len(first)
    ids = first
    for place in range(length):
        u = torch.zeros(len(first)) if noise is None else noise[:, place]
        ids = choose(step(ids), u.to(first.device), temperature, None, top_p)
        for row, said in enumerate(ids.tolist()):
            open_[row] = open_[row] and said != end
            if open_[row]:
                texts[row].append(said)
        if not any(open_):
            break
    return texts
