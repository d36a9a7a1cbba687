"""Training an upsampler on crops of pictures and on worse, smaller versions of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from armchair.core.bundle import Component
from armchair.core.config import to_json
from armchair.core.errors import BadInput, DataError
from armchair.core.images import contact_sheet, to_image
from armchair.core.packing import fill_module
from armchair.core.rng import SeedBatch
from armchair.core.task import Batch, Sample, Source
from armchair.data.augment import centre
from armchair.data.degrade import Degradation, Dice, degraded, shrink
from armchair.diffusion.loss import noised, simple
from armchair.upsample.config import PAPER_256, UpsamplerConfig
from armchair.upsample.network import Upsampler
from armchair.upsample.pipeline import UpsamplerModel, component_name

if TYPE_CHECKING:
    from armchair.core.bundle import Bundle

SHOWN = 4  # pictures on a preview sheet


@dataclass(frozen=True, kw_only=True)
class UpsamplerTaskConfig:
    """How to train an upsampler (arXiv:2204.06125, 2.1 and appendix C)."""

    net: UpsamplerConfig = PAPER_256
    degrade: Degradation = "blur"  # what is done to the small pictures
    chance: float = 0.5  # that it is done to one
    given: float = 0.5  # share of the crops that are learned from the small picture that a sample brings
    squared: float = 1.0  # weight of the squared error
    # weights of the absolute errors of pixels, and of the differences between neighbours, which leave edges
    # sharp where the small picture is unsure of them; for networks that say the picture, not in the paper
    absolute: float = 0.0
    edges: float = 0.0
    crop: float = 0.25  # side of a training crop, of the picture's
    crops: int = 1  # crops from each picture that is read
    min_snr: float | None = None  # see diffusion.loss.simple
    storage: str = "int8"  # of the weights in the bundle

    def __post_init__(self) -> None:
        for name in ("chance", "given"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadInput(f"task.{name}={getattr(self, name)}: a share from 0 to 1 is needed")
        weights = {name: getattr(self, name) for name in ("squared", "absolute", "edges")}
        for name, weight in weights.items():
            if weight < 0:
                raise BadInput(f"task.{name}={weight}: a weight of 0 or more is needed")
        if sum(weights.values()) == 0:
            raise BadInput("task.squared, task.absolute and task.edges are all 0; nothing would be learned")
        if weights["absolute"] + weights["edges"] > 0 and self.net.predicts != "x0":
            raise BadInput(
                f'task.absolute and task.edges need task.net.predicts="x0", not {self.net.predicts}'
            )
        if self.crops < 1:
            raise BadInput(f"task.crops={self.crops}: at least 1 is needed")
        if self.net.last:
            raise BadInput("task.net.last: a network for the last step alone is imported, not trained")
        side = self.crop_side
        if not 0 < self.crop <= 1 or side % self.net.factor or side % self.net.unet.stride:
            raise BadInput(
                f"task.crop={self.crop}: {self.net.size} px times it must be a multiple of the factor "
                f"{self.net.factor} and of the U-Net's stride {self.net.unet.stride}"
            )

    @property
    def crop_side(self) -> int:
        """Pixels per side of a training crop."""
        return round(self.crop * self.net.size)

    def build(self, using: Mapping[str, Bundle], init: Bundle | None) -> UpsamplerTask:
        """The task with fresh weights, or with those of `init`."""
        if using:
            raise BadInput(f"--using {next(iter(using))}: an upsampler builds on no other network")
        task = UpsamplerTask(self)
        if init is not None:
            name = component_name(self.net.size)
            fill_module(task.net, init.tensors(name), name)
        return task


class UpsamplerTask:
    """One network, `net`. K crops a picture, S pixels a side of a crop."""

    bundle_kind = "upsampler"
    languages: tuple[str, ...] = ()  # it never sees a word
    defaults: Mapping[str, str] = {}

    def __init__(self, config: UpsamplerTaskConfig):
        self.config = config
        self.net = Upsampler(config.net)
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.schedule = config.net.levels()
        self._shown: list[np.ndarray] = []

    def prepare(self, source: Source, rng: torch.Generator) -> None:
        """Choose the pictures of the preview sheets."""
        chosen = torch.randint(len(source), (SHOWN,), generator=rng).tolist()
        self._shown = [self._whole(source[i]) for i in chosen]

    def example(self, sample: Sample, generator: torch.Generator) -> dict[str, Tensor]:
        """high (K, 3, S, S) uint8, low (K, 3, S / factor, S / factor) uint8. Raises DataError for a picture
        that is too small, or brings a small one of another size.
        """
        self._check(sample)
        dice, side, factor = Dice(generator), self.config.crop_side, self.config.net.factor
        image, small = sample.image, sample.small
        scale = min(image.shape[:2]) // self.config.net.size
        if scale > 1:  # a photograph's own pixels are soft
            image = shrink(image[: image.shape[0] // scale * scale, : image.shape[1] // scale * scale], scale)
        height, width = image.shape[:2]
        if small is not None and (small.shape[0] * factor, small.shape[1] * factor) != (height, width):
            raise DataError(
                f"sample {sample.key}: its small picture has {small.shape[1]}x{small.shape[0]} pixels; "
                f"{width // factor}x{height // factor} are needed for {width}x{height}"
            )
        high: list[np.ndarray] = []
        low: list[np.ndarray] = []
        for _ in range(self.config.crops):
            told = small is not None and dice.chance(self.config.given)
            pitch = factor if told else 1
            top, left = (dice.whole(0, (length - side) // pitch) * pitch for length in (height, width))
            high.append(np.ascontiguousarray(image[top : top + side, left : left + side]))
            if small is not None and told:
                low.append(small[top // factor :, left // factor :][: side // factor, : side // factor])
            else:
                low.append(degraded(high[-1], factor, self.config.degrade, generator, self.config.chance))
        return {"high": _channels_first(high), "low": _channels_first(low)}

    def counts(self, data: dict[str, Tensor]) -> dict[str, float]:
        return {"samples": float(len(data["high"]))}

    def loss(self, batch: Batch, rng: SeedBatch) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Weighted errors of what is predicted, over crops and pictures."""
        config, crops, side = self.config, self.config.crops, self.config.crop_side
        high, low = (_pixels(batch.data[name].flatten(0, 1)) for name in ("high", "low"))  # (B K, 3, ...)
        guide = self.net.enlarge(low)
        x0 = self.net.to_sample(high, guide)
        t = (rng.uniform(crops) * len(self.schedule)).long().flatten()  # (B K,)
        eps = rng.normal(crops, 3, side, side).flatten(0, 1)
        output = self.net(noised(x0, eps, t, self.schedule), t, guide)
        share = 1 / crops / batch.totals["samples"]
        squared = simple(output, x0, eps, t, self.schedule, config.net.predicts, config.min_snr)  # (B K,)
        loss = config.squared * squared.sum() * share
        logged: dict[str, float | Tensor] = {}
        if config.absolute + config.edges > 0:
            off = output.float() - x0
            absolute, edges = (part.sum() * share for part in (_mean(off.abs()), _steps(off)))
            loss = loss + config.absolute * absolute + config.edges * edges
            logged = {"absolute": absolute.detach(), "edges": edges.detach()}
        return loss, logged

    def preview(self, rng: SeedBatch) -> Image.Image | None:
        """A row a picture: the small one, enlarged, upsampled, and the truth."""
        if not self._shown:
            return None
        low = torch.stack([_float(shrink(image, self.config.net.factor)) for image in self._shown])
        drawn = UpsamplerModel(self.net).draw(low.to(rng.device), rng.subset(slice(0, len(low))))
        cells: list[Image.Image] = []
        for small, image, truth in zip(low, drawn, self._shown, strict=True):
            cells += [
                to_image(small),
                to_image(self._bicubic(small)),
                to_image(image),
                Image.fromarray(truth),
            ]
        return contact_sheet(cells, columns=4, cell=min(512, self.config.net.size))

    def evaluate(self, source: Source, n: int) -> dict[str, float]:
        """PSNR in dB, the mean over n whole pictures from small ones that nothing worse was done to, beside
        that of bicubic enlarging.
        """
        model, device = UpsamplerModel(self.net), next(self.net.parameters()).device
        totals: dict[str, float] = dict.fromkeys(("psnr", "psnr_bicubic"), 0.0)
        for i in range(n):
            truth = self._whole(source[i % len(source)])
            low = _float(shrink(truth, self.config.net.factor))[None]
            pictures = {
                "psnr": model.draw(low.to(device), SeedBatch([i], device)),
                "psnr_bicubic": self._bicubic(low[0])[None],
            }
            for name, picture in pictures.items():
                totals[name] += psnr(picture[0].cpu(), _float(truth))
        return {name: total / n for name, total in totals.items()}

    def components(self) -> dict[str, Component]:
        """`upsample_256`, or whatever the size is."""
        config, tensors = to_json(self.config.net), self.net.state_dict()
        name = component_name(self.config.net.size)
        return {name: Component(config=config, tensors=tensors, storage=self.config.storage)}

    def golden(self) -> None:
        """It draws nothing from words."""
        return None

    def _bicubic(self, low: Tensor) -> Tensor:
        """low (3, h, w) in 0..1 -> (3, H, W)"""
        return self.net.enlarge(low[None])[0].clamp(0, 1)

    def _whole(self, sample: Sample) -> np.ndarray:
        """(size, size, 3) uint8"""
        self._check(sample)
        return centre(sample.image, self.config.net.size)

    def _check(self, sample: Sample) -> None:
        height, width = sample.image.shape[:2]
        size = self.config.net.size
        if min(height, width) < size:
            raise DataError(
                f"sample {sample.key} has {width}x{height} pixels; an upsampler to {size} px learns from "
                f"pictures of {size} px a side and more"
            )


def psnr(image: Tensor, truth: Tensor) -> float:
    """(3, H, W) each in 0..1 -> dB, of 8-bit pixels"""
    error = ((image * 255).round() - (truth * 255).round()).square().mean().item() / 255**2
    return -10 * float(np.log10(max(error, 1e-10)))


def _mean(error: Tensor) -> Tensor:
    """(B, C, H, W) -> (B,)"""
    return error.mean(dim=(1, 2, 3))


def _steps(error: Tensor) -> Tensor:
    """error (B, C, H, W) -> (B,), how much it changes from a pixel to the next, down and across"""
    return _mean(error.diff(dim=2).abs()) + _mean(error.diff(dim=3).abs())


def _channels_first(images: list[np.ndarray]) -> Tensor:
    """K times (S, S, 3) -> (K, 3, S, S)"""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()


def _float(image: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 -> (3, H, W) in 0..1"""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


def _pixels(image: Tensor) -> Tensor:
    """uint8 -> float in -1..1"""
    return image.float() / 127.5 - 1
