"""Training the KL autoencoder (arXiv:2112.10752, section 3.1 and appendix G, without its adversary)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from armchair.core.bundle import Component
from armchair.core.config import to_json
from armchair.core.errors import BadInput
from armchair.core.images import contact_sheet, from_pixels, to_image, to_pixels
from armchair.core.packing import fill_module
from armchair.core.rng import SeedBatch
from armchair.core.task import Batch, Sample, Source
from armchair.dalle3.parts import part_config
from armchair.data.augment import augment_dvae, centre
from armchair.nn.autoencoder import Autoencoder, AutoencoderConfig

if TYPE_CHECKING:
    from PIL import Image

    from armchair.core.bundle import Bundle

ENCODING = ("encoder.", "moments.")  # begin the names of the weights that make latents
PREVIEWED = 8  # pictures on a preview sheet, each above its reconstruction
ROWS = 32  # pictures that evaluation computes at a time


@dataclass(frozen=True, kw_only=True)
class AutoencoderTaskConfig:
    """How to train the autoencoder. Terms are means over colour values in -1..1, and the KL is summed over a
    latent and divided by as many, so that the paper's weight of 1e-6 is meant as it stands.
    """

    net: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    absolute: float = 1.0  # weight of the absolute error
    squared: float = 0.0  # weight of the squared error, which PSNR counts
    kl_weight: float = 1e-6  # of the KL from the standard normal law
    frozen_encoder: bool = False  # train the decoder alone: latents keep their meaning
    shaken: float = 0.0  # standard deviation of noise on the latents that are decoded, beside their own
    augment: bool = True  # random crops and flips; off: the middle square, as scenes are drawn to fit
    storage: str = "float16"  # of the weights in the bundle

    def __post_init__(self) -> None:
        for name in ("absolute", "squared", "kl_weight", "shaken"):
            if not getattr(self, name) >= 0:
                raise BadInput(f"task.{name}={getattr(self, name)}: 0 or more is needed")
        if self.absolute + self.squared == 0:
            raise BadInput("task.absolute and task.squared are both 0; nothing would be learned")

    def build(self, using: Mapping[str, Bundle], init: Bundle | None) -> AutoencoderTask:
        """The task with fresh weights, or with those of `init`'s component `autoencoder`, of its encoder
        alone where the decoders differ.

        Raises BadInput for stages, and for a frozen encoder that `init` does not give.
        """
        if using:
            raise BadInput(f"--using {next(iter(using))}: the autoencoder is the first stage and needs none")
        if self.frozen_encoder and init is None:
            raise BadInput("task.frozen_encoder keeps the latents of an autoencoder: --init BUNDLE")
        task = AutoencoderTask(self)
        if init is not None:
            tensors = init.tensors("autoencoder")
            if part_config(init, "autoencoder").drawn != self.net.drawn:
                fresh = task.net.state_dict()
                tensors = {n: x for n, x in tensors.items() if n.startswith(ENCODING)}
                tensors |= {n: x for n, x in fresh.items() if not n.startswith(ENCODING)}
            fill_module(task.net, tensors, "autoencoder")
        for name, weight in task.net.named_parameters():
            weight.requires_grad_(not (self.frozen_encoder and name.startswith(ENCODING)))
        return task


class AutoencoderTask:
    """One network, `net`: encoder and decoder together. B pictures, S pixels a side."""

    bundle_kind = "autoencoder"
    languages: tuple[str, ...] = ()  # it never sees a word
    defaults: Mapping[str, float] = {}

    def __init__(self, config: AutoencoderTaskConfig):
        self.config = config
        self.net = Autoencoder(config.net)
        self._shown: Tensor | None = None

    def prepare(self, source: Source, rng: torch.Generator) -> None:
        """Choose the pictures of the preview sheets."""
        chosen = torch.randint(len(source), (PREVIEWED,), generator=rng).tolist()
        self._shown = torch.stack([self._middle(source[i]) for i in chosen])

    def example(self, sample: Sample, generator: torch.Generator) -> dict[str, Tensor]:
        """image (3, S, S) uint8"""
        size = self.config.net.image_size
        if not self.config.augment:
            return {"image": self._middle(sample)}
        return {"image": _channels_first(augment_dvae(sample.image, size, generator))}

    def counts(self, data: dict[str, Tensor]) -> dict[str, float]:
        return {"samples": float(len(data["image"]))}

    def loss(self, batch: Batch, rng: SeedBatch) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Weighted errors of the pictures decoded from a drawn latent, and the weighted KL."""
        x = from_pixels(batch.data["image"].float() / 255)
        moments = self.net.encode(x)
        latent = moments.draw(rng.normal(*moments.mean.shape[1:]))
        if self.config.shaken > 0:
            latent = latent + self.config.shaken * rng.normal(*latent.shape[1:])
        error = self.net.decode(latent).float() - x
        share = 1 / batch.totals["samples"]
        absolute = error.abs().mean(dim=(1, 2, 3)).sum() * share
        squared = error.square().mean(dim=(1, 2, 3)).sum() * share
        kl = moments.kl().sum() * share / x[0].numel()
        config = self.config
        total = config.absolute * absolute + config.squared * squared + config.kl_weight * kl
        return total, {"absolute": absolute.detach(), "squared": squared.detach(), "kl": kl.detach()}

    def preview(self, rng: SeedBatch) -> Image.Image | None:
        """Pictures, each above its reconstruction."""
        if self._shown is None:
            return None
        x = self._shown.to(rng.device).float() / 255
        decoded = to_pixels(self.net.decode(self.net.encode(from_pixels(x)).mean))
        return contact_sheet([to_image(image) for image in (*x, *decoded)], columns=len(x))

    def evaluate(self, source: Source, n: int) -> dict[str, float]:
        """PSNR in dB (mean over pictures) of the latent's mean and of a drawn one; standard deviation of the
        means over all pictures and cells, and of the noise around them, averaged over channels; the KL in
        nats a number of the latent.
        """
        device = next(self.net.parameters()).device
        sums: dict[str, float] = dict.fromkeys(("psnr", "psnr_drawn", "noise", "kl"), 0.0)
        means: list[Tensor] = []
        for start in range(0, n, ROWS):
            rows = range(start, min(n, start + ROWS))
            x = torch.stack([self._middle(source[i % len(source)]) for i in rows]).to(device).float() / 255
            moments = self.net.encode(from_pixels(x))
            drawn = moments.draw(SeedBatch(list(rows), device).normal(*moments.mean.shape[1:]))
            for name, latent in (("psnr", moments.mean), ("psnr_drawn", drawn)):
                error = (to_pixels(self.net.decode(latent)) - x).square().mean(dim=(1, 2, 3))
                sums[name] += (-10 * error.clamp_min(1e-10).log10()).sum().item()
            sums["noise"] += (0.5 * moments.log_variance).exp().mean(dim=(1, 2, 3)).sum().item()
            sums["kl"] += moments.kl().sum().item() / moments.mean[0].numel()
            means.append(moments.mean.float())
        spread = torch.cat(means).std(dim=(0, 2, 3)).mean().item()
        return {**{name: total / n for name, total in sums.items()}, "spread": spread}

    def components(self) -> dict[str, Component]:
        """`autoencoder`."""
        config, tensors = to_json(self.config.net), self.net.state_dict()
        return {"autoencoder": Component(config=config, tensors=tensors, storage=self.config.storage)}

    def golden(self) -> None:
        """It draws nothing from words."""
        return None

    def _middle(self, sample: Sample) -> Tensor:
        """(3, S, S) uint8"""
        return _channels_first(centre(sample.image, self.config.net.image_size))


def _channels_first(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)
