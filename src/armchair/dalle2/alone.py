"""Training a decoder's sketch, its draft, or its layout's priors, while its U-Net stands still: not in the
paper.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from armchair.core.images import from_pixels
from armchair.dalle2.decoder import Decoder
from armchair.dalle2.decoder_task import DecoderTask, Read
from armchair.nn.alone import Alone, PartName
from armchair.nn.draft import Draft
from armchair.nn.sketch import Sketch


class DecoderExpectedTask(Alone, DecoderTask):
    """A part that says what is to be expected of what the U-Net works on, by squared error."""

    @abstractmethod
    def expected(self, data: Mapping[str, Tensor], read: Read) -> Tensor:
        """-> (B, C, s, r), what the part says of examples"""

    def errors(self, data: Mapping[str, Tensor]) -> Tensor:
        """(B,) against the means of pixels, or of what the U-Net has in their place"""
        read = self.read(data["tokens"])
        assert isinstance(self.net, Decoder) and read is not None
        clean = self.net.seen(from_pixels(data["image"].float() / 255))
        found = self.expected(data, read).float()
        truth = F.adaptive_avg_pool2d(clean, (found.shape[2], found.shape[3]))
        return (found - truth).square().mean(dim=(1, 2, 3))


class DecoderSketchTask(DecoderExpectedTask):
    """The means in few cells."""

    what = "sketch"

    @property
    def part(self) -> Sketch:
        assert isinstance(self.net, Decoder) and self.net.sketch is not None
        return self.net.sketch

    def expected(self, data: Mapping[str, Tensor], read: Read) -> Tensor:
        assert read.context is not None
        return self.part.of(read.context, read.keep)


class DecoderDraftTask(DecoderExpectedTask):
    """The whole, told the true layout where that is shown."""

    what = "draft"

    @property
    def part(self) -> Draft:
        assert isinstance(self.net, Decoder) and self.net.draft is not None
        return self.net.draft

    def expected(self, data: Mapping[str, Tensor], read: Read) -> Tensor:
        found = self.drafted(data, read)
        assert found is not None
        return found


class DecoderLayoutTask(Alone, DecoderTask):
    """Which word stands where, in nats a number, and the look; how it is laid on cells stays as it is."""

    what = "layout"

    @property
    def part(self) -> nn.ModuleList:
        assert isinstance(self.net, Decoder) and self.net.layout is not None
        return self.net.layout.priors

    def errors(self, data: Mapping[str, Tensor]) -> Tensor:
        """(B,) see `Layout.errors`"""
        read = self.read(data["tokens"])
        assert isinstance(self.net, Decoder) and self.net.layout is not None
        assert read is not None and read.context is not None
        return self.net.layout.errors(read.context, read.keep, data["spots"])


TASKS: Mapping[PartName, type[DecoderTask]] = {
    "sketch": DecoderSketchTask,
    "draft": DecoderDraftTask,
    "layout": DecoderLayoutTask,
}
