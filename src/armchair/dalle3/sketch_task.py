"""Training the sketch of a latent model, while its U-Net stands still: not in the paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from armchair.core.rng import SeedBatch
from armchair.core.task import Batch, Source
from armchair.dalle3.latent_task import ROWS, LatentTask
from armchair.dalle3.shapes import by_shape, raised
from armchair.dalle3.text_encoder import by_length, trimmed

if TYPE_CHECKING:
    from armchair.dalle3.sketch import Sketch


class SketchTask(LatentTask):
    """Mean squared error of the sketch alone, on several times as many captions a second as the U-Net."""

    @property
    def sketch(self) -> Sketch:
        """The one network that learns."""
        assert self.net.denoiser.sketch is not None
        return self.net.denoiser.sketch

    def _hold_still(self) -> None:
        """Keep all but the sketch."""
        self.net.requires_grad_(False)
        self.sketch.requires_grad_()

    def loss(self, batch: Batch, rng: SeedBatch) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Mean squared error of the sketch."""
        found = self.errors(batch.data)
        return found.sum() / batch.totals["samples"], {}

    def errors(self, data: Mapping[str, Tensor]) -> Tensor:
        """(B,) against the latents' means in its cells"""
        side = self.sketch.config.side
        each = torch.zeros(len(data["image"]), device=self.device)
        for index, rows in by_shape(data["shape"], self._grids):
            image = raised(data["image"][rows], self._pictures[index])
            truth = F.adaptive_avg_pool2d(self.net.denoiser.scale(self.encode(image)), side)
            for part in by_length(data["tokens"][rows], self.config.net.words):
                at = rows[part]
                tokens, keep = trimmed(data["tokens"][at], self.config.net.words)
                found = self.sketch(self.words(tokens, keep), tokens, keep)
                each = each.index_put((at,), (found.float() - truth[part]).square().mean(dim=(1, 2, 3)))
        return each

    def evaluate(self, source: Source, n: int) -> dict[str, float]:
        """Mean squared error of the sketch."""
        errors = []
        for start in range(0, n, ROWS):
            rows = range(start, min(n, start + ROWS))
            errors.append(self.errors(self._plain([source[i % len(source)] for i in rows], self.device)))
        return {"sketch": torch.cat(errors).mean().item()}

    def preview(self, rng: SeedBatch) -> None:
        """Nothing: the U-Net learns to listen afterwards."""
