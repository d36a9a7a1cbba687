"""Training a decoder's sketch, or its layout's prior, while its U-Net stands still: not in the paper."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from armchair.core.images import from_pixels
from armchair.dalle2.decoder import Decoder
from armchair.dalle2.decoder_task import DecoderTask
from armchair.nn.alone import Alone
from armchair.nn.sketch import Sketch


class DecoderSketchTask(Alone, DecoderTask):
    """The means of pixels, by squared error."""

    what = "sketch"

    @property
    def part(self) -> Sketch:
        assert isinstance(self.net, Decoder) and self.net.sketch is not None
        return self.net.sketch

    def errors(self, data: Mapping[str, Tensor]) -> Tensor:
        """(B,) against the means of pixels, or of what the U-Net has in their place"""
        read = self.read(data["tokens"])
        assert isinstance(self.net, Decoder) and read is not None and read.context is not None
        found = self.part.of(read.context, read.keep)
        clean = from_pixels(data["image"].float() / 255)
        truth = F.adaptive_avg_pool2d(self.net.seen(clean), self.part.config.side)
        return (found.float() - truth).square().mean(dim=(1, 2, 3))


class DecoderLayoutTask(Alone, DecoderTask):
    """Which word stands where, in nats a number; how it is laid on cells stays as it is."""

    what = "layout"

    @property
    def part(self) -> nn.Module:
        assert isinstance(self.net, Decoder) and self.net.layout is not None
        return self.net.layout.prior

    def errors(self, data: Mapping[str, Tensor]) -> Tensor:
        """(B,) see `Layout.errors`"""
        read = self.read(data["tokens"])
        assert isinstance(self.net, Decoder) and self.net.layout is not None
        assert read is not None and read.context is not None
        return self.net.layout.errors(read.context, read.keep, data["spots"])
