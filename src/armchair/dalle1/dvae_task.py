"""Training the image tokenizer: the relaxed evidence bound (arXiv:2102.12092, 2.1 and appendix A.2)."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from armchair.core.bundle import Component
from armchair.core.config import to_json
from armchair.core.errors import BadInput
from armchair.core.images import contact_sheet, to_image
from armchair.core.packing import fill_module
from armchair.core.rng import SeedBatch
from armchair.core.task import Batch, Sample, Source
from armchair.dalle1.codebook import fit_codebook
from armchair.dalle1.config import DVAEConfig
from armchair.dalle1.dvae import DVAE, kl_from_uniform, logit_laplace_nll, map_pixels, relax
from armchair.data.augment import augment_dvae, centre

if TYPE_CHECKING:
    from PIL import Image

    from armchair.core.bundle import Bundle

log = logging.getLogger("armchair")

COLLAPSED = 0.02  # share of the codebook in use below which a trained dVAE has collapsed
FITTED = 4_096  # pictures that a codebook of clusters is fitted to
PREVIEWED = 8  # pictures on a preview sheet, each above its reconstruction


@dataclass(frozen=True, kw_only=True)
class DVAETaskConfig:
    """How to train the dVAE. The defaults are the paper's (appendix A.2); all three schedules are cosines."""

    net: DVAEConfig = field(default_factory=DVAEConfig)
    kl_weight: float = 6.6  # beta, once it has risen
    kl_warmup: int = 5_000  # updates over which beta rises from 0
    temperature: float = 1 / 16  # of the relaxation, once it has fallen from 1
    temperature_steps: int = 150_000  # updates over which it falls
    smallest_scale: float = 0.0  # floor of the predicted scale: flat areas must not outweigh edges; paper: 0
    augment: bool = True  # crops and flips of listing 1; off: the middle square, as scenes are drawn to fit
    codebook: Literal["learned", "clusters"] = "learned"  # clusters: of the features of --init's network
    frozen_encoder: bool = False  # train the decoder alone, on hard codes: the codes keep their meaning
    storage: str = "float16"  # of the weights in the bundle

    def __post_init__(self) -> None:
        if not 0 < self.temperature <= 1:
            raise BadInput(f"task.temperature={self.temperature}: a number above 0, at most 1, is needed")
        for name in ("kl_warmup", "temperature_steps"):
            if getattr(self, name) < 1:
                raise BadInput(f"task.{name}={getattr(self, name)}: at least 1 update is needed")

    def build(self, using: Mapping[str, Bundle], init: Bundle | None) -> DVAETask:
        """The task with fresh weights, or with those of `init`'s component `dvae`."""
        if using:
            raise BadInput(f"--using {next(iter(using))}: the dVAE is the first stage and builds on no other")
        if self.frozen_encoder and (init is None or self.codebook == "clusters"):
            raise BadInput(
                "task.frozen_encoder keeps the codes of a dVAE: --init BUNDLE, task.codebook=learned"
            )
        if self.codebook == "clusters" and init is None:
            raise BadInput("task.codebook=clusters looks at what a network sees: name a dVAE with --init")
        task = DVAETask(self)
        if init is not None:
            fill_module(task.net, init.tensors("dvae"), "dvae")
        task.net.encoder.requires_grad_(not self.frozen_encoder)
        return task


