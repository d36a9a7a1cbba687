"""The contrastive loss over a batch in several processes (arXiv:2103.00020, figure 3, section 2.5)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from torch.nn import functional as F

from armchair.core.errors import BadInput


def contrastive_rows(image_emb: Tensor, text_emb: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropies of this process's rows against everybody's columns.

    image_emb, text_emb (B, E) normalised, this process's; scale () -> image to text (B,), text to image (B,),
    in nats. Their gradients, added up over the processes, are those of one process with the whole batch.
    """
    images, texts, first = gather(image_emb), gather(text_emb), _rank() * len(image_emb)
    target = torch.arange(first, first + len(image_emb), device=image_emb.device)
    to_text = F.cross_entropy(scale * image_emb @ texts.mT, target, reduction="none")
    to_image = F.cross_entropy(scale * text_emb @ images.mT, target, reduction="none")
    return to_text, to_image


def gather(rows: Tensor) -> Tensor:
    """(B, E) of this process -> (processes * B, E), in the processes' order, with a gradient."""
    return rows if processes() == 1 else _Gather.apply(rows)  # pyright: ignore[reportReturnType]


def check_whole(rows: int, all_rows: float, remedy: str = "") -> None:
    """Raises BadInput where a training batch comes in micro-batches: a share of it knows too few wrong
    answers. rows: of this process's micro-batch.
    """
    if torch.is_grad_enabled() and rows * processes() < all_rows:
        parts = round(all_rows / (rows * processes()))
        raise BadInput(
            f"accumulate={parts}: a contrastive loss needs its whole batch at once: "
            f"--set accumulate=1{remedy}"
        )


def processes() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _rank() -> int:
    return dist.get_rank() if processes() > 1 else 0


class _Gather(torch.autograd.Function):
    """Everybody's rows; backward, the sum of what everybody's loss says about one's own."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.rows = len(rows)
        parts = [torch.empty_like(rows) for _ in range(processes())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (grad,) = grads
        grad = grad.contiguous().clone()
        dist.all_reduce(grad)
        return grad[_rank() * ctx.rows : (_rank() + 1) * ctx.rows]
