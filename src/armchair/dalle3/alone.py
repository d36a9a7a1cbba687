"""Training a latent model's sketch, its draft, or its layout's priors, while its U-Net stands still: not in
the paper.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armchair.dalle3.denoiser import LatentNet, Read
from armchair.dalle3.latent_task import LatentTask
from armchair.dalle3.shapes import by_shape, raised
from armchair.dalle3.text_encoder import by_length, trimmed
from armchair.nn.alone import Alone, PartName
from armchair.nn.draft import Draft
from armchair.nn.sketch import Sketch


class ExpectedTask(Alone, LatentTask):
    """A part that says which latent is to be expected, by squared error."""

    net: LatentNet

    @abstractmethod
    def expected(self, read: Read, height: int, width: int) -> Tensor:
        """-> (B, C, s, r), what the part says of latents of h x w cells"""

    def errors(self, data: Mapping[str, Tensor]) -> Tensor:
        """(B,) against the latents' means in its cells"""
        net, words, each = (
            self.net.denoiser,
            self.config.net.words,
            torch.zeros(len(data["image"]), device=self.device),
        )
        for index, rows in by_shape(data["shape"], self._grids):
            truth = net.scale(self.encode(raised(data["image"][rows], self._pictures[index])))
            for part in by_length(data["tokens"][rows], words):
                at = rows[part]
                tokens, keep = trimmed(data["tokens"][at], words)
                read = net.read(self.words(tokens, keep), tokens, keep)
                if net.layout is not None:
                    read = read._replace(spots=data["spots"][at])
                found = self.expected(read, *truth.shape[2:]).float()
                clean = F.adaptive_avg_pool2d(truth[part], (found.shape[2], found.shape[3]))
                each = each.index_put((at,), (found - clean).square().mean(dim=(1, 2, 3)))
        return each


class SketchTask(ExpectedTask):
    """The means of latents in few cells."""

    what = "sketch"

    @property
    def part(self) -> Sketch:
        assert self.net.denoiser.sketch is not None
        return self.net.denoiser.sketch

    def expected(self, read: Read, height: int, width: int) -> Tensor:
        assert read.sketch is not None
        return read.sketch


class DraftTask(ExpectedTask):
    """Latents, told the true layout."""

    what = "draft"

    @property
    def part(self) -> Draft:
        assert self.net.denoiser.draft is not None
        return self.net.denoiser.draft

    def expected(self, read: Read, height: int, width: int) -> Tensor:
        found = self.net.denoiser.drafted(read, height, width)
        assert found is not None
        return found


class LayoutTask(Alone, LatentTask):
    """Which word stands where, in nats a number, and the look; how it is laid on cells stays as it is."""

    what = "layout"
    net: LatentNet

    @property
    def part(self) -> nn.ModuleList:
        assert self.net.denoiser.layout is not None
        return self.net.denoiser.layout.priors

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


TASKS: Mapping[PartName, type[LatentTask]] = {"sketch": SketchTask, "draft": DraftTask, "layout": LayoutTask}
