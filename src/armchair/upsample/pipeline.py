"""An upsampler as the systems use it: small pictures in, large ones out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from armchair.core.config import from_json
from armchair.core.errors import BadInput, BundleError
from armchair.core.parts import load_network
from armchair.core.rng import SeedBatch
from armchair.core.step import Preview
from armchair.diffusion.prediction import Denoiser, clipped, denoiser
from armchair.diffusion.samplers import ddim, ddpm
from armchair.diffusion.schedule import Schedule
from armchair.upsample.config import UpsamplerConfig
from armchair.upsample.network import Upsampler

if TYPE_CHECKING:
    from armchair.core.bundle import Bundle


def component_name(size: int) -> str:
    """What an upsampler is called in a bundle: `upsample_256`."""
    return f"upsample_{size}"


class UpsamplerModel:
    """The network, loaded. B pictures, h and w pixels of a small one, H and W of a large one."""

    kind = "upsampler"

    def __init__(self, net: Upsampler):
        self.net = net.eval()
        self.config = net.config

    @classmethod
    def from_bundle(
        cls, bundle: Bundle, device: torch.device, dtype: torch.dtype, size: int | None = None
    ) -> UpsamplerModel:
        """size: which of a bundle's upsamplers, by the pixels per side that it gives; None: its only one.

        Raises BundleError where there is none, or it is damaged or does not fit its config.
        """
        held = [name for name in bundle.components if name.startswith("upsample_")]
        name = held[0] if size is None and len(held) == 1 else component_name(0 if size is None else size)
        if name not in held:
            raise BundleError(
                f"{bundle.folder}: no upsampler to {size} px; it has {', '.join(held) or 'none'}"
            )
        config = from_json(UpsamplerConfig, bundle.config(name), name)
        net = load_network(bundle, name, lambda: Upsampler(config), device, dtype)
        return cls(cast(Upsampler, net))

    def draw(self, images: Tensor, seeds: SeedBatch, steps: int | str | None = None) -> Tensor:
        """images (B, 3, h, w) in 0..1 -> (B, 3, H, W) in 0..1"""
        *_, last = self.stream(images, seeds, steps)
        return last.images

    @torch.no_grad()
    def stream(self, images: Tensor, seeds: SeedBatch, steps: int | str | None = None) -> Iterator[Preview]:
        """images (B, 3, h, w) in 0..1 -> previews (B, 3, H, W), a picture's next step in each.

        The pictures are drawn one after another, so that memory is that of one and each is the same alone or
        in a batch; those that wait are shown enlarged. They are rounded to 8 bits first, as in GLIDE. steps:
        a word of Schedule.respace; None: the config's. Raises BadInput for steps that cannot be and for sides
        that do not fit.
        """
        config = self.config
        schedule = config.levels().respace(config.steps if steps is None else steps)
        self._check(images)
        device = next(self.net.parameters()).device
        low = images.to(device).float().clamp(0, 1)
        low = (low * 255).round() / 127.5 - 1 if config.rounded else low * 2 - 1
        shown = (self.net.enlarge(low).clamp(-1, 1) + 1) / 2  # (B, 3, H, W)
        total = len(images) * len(schedule)
        for row in range(len(images)):
            guide = self.net.enlarge(low[row : row + 1])
            own, denoise = seeds.subset(slice(row, row + 1)), self._denoiser(guide, schedule)
            x = own.normal(*guide.shape[1:]).to(device)
            ddpm_steps = config.sampler == "ddpm"
            for step in ddpm(denoise, x, schedule, own) if ddpm_steps else ddim(denoise, x, schedule):
                shown = shown.clone()
                shown[row] = (self.net.to_picture(step.x0[0], guide[0]) + 1) / 2
                yield Preview(row * len(schedule) + step.index, total, shown)

    def _denoiser(self, guide: Tensor, schedule: Schedule) -> Denoiser:
        """For one picture: x0 is kept where pixels can be."""
        dtype, end = next(self.net.parameters()).dtype, int(schedule.times[0])

        def output(x: Tensor, t: Tensor) -> Tensor:
            return self.net(x.to(dtype), t, guide.to(dtype), last=int(t[0]) == end)

        denoise = denoiser(output, schedule, self.config.predicts)
        if self.config.residual == 0:
            return clipped(denoise, schedule)
        return denoise

    def _check(self, images: Tensor) -> None:
        height, width = images.shape[2:]
        stride = self.config.unet.stride
        for side in (height, width):
            if side * self.config.factor % stride:
                raise BadInput(
                    f"a picture of {width}x{height} cannot be enlarged {self.config.factor} times: its sides "
                    f"must then be multiples of {stride}"
                )
