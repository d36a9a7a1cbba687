"""Training the diffusion decoder, and distilling it to two steps (DALL·E 3, appendix B; arXiv:2303.01469)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from armchair.core.bundle import Bundle, Component, Shared
from armchair.core.config import from_json, to_json
from armchair.core.errors import BadInput
from armchair.core.images import contact_sheet, from_pixels, to_image, to_pixels
from armchair.core.packing import fill_module
from armchair.core.parts import copied
from armchair.core.rng import SeedBatch
from armchair.core.task import Batch, Sample, Source
from armchair.dalle3.config import ConsistencyConfig
from armchair.dalle3.consistency import ConsistencyDecoder
from armchair.dalle3.parts import load_part
from armchair.dalle3.shapes import picture
from armchair.diffusion.loss import noised

if TYPE_CHECKING:
    from PIL import Image

    from armchair.nn.autoencoder import Autoencoder

FITTED = 256  # pictures whose latents give the scale
SHOWN = 8  # pictures of the preview sheet, each above what the two decoders make of its latent
ROWS = 32  # pictures that evaluation and fitting compute at a time
CPU = torch.device("cpu")
BUNDLE = "consistency"  # the component, and the kind of bundle


@dataclass(frozen=True, kw_only=True)
class ConsistencyTaskConfig:
    """How to train the decoder: as a denoiser, or, with --using teacher=BUNDLE, to agree with itself along
    the teacher's path.
    """

    net: ConsistencyConfig = field(default_factory=ConsistencyConfig)
    side: int = 256  # pixels per side of a training picture
    huber: float = 0.03  # errors below it count by their square, larger ones by themselves
    storage: str = "float16"  # of the weights in the bundle

    def __post_init__(self) -> None:
        if not self.huber > 0:
            raise BadInput(f"task.huber={self.huber}: a number above 0 is needed")

    def build(self, using: Mapping[str, Bundle], init: Bundle | None) -> ConsistencyTask:
        """using: `autoencoder` (needed), whose latents are decoded; `teacher`: a decoder to distil, whose
        weights the new one starts from.  init: a decoder to go on from.

        Raises BadInput for a stage that is missing or unknown, or a teacher of other sizes.
        """
        for stage in using:
            if stage not in ("autoencoder", "teacher"):
                raise BadInput(f"--using {stage}: the decoder builds on autoencoder and teacher")
        if "autoencoder" not in using:
            raise BadInput("autoencoder is needed: --using autoencoder=BUNDLE")
        coder = cast("Autoencoder", load_part(using["autoencoder"], "autoencoder", CPU, torch.float32))
        net = replace(self.net, channels=coder.config.channels, stride=coder.config.stride)
        teacher: ConsistencyDecoder | None = None
        if "teacher" in using:
            given = from_json(ConsistencyConfig, using["teacher"].config(BUNDLE), "teacher")
            if replace(given, visited=net.visited) != net:
                raise BadInput(f"--using teacher={using['teacher'].folder}: its sizes are not task.net's")
            teacher = cast(ConsistencyDecoder, load_part(using["teacher"], BUNDLE, CPU, torch.float32))
        task = ConsistencyTask(replace(self, net=net), coder, teacher, using["autoencoder"])
        start = using.get("teacher") if init is None else init
        if start is not None:
            fill_module(task.net, start.tensors(BUNDLE), BUNDLE)
            task.fitted = True
        return task


class ConsistencyTask:
    """One network, `net`; the autoencoder and the teacher stand frozen beside it. B pictures, S pixels a
    side.
    """

    bundle_kind = BUNDLE
    languages: tuple[str, ...] = ()  # it never sees a word
    defaults: Mapping[str, float] = {}

    def __init__(
        self,
        config: ConsistencyTaskConfig,
        coder: Autoencoder,
        teacher: ConsistencyDecoder | None,
        home: Bundle,
    ):
        """home: the bundle that the autoencoder comes from"""
        self.config = config
        self.coder = coder
        self.teacher = teacher
        self.net = ConsistencyDecoder(config.net)
        self.fitted = False  # whether the scale came with the weights
        self.schedule = config.net.levels_of_noise
        self._home = home
        self._shown: Tensor | None = None

    def prepare(self, source: Source, rng: torch.Generator) -> None:
        """Choose the pictures of the preview sheets, and fit the scale of the latents."""
        chosen = torch.randint(len(source), (SHOWN,), generator=rng).tolist()
        self._shown = torch.stack([self._picture(source[i]) for i in chosen])
        rows = torch.randint(len(source), (-(-FITTED // ROWS), ROWS), generator=rng).tolist()
        if not self.fitted:
            images = (torch.stack([self._picture(source[i]) for i in row]) for row in rows)
            self.net.scale.fit(torch.cat([self._encoded(image)[1] for image in images]))

    def example(self, sample: Sample, generator: torch.Generator) -> dict[str, Tensor]:
        """image (3, S, S) uint8"""
        return {"image": self._picture(sample)}

    def counts(self, data: dict[str, Tensor]) -> dict[str, float]:
        return {"samples": float(len(data["image"]))}

    def loss(self, batch: Batch, rng: SeedBatch) -> tuple[Tensor, dict[str, float | Tensor]]:
        """The error of the clean picture in units of c_out, against the truth or, distilling, against what
        the decoder itself says one level below on the teacher's path (arXiv:2303.01469, algorithm 2, with the
        weights as they are for its target, arXiv:2310.14189).
        """
        x0, latent = self._encoded(batch.data["image"])
        net, rounding = self.config.net, self.config.net.rounding
        t = rng.randint(1, net.steps // rounding) * rounding
        x = noised(x0, rng.normal(*x0.shape[1:]), t, self.schedule)
        found = self.net(x, t, latent)
        target = x0 if self.teacher is None else self._target(x, t, latent, x0)
        with torch.autocast(x0.device.type, enabled=False):
            _, c_out, _ = self.net.coefficients(t, x0)
            size = self.config.huber
            each = (((found.float() - target) / c_out).square() + size**2).sqrt() - size
            return each.mean(dim=(1, 2, 3)).sum() / batch.totals["samples"], {}

    @torch.no_grad()
    def _target(self, x: Tensor, t: Tensor, latent: Tensor, x0: Tensor) -> Tensor:
        """x (B, 3, S, S) at levels t (B,) -> the clean picture that is seen from one level below"""
        assert self.teacher is not None
        below = t - self.config.net.rounding
        said = self.teacher(x, t, latent)
        alpha, sigma = self.schedule.alpha_sigma(t, x)
        after, spread = self.schedule.alpha_sigma(below, x)
        there = after * said + spread * (x - alpha * said) / sigma  # DDIM's step
        return torch.where((below > 0)[:, None, None, None], self.net(there, below, latent).float(), x0)

    def preview(self, rng: SeedBatch) -> Image.Image | None:
        """Pictures; below them what the autoencoder makes of their latents, and what this decoder does."""
        if self._shown is None:
            return None
        shown = self._shown[: len(rng)]
        x0, latent = self._encoded(shown)
        drawn = self.net.draw(latent, rng.subset(slice(0, len(shown))))
        images = [to_pixels(x) for x in (x0, self.coder.decode(latent), drawn)]
        return contact_sheet([to_image(image) for row in images for image in row], columns=len(shown))

    def evaluate(self, source: Source, n: int) -> dict[str, float]:
        """PSNR in dB, the mean over pictures, of what this decoder draws and of the autoencoder's own; and
        the same from the network's first step alone.
        """
        device = self.net.scale.mean.device
        sums: dict[str, float] = dict.fromkeys(("psnr", "psnr_plain", "psnr_one_step"), 0.0)
        for start in range(0, n, ROWS):
            rows = range(start, min(n, start + ROWS))
            image = torch.stack([self._picture(source[i % len(source)]) for i in rows])
            x0, latent = self._encoded(image)
            seeds = SeedBatch(list(rows), device)
            t = torch.full((len(rows),), self.config.net.visited[0], device=device)
            _, sigma = self.schedule.alpha_sigma(t, x0)
            first = self.net(sigma * SeedBatch(list(rows), device).normal(*x0.shape[1:]), t, latent)
            for name, drawn in (
                ("psnr", self.net.draw(latent, seeds)),
                ("psnr_plain", self.coder.decode(latent)),
                ("psnr_one_step", first),
            ):
                error = (to_pixels(drawn) - to_pixels(x0)).square().mean(dim=(1, 2, 3))
                sums[name] += (-10 * error.clamp_min(1e-10).log10()).sum().item()
        return {name: total / n for name, total in sums.items()}

    def components(self) -> dict[str, Component | Shared]:
        """`consistency`, and the `autoencoder` whose latents it decodes."""
        config, tensors = to_json(self.config.net), self.net.state_dict()
        own = Component(config=config, tensors=tensors, storage=self.config.storage)
        return {BUNDLE: own, "autoencoder": copied(self._home, "autoencoder")}

    def golden(self) -> None:
        """It draws nothing from words."""
        return None

    def _picture(self, sample: Sample) -> Tensor:
        """(3, S, S) uint8"""
        return picture(sample.image, (self.config.side, self.config.side))

    @torch.no_grad()
    def _encoded(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """image (B, 3, S, S) uint8 -> pixels in -1..1, and the means of their latents (B, C, h, w)"""
        x0 = from_pixels(image.to(self.net.scale.mean.device).float() / 255)
        return x0, self.coder.encode(x0).mean.float()
