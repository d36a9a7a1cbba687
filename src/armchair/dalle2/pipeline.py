"""DALL·E 2 as a person uses it: words in, pictures out. What starts from a picture is in `edits`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from armchair.core.errors import Unsupported
from armchair.core.rng import SeedBatch, mix
from armchair.core.step import Preview
from armchair.dalle2 import edits
from armchair.dalle2.ar_prior import ArPrior
from armchair.dalle2.caption import PAD, caption_tokens
from armchair.dalle2.decoder import Decoder
from armchair.dalle2.drawing import conditions_of, denoiser_of, sample, to_pixels
from armchair.dalle2.embed import Embedder
from armchair.dalle2.parts import Parts, tokenizer
from armchair.dalle2.prior import Prior
from armchair.diffusion.prediction import Denoiser
from armchair.diffusion.schedule import Schedule
from armchair.upsample.pipeline import UpsamplerModel

if TYPE_CHECKING:
    from PIL import Image

    from armchair.core.bundle import Bundle
    from armchair.text.bpe import BPE

PRIORS = {"diffusion": "prior", "ar": "ar_prior"}  # word of --prior -> component
SMALL, LARGE = "upsample_256", "upsample_1024"  # one after the other

# the paper's: 250 ancestral steps with the learned variance, 64 of the prior (appendix C), no guidance
PLAIN: dict[str, Any] = {
    "steps": 250,
    "guidance": 1.0,
    "sampler": "ddpm",
    "prior_steps": 64,
    "prior_guidance": 1.0,
}


class Dalle2:
    """CLIP, the priors that there are, the decoder and the upsamplers that there are. B pictures, Z numbers
    of a CLIP embedding, S pixels a side that the decoder draws.
    """

    kind = "dalle2"
    operations = frozenset(
        {"generate", "variations", "interpolate", "text_diff", "inpaint", "outpaint", "probe"}
    )

    def __init__(
        self,
        parts: Parts,
        bpe: BPE,
        side: int,
        languages: Sequence[str] = (),
        defaults: Mapping[str, Any] | None = None,
        device: torch.device | None = None,
    ):
        """side: pixels that the decoder draws"""
        self.parts = parts
        self.bpe = bpe
        self.side = side
        self.languages = tuple(languages)
        self.device = torch.device("cpu") if device is None else device
        self.sizes = [f"{n}x{n}" for n in self._sides()]
        prior = next((word for word, name in PRIORS.items() if name in parts), "none")
        given = {} if defaults is None else defaults
        self.defaults: Mapping[str, Any] = {**PLAIN, "prior": prior, **given}
        self.operation_defaults = edits.defaults_of(self.defaults)
        self._embedder: Embedder | None = None

    @classmethod
    def from_bundle(cls, bundle: Bundle, device: torch.device, dtype: torch.dtype) -> Dalle2:
        """Raises BundleError for a config that is damaged now, for weights when they are first needed."""
        parts = Parts.from_bundle(bundle, device, dtype)
        side, shown = int(bundle.config("decoder")["image_size"]), bundle.manifest
        return cls(parts, tokenizer(bundle), side, shown.languages, shown.defaults, device)

    def stream(self, prompt: str, seeds: Sequence[int], size: str, **options: Any) -> Iterator[Preview]:
        """A preview a step: the picture that the decoder then expects, small; then it is enlarged."""
        settings = {**self.defaults, **options}
        z = self.image_emb(prompt, seeds, settings)
        yield from self.paint(prompt, z, seeds, size, settings)

    def variations(
        self, image: Image.Image, seeds: Sequence[int], size: str, **options: Any
    ) -> Iterator[Preview]:
        """See `edits.variations`."""
        return edits.variations(
            self, image, seeds, size, {**self.operation_defaults["variations"], **options}
        )

    def interpolate(
        self, a: Image.Image, b: Image.Image, frames: Sequence[int], count: int, size: str, **options: Any
    ) -> Iterator[Preview]:
        """See `edits.interpolate`."""
        settings = {**self.operation_defaults["interpolate"], **options}
        return edits.interpolate(self, a, b, frames, count, size, settings)

    def text_diff(
        self,
        image: Image.Image,
        source: str,
        target: str,
        frames: Sequence[int],
        count: int,
        size: str,
        **options: Any,
    ) -> Iterator[Preview]:
        """See `edits.text_diff`."""
        settings = {**self.operation_defaults["text_diff"], **options}
        return edits.text_diff(self, image, source, target, frames, count, size, settings)

    def inpaint(
        self,
        image: Image.Image,
        keep: Tensor,
        prompt: str,
        seeds: Sequence[int],
        size: str,
        **options: Any,
    ) -> Iterator[Preview]:
        """See `edits.inpaint`."""
        settings = {**self.operation_defaults["inpaint"], **options}
        return edits.inpaint(self, image, keep, prompt, seeds, size, settings)

    def probe(
        self, image: Image.Image, components: Sequence[int], seed: int, size: str, **options: Any
    ) -> Iterator[Preview]:
        """See `edits.probe`."""
        settings = {**self.operation_defaults["probe"], **options}
        return edits.probe(self, image, components, seed, size, settings)

    @property
    def embedder(self) -> Embedder:
        if self._embedder is None:
            self._embedder = Embedder(self.parts["clip"], self.bpe)
        return self._embedder

    @torch.no_grad()
    def image_emb(self, prompt: str, seeds: Sequence[int], settings: Mapping[str, Any]) -> Tensor:
        """(B, Z) unit vectors: what the prior makes of a prompt, one a seed. Without a prior the text's own
        embedding stands in (the paper's figure 8). Raises Unsupported for a prior that is not here.
        """
        word = settings["prior"]
        if word != "none" and PRIORS[word] not in self.parts:
            here = [word for word, name in PRIORS.items() if name in self.parts]
            raise Unsupported(f"prior {word!r} is not in this bundle; it has {', '.join([*here, 'none'])}")
        tokens = self.embedder.tokens(prompt)[None].to(self.device)
        text_emb, text_seq, keep = self.embedder.words(tokens)
        if word == "none":
            return text_emb.expand(len(seeds), -1)
        # other numbers than the decoder's, so that its noise is the same with any prior
        rng = SeedBatch([mix(seed, "prior") for seed in seeds], self.device)
        longest, guidance = int(keep.sum()), settings["prior_guidance"]
        shown, hidden = (torch.tensor([value], device=self.device) for value in (True, False))
        words, real = text_seq[:, :longest], keep[:, :longest]
        if word == "diffusion":
            prior: Prior = self.parts["prior"]
            given = (tokens[:, :longest] if prior.config.words == "tokens" else words, real, text_emb)
            uncond = None if guidance == 1 else prior.read(*given, hidden)
            steps: int = settings["prior_steps"]
            cond = prior.read(*given, shown)
            z = prior.sample(cond, uncond, text_emb, rng, steps=steps, guidance=guidance)
        else:
            ar: ArPrior = self.parts["ar_prior"]
            if ar.caption is not None:
                words = ar.caption_of(self.bpe.encode(prompt))[None].to(self.device)
                real = torch.ones_like(words, dtype=torch.bool)
            uncond = None if guidance == 1 else ar.read(words, real, text_emb, hidden)
            z = ar.sample(ar.read(words, real, text_emb, shown), uncond, rng, guidance=guidance)
        return F.normalize(z.float(), dim=-1)

    def denoiser(
        self,
        prompt: str | None,
        z: Tensor,
        settings: Mapping[str, Any],
        known: Tensor | None = None,
        clip: bool = True,
    ) -> tuple[Denoiser, Schedule]:
        """The decoder for embeddings z (B, Z) and a caption, if there is one, and the levels that it visits.

        known: (1, 4, S, S) as the decoder reads it.  clip: keep what it expects within the range of pixels.
        """
        net: Decoder = self.parts["decoder"]
        length, guidance = net.config.caption.length, settings["guidance"]
        nothing = torch.full((length,), PAD)
        tokens = nothing if prompt is None else caption_tokens(self.bpe.encode(prompt), length)
        cond, uncond = conditions_of(net, tokens, z, True, known), None
        if guidance != 1:
            uncond = conditions_of(net, nothing, torch.zeros_like(z), False, known)
        schedule = net.config.levels_of_noise.respace(settings["steps"])
        return denoiser_of(net, schedule, cond, uncond, guidance, clip=clip), schedule

    def paint(
        self, prompt: str | None, z: Tensor, seeds: Sequence[int], size: str, settings: Mapping[str, Any]
    ) -> Iterator[Preview]:
        """Pictures from CLIP embeddings z (B, Z) and a caption, if there is one; one a seed."""
        denoise, schedule = self.denoiser(prompt, z, settings)
        rng = SeedBatch(seeds, self.device)
        x = rng.normal(3, self.side, self.side)
        drawn = to_previews(sample(denoise, x, schedule, rng, settings["sampler"]))
        yield from self.enlarged(drawn, seeds, size, len(schedule))

    @torch.no_grad()
    def enlarged(
        self, drawn: Iterator[Preview], seeds: Sequence[int], size: str, steps: int
    ) -> Iterator[Preview]:
        """Previews of small pictures (B, 3, S, S), of which there are `steps`, and then of large ones."""
        stages, shrink = self._stages(size)
        models = [UpsamplerModel(self.parts[name]) for name in stages] if stages else []
        counts = [len(seeds) * len(m.config.levels().respace(m.config.steps)) for m in models]
        total, done = steps + sum(counts), 0
        images: Tensor | None = None
        for preview in drawn:
            images = preview.images
            yield Preview(done, total, images)
            done += 1
        assert images is not None and done == steps, (done, steps)
        for name, model in zip(stages, models, strict=True):
            rng = SeedBatch([mix(seed, name) for seed in seeds], self.device)
            for preview in model.stream(images, rng):
                shown = preview.images
                if shrink > 1 and name == stages[-1]:
                    shown = F.avg_pool2d(shown, shrink)
                images = preview.images
                yield Preview(done, total, shown)
                done += 1

    def _sides(self) -> list[int]:
        """Pixels per side, the default first: four times the decoder's where it can be."""
        large = SMALL in self.parts and LARGE in self.parts
        return [
            *([4 * self.side] if SMALL in self.parts else []),
            self.side,
            *([8 * self.side, 16 * self.side] if large else []),
        ]

    def _stages(self, size: str) -> tuple[list[str], int]:
        """The upsamplers for a size, and how many times the result is then shrunk: what is drawn at 1,024 px
        also gives 512.
        """
        factor = int(size.split("x")[0]) // self.side
        return {1: [], 4: [SMALL]}.get(factor, [SMALL, LARGE]), 2 if factor == 8 else 1


def to_previews(steps: Iterator[Any]) -> Iterator[Preview]:
    """Steps of a sampler, as pictures of what it expects."""
    for step in steps:
        yield Preview(step.index, step.total, to_pixels(step.x0))
