"""Training the sketch of a latent model, while its U-Net stands still: not in the paper."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from armchair.dalle3.denoiser import LatentNet
from armchair.dalle3.latent_task import LatentTask
from armchair.dalle3.shapes import by_shape, raised
from armchair.dalle3.text_encoder import by_length, trimmed
from armchair.nn.sketch import Sketch
from armchair.nn.sketch_learning import SketchLearning


class SketchTask(SketchLearning, LatentTask):
    """The means of latents."""

    net: LatentNet

    @property
    def sketch(self) -> Sketch:
        assert self.net.denoiser.sketch is not None
        return self.net.denoiser.sketch

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
