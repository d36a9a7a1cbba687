"""Attention as products, which bf16 on a CPU takes: what SDPA gives, in value and gradient."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from armchair.nn.attention import LONGEST, ProductAttention, attend


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
