"""Training a latent model's sketch, or its layout's prior, while its U-Net stands still: not in the paper."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armchair.dalle3.denoiser import LatentNet
from armchair.dalle3.latent_task import LatentTask
from armchair.dalle3.shapes import by_shape, raised
from armchair.dalle3.text_encoder import by_length, trimmed
from armchair.nn.alone import Alone
from armchair.nn.sketch import Sketch


class SketchTask(Alone, LatentTask):
    """The means of latents, by squared error."""

    what = "sketch"
    net: LatentNet

    @property
    def part(self) -> Sketch:
        assert self.net.denoiser.sketch is not None
        return self.net.denoiser.sketch

    def errors(self, data: Mapping[str, Tensor]) -> Tensor:
        """(B,) against the latents' means in its cells"""
        side = self.part.config.side
        each = torch.zeros(len(data["image"]), device=self.device)
        for index, rows in by_shape(data["shape"], self._grids):
            image = raised(data["image"][rows], self._pictures[index])
            truth = F.adaptive_avg_pool2d(self.net.denoiser.scale(self.encode(image)), side)
            for part in by_length(data["tokens"][rows], self.config.net.words):
                at = rows[part]
                tokens, keep = trimmed(data["tokens"][at], self.config.net.words)
                found = self.part(self.words(tokens, keep), tokens, keep)
                each = each.index_put((at,), (found.float() - truth[part]).square().mean(dim=(1, 2, 3)))
        return each


class LayoutTask(Alone, LatentTask):
    """Which word stands where, in nats a number; how it is laid on cells stays as it is."""

    what = "layout"
    net: LatentNet

    @property
    def part(self) -> nn.Module:
        assert self.net.denoiser.layout is not None
        return self.net.denoiser.layout.prior

    def errors(self, data: Mapping[str, Tensor]) -> Tensor:
        """(B,) see `Layout.errors`"""
        net, each = self.net.denoiser, torch.zeros(len(data["tokens"]), device=self.device)
        assert net.layout is not None
        for at in by_length(data["tokens"], self.config.net.words):
            tokens, keep = trimmed(data["tokens"][at], self.config.net.words)
            context = net.read(self.words(tokens, keep), tokens, keep).context
            assert context is not None
            each = each.index_put((at,), net.layout.errors(context, keep, data["spots"][at]).float())
        return each
