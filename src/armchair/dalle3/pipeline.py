"""DALL·E 3 as a person uses it: words in, pictures out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from armchair.core.config import from_json
from armchair.core.images import from_pixels, parse_size, resized, to_pixels
from armchair.core.parts import Parts
from armchair.core.rng import SeedBatch, mix
from armchair.core.step import Preview, Step
from armchair.dalle3.config import LatentConfig
from armchair.dalle3.denoiser import Denoiser, Read
from armchair.dalle3.drawing import denoise_of, laid_out, read, steps_of
from armchair.dalle3.parts import parts_of
from armchair.diffusion.guidance import parse_interval
from armchair.diffusion.masks import known_part
from armchair.text.tokenizer import load_any
from armchair.upsample.cascade import enlarged, factors, restored

if TYPE_CHECKING:
    from PIL import Image

    from armchair.core.bundle import Bundle
    from armchair.dalle3.consistency import ConsistencyDecoder
    from armchair.nn.autoencoder import Autoencoder

PLAIN: dict[str, Any] = {"steps": 50, "guidance": 7.5, "guidance_interval": "0-1", "sampler": "ddim"}
CONSISTENCY = "consistency"  # the component, and the word of the option `decoder`


class Dalle3:
    """The text encoder, the latent denoiser, the autoencoder and the upsamplers that there are. B pictures, C
    channels and h, w cells of a latent, H, W pixels.
    """

    kind = "dalle3"
    operations = frozenset({"generate", "inpaint", "outpaint"})
    lacking: Mapping[str, str] = {}
    together = True
    expands = True

    def __init__(
        self,
        parts: Parts,
        config: LatentConfig,
        bpe: Any,
        languages: Sequence[str] = (),
        defaults: Mapping[str, Any] | None = None,
        device: torch.device | None = None,
    ):
        """config: the denoiser's"""
        self.parts = parts
        self.config = config
        self.side = config.side  # pixels of the shorter side that a latent holds
        self.bpe = bpe
        self.languages = tuple(languages)
        self.device = torch.device("cpu") if device is None else device
        self._sizes = {  # size -> the shape that is drawn, in pixels, and how many times it is enlarged
            f"{factor * width}x{factor * height}": ((width, height), factor)
            for width, height in config.shapes
            for factor in factors(parts)
        }
        self.sizes = list(self._sizes)
        decoder = {"decoder": "plain"} if CONSISTENCY in parts else {}
        plain = {**PLAIN, "shift": config.shift, **decoder}
        self.defaults: Mapping[str, Any] = {**plain, **({} if defaults is None else defaults)}
        self.operation_defaults = dict.fromkeys(("inpaint", "outpaint"), self.defaults)

    @classmethod
    def from_bundle(cls, bundle: Bundle, device: torch.device, dtype: torch.dtype) -> Dalle3:
        """Raises BundleError for a config that is damaged now, for weights when they are first needed."""
        config = from_json(LatentConfig, bundle.config("latent"), f"{bundle.name}/latent")
        parts, shown = parts_of(bundle, device, dtype), bundle.manifest
        return cls(parts, config, load_any(bundle.bytes("text")), shown.languages, shown.defaults, device)

    def stream(
        self, prompt: str | Sequence[str], seeds: Sequence[int], size: str, **options: Any
    ) -> Iterator[Preview]:
        """A preview a step: the picture that is then expected, small; then it is enlarged. prompt: of all
        pictures, or one a seed: each is then the picture that it would be alone.
        """
        settings = {**self.defaults, **options}
        shape, factor = self._sizes[size]
        net: Denoiser = self.parts["latent"]
        known = net.nothing_known(1, *self._grid(shape))
        drawn = self._previews(self._steps(prompt, seeds, shape, settings, known), seeds, settings)
        yield from enlarged(self.parts, drawn, seeds, factor, settings["steps"], self.device)

    def inpaint(
        self,
        image: Image.Image,
        keep: Tensor,
        prompt: str,
        seeds: Sequence[int],
        size: str,
        **options: Any,
    ) -> Iterator[Preview]:
        """Draw what is not kept. image: a picture of any size with the ratio of `size`; keep: (H, W) bool of
        the picture's size, True = kept. Kept pixels are, at the size that is drawn, those of the picture.
        """
        settings = {**self.operation_defaults["inpaint"], **options}
        shape, factor = self._sizes[size]
        small, small_keep = resized(image, keep, shape)
        large, large_keep = resized(image, keep, parse_size(size))
        net, coder = self.parts["latent"], self.parts["autoencoder"]
        cells = self._grid(shape)
        stays = torch.nn.functional.adaptive_avg_pool2d(small_keep.float(), cells) == 1  # (1, 1, h, w)
        stays = stays.to(self.device)
        with torch.no_grad():
            x0 = net.scale(masked_latent(coder, small.to(self.device), stays))
        steps = self._steps(prompt, seeds, shape, settings, known_part(x0, stays), (x0, stays))
        drawn = restored(self._previews(steps, seeds, settings), small, small_keep)
        previews = enlarged(self.parts, drawn, seeds, factor, settings["steps"], self.device)
        yield from restored(previews, large, large_keep)

    @torch.no_grad()
    def reconstruct(self, images: Tensor) -> Tensor:
        """images (B, 3, S, S) in 0..1, of `side` pixels -> what their latents keep of them"""
        coder: Autoencoder = self.parts["autoencoder"]
        return to_pixels(coder.decode(coder.encode(from_pixels(images)).mean))

    def words(self, prompt: str) -> Read:
        """A prompt as the denoiser reads it."""
        return read(self.parts["text_encoder"], self.parts["latent"], self.bpe.encode(prompt))

    def _steps(
        self,
        prompt: str | Sequence[str],
        seeds: Sequence[int],
        shape: tuple[int, int],
        settings: Mapping[str, Any],
        known: Tensor,
        kept: tuple[Tensor, Tensor] | None = None,
    ) -> Iterator[Step]:
        """Steps of latents (B, C, h, w) in the units of diffusion; settings: the drawing options."""
        prompts = [prompt] * len(seeds) if isinstance(prompt, str) else list(prompt)
        found = {text: self.words(text) for text in dict.fromkeys(["", *prompts])}
        net: Denoiser = self.parts["latent"]
        words = [found[text] for text in prompts]
        if kept is None:  # beside what is kept, what a layout says may have no room
            words = laid_out(net, words, seeds, *self._grid(shape))
        interval = parse_interval(settings["guidance_interval"])
        denoise = denoise_of(net, words, found[""], settings["guidance"], known, interval)
        rng = SeedBatch(seeds, self.device)
        x = rng.normal(self.config.channels, *self._grid(shape))
        return steps_of(net, denoise, x, settings["steps"], settings["shift"], rng, settings["sampler"], kept)

    def _previews(
        self, steps: Iterator[Step], seeds: Sequence[int], settings: Mapping[str, Any]
    ) -> Iterator[Preview]:
        """Pictures of what is expected, each decoded when it is looked at."""
        for step in steps:
            if step.index + 1 < settings["steps"]:
                images = partial(self.decode, step.x0)
            elif settings.get("decoder") == CONSISTENCY:
                images = partial(self._decode_in_steps, step.x, seeds)
            else:
                images = partial(self.decode, step.x)
            yield Preview(step.index, settings["steps"], images, len(seeds))

    @torch.no_grad()
    def decode(self, x0: Tensor) -> Tensor:
        """x0 (B, C, h, w) in the units of diffusion -> (B, 3, H, W) in 0..1, each picture by itself"""
        net: Denoiser = self.parts["latent"]
        coder: Autoencoder = self.parts["autoencoder"]
        latents = net.scale.back(x0)
        return torch.cat([to_pixels(coder.decode(latents[i : i + 1])) for i in range(len(latents))])

    @torch.no_grad()
    def _decode_in_steps(self, x0: Tensor, seeds: Sequence[int]) -> Tensor:
        """The same by the consistency decoder, whose noise is the seeds'."""
        decoder: ConsistencyDecoder = self.parts[CONSISTENCY]
        latents = self.parts["latent"].scale.back(x0)
        rng = SeedBatch([mix(seed, CONSISTENCY) for seed in seeds], self.device)
        rows = [slice(i, i + 1) for i in range(len(latents))]
        return torch.cat([to_pixels(decoder.draw(latents[row], rng.subset(row))) for row in rows])

    def _grid(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of cells of a shape (width, height) in pixels."""
        return shape[1] // self.config.stride, shape[0] // self.config.stride


def masked_latent(coder: Autoencoder, image: Tensor, keep: Tensor) -> Tensor:
    """image (B, 3, H, W) in 0..1, keep (B, 1, h, w) bool -> (B, C, h, w), the latent's mean of a picture that
    is grey where nothing is kept: cells know of what lies beside them, and must not
    """
    stays = torch.nn.functional.interpolate(keep.to(image), size=image.shape[2:], mode="nearest")
    return coder.encode(from_pixels(image) * stays).mean.float()
