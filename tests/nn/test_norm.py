"""Group normalisation by the faster way round."""

import pytest
import torch

from armchair.nn.norm import GroupNorm


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_it_is_torchs(dtype, memory):
    """Turning the picture for the kernel must change neither values, nor gradients, nor the memory format."""
    x = (
        torch.randn(2, 12, 5, 7, generator=torch.Generator().manual_seed(1))
        .to(dtype)
        .to(memory_format=memory)
    )
    ours, theirs = GroupNorm(3, 12), torch.nn.GroupNorm(3, 12)
    results = []
    for norm in (ours, theirs):
        given = x.clone().requires_grad_()
        y = norm.to(dtype)(given)
        y.square().sum().backward()
        results.append((y, given.grad))
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    for mine, expected in zip(*results, strict=True):
        torch.testing.assert_close(mine, expected, atol=tolerance, rtol=tolerance)
    assert results[0][0].is_contiguous(memory_format=memory)


@pytest.mark.parametrize("side", [31, 32])
def test_large_pictures_are_not_turned_without_gradients(side: int, monkeypatch: pytest.MonkeyPatch):
    """The kernel that is fast for them wants channels last: turned, a step of a large U-Net in bf16 lost a
    ninth of its time. Either way the values are torch's.
    """
    seen: list[bool] = []
    forward = torch.nn.GroupNorm.forward

    def spied(self: torch.nn.GroupNorm, x: torch.Tensor) -> torch.Tensor:
        seen.append(x.is_contiguous())
        return forward(self, x)

    monkeypatch.setattr(torch.nn.GroupNorm, "forward", spied)
    x = torch.randn(2, 8, side, side, generator=torch.Generator().manual_seed(2))
    norm = GroupNorm(4, 8).bfloat16()
    given = x.bfloat16().contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        y = norm(given)
    assert seen == [side < 32] and y.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(y.float(), torch.nn.functional.group_norm(x, 4), atol=3e-2, rtol=0)