class DVAETask:
    """One network, `net`: encoder and decoder together."""

    bundle_kind = "dvae"
    languages: tuple[str, ...] = ()  # it never sees a word
    defaults: Mapping[str, float] = {}

    def __init__(self, config: DVAETaskConfig):
        self.config = config
        self.net = DVAE(config.net)
        self._shown: Tensor | None = None

    def prepare(self, source: Source, rng: torch.Generator) -> None:
        """Choose the pictures of the preview sheets, and fit the codebook where the recipe says so."""
        chosen = torch.randint(len(source), (PREVIEWED,), generator=rng).tolist()
        self._shown = torch.stack([self._middle(source[i]) for i in chosen])
        if self.config.codebook == "clusters":
            picks = torch.randint(len(source), (FITTED // 64, 64), generator=rng).tolist()
            self.net.cpu()
            fit_codebook(
                self.net, [torch.stack([self._middle(source[i]) for i in row]) for row in picks], rng
            )

    def example(self, sample: Sample, generator: torch.Generator) -> dict[str, Tensor]:
        """image (3, S, S) uint8"""
        size = self.config.net.image_size
        augmented = self.config.augment
        pixels = augment_dvae(sample.image, size, generator) if augmented else centre(sample.image, size)
        return {"image": torch.from_numpy(pixels).permute(2, 0, 1)}

    def counts(self, data: dict[str, Tensor]) -> dict[str, float]:
        return {"samples": float(len(data["image"]))}

    def loss(self, batch: Batch, rng: SeedBatch) -> tuple[Tensor, dict[str, float | Tensor]]:
        """The bound in nats a colour value: reconstruction, and beta times the KL of all cells over 3 H W."""
        x = map_pixels(_pixels(batch.data["image"]))
        temperature, beta = self.temperature(batch.step), self.beta(batch.step)
        logits = self.net.encoder(x)  # (B, K, h, w)
        if self.config.frozen_encoder:
            kl = kl_from_uniform(logits)
            mu, log_scale = self.net.decoder.lookup(logits.argmax(dim=1))
        else:
            z, kl = relax(logits, _noise(logits, rng), temperature)
            mu, log_scale = self.net.decoder(z)
        share = 1 / batch.totals["samples"]
        nll = self._nll(x, mu, log_scale).sum() * share
        kl = kl.sum(dim=(1, 2)).sum() * share / x[0].numel()
        used, perplexity = codebook_use(logits.detach().argmax(dim=1), logits.shape[1])
        here = len(batch) * share
        return nll + beta * kl, {
            "bound": (nll + kl).detach(),  # at beta = 1, so that it can be compared between steps
            "nll": nll.detach(),
            "kl": kl.detach(),
            "perplexity": perplexity * here,
            "used": used * here,
            "temperature": temperature * here,
            "beta": beta * here,
        }

    def _nll(self, x: Tensor, mu: Tensor, log_scale: Tensor) -> Tensor:
        """(B, 3, H, W) each -> (B,) nats a colour value"""
        if self.config.smallest_scale > 0:
            log_scale = log_scale.clamp_min(math.log(self.config.smallest_scale))
        return logit_laplace_nll(x, mu, log_scale).mean(dim=(1, 2, 3))

    def temperature(self, step: int) -> float:
        """1 down to the final temperature."""
        return _cosine(1.0, self.config.temperature, step / self.config.temperature_steps)

    def beta(self, step: int) -> float:
        """0 up to the KL weight."""
        return _cosine(0.0, self.config.kl_weight, step / self.config.kl_warmup)

    def preview(self, rng: SeedBatch) -> Image.Image | None:
        """Pictures, each above its reconstruction."""
        if self._shown is None:
            return None
        x = self._shown.to(rng.device)
        pairs = [*x, *self.net.decode(self.net.encode(x))]
        return contact_sheet([to_image(image) for image in pairs], columns=len(x))

    def evaluate(self, source: Source, n: int) -> dict[str, float]:
        """PSNR in dB (mean over pictures) of hard codes, the bound's terms, how much of the codebook is in
        use, and what hard codes cost over relaxed ones, in nats a colour value.
        """
        device = next(self.net.parameters()).device
        sums = dict.fromkeys(("psnr", "nll_hard", "nll_soft", "kl"), 0.0)
        counts = torch.zeros(self.config.net.vocab)
        rng = SeedBatch(range(n), device)
        for start in range(0, n, 32):
            images = [self._middle(source[i % len(source)]) for i in range(start, min(n, start + 32))]
            image = torch.stack(images).to(device)
            x = map_pixels(image)
            logits = self.net.encoder(x)
            codes = logits.argmax(dim=1)
            noise = _noise(logits, rng.subset(slice(start, start + len(image))))
            soft, kl = relax(logits, noise, self.config.temperature)
            sums["nll_soft"] += self._nll(x, *self.net.decoder(soft)).sum().item()
            sums["nll_hard"] += self._nll(x, *self.net.decoder.lookup(codes)).sum().item()
            sums["kl"] += kl.sum().item() / x[0].numel()
            error = (self.net.decode(codes) - image).square().mean(dim=(1, 2, 3))
            sums["psnr"] += (-10 * torch.log10(error.clamp_min(1e-10))).sum().item()
            counts += torch.bincount(codes.flatten().cpu(), minlength=len(counts))
        scores = {name: total / n for name, total in sums.items()}
        scores["hard_minus_soft"] = scores["nll_hard"] - scores["nll_soft"]
        scores["used"] = (counts > 0).float().mean().item()
        scores["perplexity"] = _perplexity(counts)
        if scores["used"] < COLLAPSED:
            log.warning(
                "the codebook has collapsed: %.1f %% of it is in use. Lower task.kl_weight or optim.lr, or "
                "let the temperature fall more slowly (task.temperature_steps)",
                100 * scores["used"],
            )
        return scores

    def components(self) -> dict[str, Component]:
        """`dvae`."""
        config = to_json(self.config.net)
        return {"dvae": Component(config=config, tensors=self.net.state_dict(), storage=self.config.storage)}

    def golden(self) -> None:
        """It draws nothing from words."""
        return None

    def _middle(self, sample: Sample) -> Tensor:
        """(3, S, S) float 0..1"""
        pixels = centre(sample.image, self.config.net.image_size)
        return _pixels(torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1))


def codebook_use(codes: Tensor, vocab: int) -> tuple[float, float]:
    """codes (any shape) -> the share of the codebook that occurs, and the perplexity of how often."""
    counts = torch.bincount(codes.flatten(), minlength=vocab).float()
    return (counts > 0).float().mean().item(), _perplexity(counts)


def _perplexity(counts: Tensor) -> float:
    p = counts / counts.sum()
    return math.exp(-torch.xlogy(p, p).sum().item())


def _cosine(start: float, end: float, done: float) -> float:
    """Half a cosine wave from start to end; `done` past 1 stays at the end."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def _noise(logits: Tensor, rng: SeedBatch) -> Tensor:
    """Uniform numbers (B, K, h, w), the codes of a cell next to each other in memory as in the logits."""
    _, vocab, h, w = logits.shape
    return rng.uniform(h, w, vocab).movedim(-1, 1)


def _pixels(image: Tensor) -> Tensor:
    """uint8 (..., 3, H, W) -> float in [0, 1]"""
    return image.float() / 255
