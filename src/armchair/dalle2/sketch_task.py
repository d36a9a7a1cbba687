"""Training the sketch of a decoder, while its U-Net stands still: not in the paper."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional as F

from armchair.core.images import from_pixels
from armchair.dalle2.decoder import Decoder
from armchair.dalle2.decoder_task import DecoderTask
from armchair.nn.sketch import Sketch
from armchair.nn.sketch_learning import SketchLearning


class DecoderSketchTask(SketchLearning, DecoderTask):
    """The means of pixels."""

    @property
    def sketch(self) -> Sketch:
        assert isinstance(self.net, Decoder) and self.net.sketch is not None
        return self.net.sketch

    def errors(self, data: Mapping[str, Tensor]) -> Tensor:
        """(B,) against the means of pixels, or of what the U-Net has in their place"""
        read = self.read(data["tokens"])
        assert isinstance(self.net, Decoder) and read is not None and read.context is not None
        found = self.sketch.of(read.context, read.keep)
        clean = from_pixels(data["image"].float() / 255)
        truth = F.adaptive_avg_pool2d(self.net.seen(clean), self.sketch.config.side)
        return (found.float() - truth).square().mean(dim=(1, 2, 3))
