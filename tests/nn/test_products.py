"""Attention as products, which bf16 on a CPU takes: what SDPA gives, in value and gradient."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from armchair.nn import attention
from armchair.nn.attention import LONGEST, ProductAttention, attend, by_blocks


def heads(q: int, k: int, dtype: torch.dtype) -> list[torch.Tensor]:
    """q (2, 3, Q, 8), k, v (2, 3, K, 8) as a fused qkv leaves them: not contiguous"""
    rng = torch.Generator().manual_seed(q + k)
    made = [torch.randn(2, n, 3, 8, generator=rng).to(dtype).transpose(1, 2) for n in (q, k, k)]
    return [x.detach().requires_grad_() for x in made]


@pytest.mark.parametrize("q, k, causal", [(7, 7, False), (7, 7, True), (1, 9, False), (33, 33, True)])
def test_products_are_sdpa(q: int, k: int, causal: bool):
    """Exactly the same arithmetic in fp32, forward and backward; odd lengths and one query included."""
    inputs = heads(q, k, torch.float32)
    g = torch.randn(2, 3, q, 8)
    ours, theirs = (
        ProductAttention.apply(*inputs, causal),
        F.scaled_dot_product_attention(*inputs, is_causal=causal),
    )
    torch.testing.assert_close(ours, theirs)
    grads = (torch.autograd.grad(x, inputs, g) for x in (ours, theirs))
    for one, two in zip(*grads, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("causal", [True, False])
def test_bf16_takes_products_and_stays_near(causal: bool, monkeypatch: pytest.MonkeyPatch):
    """With SDPA out of reach, bf16 still attends; its result and gradients are those of fp32, rounded."""
    inputs = heads(19, 19, torch.bfloat16)
    exact = [x.detach().float().requires_grad_() for x in inputs]
    wanted = F.scaled_dot_product_attention(*exact, is_causal=causal)
    monkeypatch.delattr(F, "scaled_dot_product_attention")
    found = attend(*inputs, causal=causal)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), wanted, rtol=0, atol=0.03)
    g = torch.randn(2, 3, 19, 8).bfloat16()
    grads = torch.autograd.grad(found, inputs, g), torch.autograd.grad(wanted, exact, g.float())
    for one, two in zip(*grads, strict=True):
        torch.testing.assert_close(one.float(), two, rtol=0, atol=0.05)
    with pytest.raises(AttributeError):
        attend(*exact, causal=causal)
    with pytest.raises(AttributeError):
        attend(*heads(3, LONGEST + 1, torch.bfloat16))


@pytest.mark.parametrize("held", [1, 20, 7 * 9 * 4, 2**20])
def test_blocks_are_sdpa(held: int, monkeypatch: pytest.MonkeyPatch):
    """A query at a time, some queries of a head, some heads, all at once: the same."""
    monkeypatch.setattr(attention, "HELD", held)
    q, k, v = (x.detach() for x in heads(7, 9, torch.float32))
    torch.testing.assert_close(by_blocks(q, k, v), F.scaled_dot_product_attention(q, k, v))


def test_wide_heads_draw_by_blocks(monkeypatch: pytest.MonkeyPatch):
    """Also longer than what training takes, and in bf16 alone; under autocast as without."""
    rng = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 2, n, 40, generator=rng) for n in (5, LONGEST + 1, LONGEST + 1))
    wanted = F.scaled_dot_product_attention(q, k, v)
    monkeypatch.delattr(F, "scaled_dot_product_attention")
    rounded = [x.bfloat16() for x in (q, k, v)]
    found = attend(*rounded)
    torch.testing.assert_close(found.float(), wanted, rtol=0, atol=0.01)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(attend(*rounded), found)
    with pytest.raises(AttributeError):
        attend(q, k, v)
