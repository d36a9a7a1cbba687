"""DALL·E 2 as a person uses it: words in, pictures out. What starts from a picture is in `edits`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from armchair.clip.config import ClipConfig
from armchair.core.errors import Unsupported
from armchair.core.images import parse_size, to_pixels
from armchair.core.parts import Parts
from armchair.core.rng import SeedBatch, mix
from armchair.core.step import Preview
from armchair.dalle2 import edits
from armchair.dalle2.ar_prior import ArPrior
from armchair.dalle2.caption import PAD, caption_tokens
from armchair.dalle2.clip_decoder import ClipDecoder
from armchair.dalle2.config import ClipDecoderConfig
from armchair.dalle2.decoder import Decoder
from armchair.dalle2.drawing import (
    Drawn,
    Words,
    clip_conditions_of,
    conditions_of,
    denoiser_of,
    laid_out,
    states_of,
)
from armchair.dalle2.embed import NO_TOWER, Embedder
from armchair.dalle2.parts import parts_of, tokenizer
from armchair.dalle2.prior import Prior
from armchair.dalle2.prior import Words as PriorWords
from armchair.diffusion.drawing import sample
from armchair.diffusion.prediction import Denoiser
from armchair.diffusion.schedule import Schedule
from armchair.upsample.cascade import enlarged, factors

if TYPE_CHECKING:
    from PIL import Image

    from armchair.core.bundle import Bundle
    from armchair.text.tokenizer import AnyBPE

PRIORS = {"diffusion": "prior", "ar": "ar_prior"}  # word of --prior -> component
READING = frozenset({"variations", "interpolate", "text_diff", "probe"})  # operations that read a picture
PAINTING = frozenset({"inpaint", "outpaint"})  # operations for a decoder that is shown what is known
NOT_SHOWN = "a decoder of Karlo's form is not shown what is known of a picture; the shipped dalle2's is"

# the paper's: 250 ancestral steps with the learned variance, 64 of the prior (appendix C), no guidance
PLAIN: dict[str, Any] = {
    "steps": 250,
    "shift": 1.0,  # above 1 more of the levels that are visited are noisy: see Schedule.respace
    "guidance": 1.0,
    "sampler": "ddpm",
    "prior_weight": 1.0,  # share of a prior's embedding that is told; a picture's own is told whole
    "prior_steps": 64,
    "prior_guidance": 1.0,
}


class Dalle2:
    """CLIP, the priors that there are, the decoder and the upsamplers that there are. B pictures, Z numbers
    of a CLIP embedding, S pixels a side that the decoder draws.
    """

    kind = "dalle2"
    operations = frozenset({"generate"}) | READING | PAINTING  # of the system; an instance may have fewer
    together = True
    expands = False

    def __init__(
        self,
        parts: Parts,
        bpe: AnyBPE,
        languages: Sequence[str] = (),
        defaults: Mapping[str, Any] | None = None,
        device: torch.device | None = None,
    ):
        self.parts = parts
        self.bpe = bpe
        decoder = parts.config("decoder")
        # as Karlo: embeddings as CLIP gives them, captions through its text tower, variations from new noise
        self.through_clip = isinstance(decoder, ClipDecoderConfig)
        self.side: int = decoder.image_size
        self.languages = tuple(languages)
        self.device = torch.device("cpu") if device is None else device
        self.sizes = [f"{n * self.side}x{n * self.side}" for n in factors(parts)]
        prior = next((word for word, name in PRIORS.items() if name in parts), "none")
        given = {} if defaults is None else defaults
        self.defaults: Mapping[str, Any] = {**PLAIN, "prior": prior, **given}
        self.operation_defaults = edits.defaults_of(self.defaults, inverting=not self.through_clip)
        self.lacking: dict[str, str] = {}  # what this bundle cannot do -> why
        if self.through_clip:
            self.lacking |= dict.fromkeys(PAINTING, NOT_SHOWN)
        if not isinstance(parts.config("clip"), ClipConfig):
            self.lacking |= dict.fromkeys(READING, NO_TOWER)
        self.operations = self.operations - self.lacking.keys()

    @classmethod
    def from_bundle(cls, bundle: Bundle, device: torch.device, dtype: torch.dtype) -> Dalle2:
        """Raises BundleError for a config that is damaged now, for weights when they are first needed."""
        shown = bundle.manifest
        parts = parts_of(bundle, device, dtype)
        return cls(parts, tokenizer(bundle), shown.languages, shown.defaults, device)

    def stream(
        self, prompt: str | Sequence[str], seeds: Sequence[int], size: str, **options: Any
    ) -> Iterator[Preview]:
        """A preview a step: the picture that the decoder then expects, small; then it is enlarged. prompt: of
        all pictures, or one a seed: each is then the picture that it would be alone.
        """
        settings = {**self.defaults, **options}
        z = self.image_emb(prompt, seeds, settings)
        yield from self.paint(prompt, z, seeds, size, settings, settings["prior_weight"])

    def variations(
        self, image: Image.Image, seeds: Sequence[int], size: str, **options: Any
    ) -> Iterator[Preview]:
        """See `edits.variations`."""
        return edits.variations(
            self, image, seeds, size, {**self.operation_defaults["variations"], **options}
        )

    def interpolate(
        self,
        a: Image.Image,
        b: Image.Image,
        frames: Sequence[int],
        count: int,
        seed: int,
        size: str,
        **options: Any,
    ) -> Iterator[Preview]:
        """See `edits.interpolate`."""
        settings = {**self.operation_defaults["interpolate"], **options}
        return edits.interpolate(self, a, b, frames, count, seed, size, settings)

    def text_diff(
        self,
        image: Image.Image,
        source: str,
        target: str,
        frames: Sequence[int],
        count: int,
        seed: int,
        size: str,
        **options: Any,
    ) -> Iterator[Preview]:
        """See `edits.text_diff`."""
        settings = {**self.operation_defaults["text_diff"], **options}
        return edits.text_diff(self, image, source, target, frames, count, seed, size, settings)

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
        return Embedder(self.parts["clip"], self.bpe, unit=not self.through_clip)

    def image_emb(
        self, prompt: str | Sequence[str], seeds: Sequence[int], settings: Mapping[str, Any]
    ) -> Tensor:
        """(B, Z) what the prior makes of a prompt, or of one a seed; of unit length where CLIP's embeddings
        are. Without a prior the text's own embedding stands in (the paper's figure 8). Raises Unsupported for
        a prior that is not here.
        """
        rows: dict[str, list[int]] = {}  # prompt -> its pictures: what reads it reads it once
        for row, text in enumerate(one_each(prompt, len(seeds))):
            rows.setdefault(text, []).append(row)
        found = [self._image_emb(text, [seeds[i] for i in own], settings) for text, own in rows.items()]
        order = torch.tensor([i for own in rows.values() for i in own], device=self.device)
        return torch.cat(found)[order.argsort()]

    @torch.no_grad()
    def _image_emb(self, prompt: str, seeds: Sequence[int], settings: Mapping[str, Any]) -> Tensor:
        """The same for one prompt."""
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
        if word == "diffusion":
            prior: Prior = self.parts["prior"]
            cond = self._read(prior, prompt, longest, True)
            uncond = None if guidance == 1 else self._read(prior, prompt, longest, False)
            steps: int = settings["prior_steps"]
            z = prior.sample(cond, uncond, text_emb, rng, steps=steps, guidance=guidance)
        else:
            ar: ArPrior = self.parts["ar_prior"]
            shown, hidden = (torch.tensor([value], device=self.device) for value in (True, False))
            words, real = text_seq[:, :longest], keep[:, :longest]
            if ar.caption is not None:
                words = ar.caption_of(self.bpe.encode(prompt))[None].to(self.device)
                real = torch.ones_like(words, dtype=torch.bool)
            uncond = None if guidance == 1 else ar.read(words, real, text_emb, hidden)
            z = ar.sample(ar.read(words, real, text_emb, shown), uncond, rng, guidance=guidance)
        return z.float() if self.through_clip else F.normalize(z.float(), dim=-1)

    def _read(self, prior: Prior, prompt: str, length: int, shown: bool) -> PriorWords:
        """A caption, or what stands for a hidden one, as a diffusion prior reads it."""
        empty = not shown and prior.config.hidden == "empty"
        tokens, text_emb, text_seq, keep = self._text("" if empty else prompt, length)
        words = tokens if prior.config.words == "tokens" else text_seq
        return prior.read(words, keep, text_emb, torch.tensor([shown or empty], device=self.device))

    def _text(self, text: str, length: int | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """tokens (1, L), text_emb (1, Z), text_seq (1, L, W), keep (1, L); the first `length` places, None
        ends with the text
        """
        tokens = self.embedder.tokens(text)[None].to(self.device)
        text_emb, text_seq, keep = self.embedder.words(tokens)
        end = int(keep.sum()) if length is None else length
        return tokens[:, :end], text_emb, text_seq[:, :end], keep[:, :end]

    def denoiser(
        self,
        prompt: str | Sequence[str] | None,
        z: Tensor,
        settings: Mapping[str, Any],
        known: Tensor | None = None,
        clip: bool = True,
        shown: float = 1.0,
        seeds: Sequence[int] | None = None,
    ) -> tuple[Denoiser, Schedule]:
        """The decoder for embeddings z (B, Z) and a caption, or one a picture, or none; the levels it visits.

        known: (1, 4, S, S) as the decoder reads it.  clip: keep what it expects within the range of pixels.
        shown: share of the embeddings that it is told; 0 leaves it the captions alone, as GLIDE has them.
        seeds: of the layouts that the captions are drawn to, where the decoder has them; None: of none.
        """
        prompts = [None] * len(z) if prompt is None else one_each(prompt, len(z))
        seeds = None if prompt is None else seeds
        cond, uncond = self._conditions(prompts, z, settings["guidance"] != 1, known, shown, seeds)
        net, schedule = self.parts["decoder"], self.schedule(settings)
        return denoiser_of(net, schedule, cond, uncond, settings["guidance"], clip=clip), schedule

    def schedule(self, settings: Mapping[str, Any]) -> Schedule:
        """The levels that the decoder visits. Raises BadInput for steps that cannot be."""
        return self.parts.config("decoder").levels_of_noise.respace(settings["steps"], settings["shift"])

    @torch.no_grad()
    def _conditions(
        self,
        prompts: Sequence[str | None],
        z: Tensor,
        guided: bool,
        known: Tensor | None,
        shown: float,
        seeds: Sequence[int] | None,
    ) -> tuple[Sequence[Drawn], Sequence[Drawn] | None]:
        """What the decoder draws each picture from with and without its caption and embedding, the latter
        where it is guided.
        """
        net: Decoder | ClipDecoder = self.parts["decoder"]
        if isinstance(net, Decoder) and net.config.caption is not None:
            length = net.config.caption.length
            ids = [[] if text is None else self.bpe.encode(text) for text in prompts]
            captions: list[Words] = [(caption_tokens(row, length)[None],) for row in ids]
            nothing: list[Words] = [(torch.full((1, length), PAD),)] * len(z)
            cond = conditions_of(net, captions, z, shown, known)
            return cond, conditions_of(net, nothing, z, 0.0, known) if guided else None
        read = {text: self._text("" if text is None else text) for text in dict.fromkeys(prompts)}
        words = [read[text] for text in prompts]
        lengths = [tokens.shape[1] for tokens, *_ in words]
        empty = {length: self._text("", length) for length in dict.fromkeys(lengths) if guided}
        hidden = [empty[length] for length in lengths if guided]
        if isinstance(net, ClipDecoder):
            cond = clip_conditions_of(net, [row[1:] for row in words], z, shown)
            return cond, clip_conditions_of(net, [row[1:] for row in hidden], z, 0.0) if guided else None
        made, bare = (
            {key: states_of(net, tokens, text_seq, keep) for key, (tokens, _, text_seq, keep) in rows.items()}
            for rows in (read, empty)
        )
        captions = [made[text] for text in prompts]
        if seeds is not None:
            captions = laid_out(net, captions, seeds)
        cond = conditions_of(net, captions, z, shown, known)
        nothing = [bare[length] for length in lengths if guided]
        return cond, conditions_of(net, nothing, z, 0.0, known) if guided else None

    def paint(
        self,
        prompt: str | Sequence[str] | None,
        z: Tensor,
        seeds: Sequence[int],
        size: str,
        settings: Mapping[str, Any],
        shown: float = 1.0,
    ) -> Iterator[Preview]:
        """Pictures from CLIP embeddings z (B, Z) and a caption, or one a picture, or none; one a seed.
        shown: see `denoiser`.
        """

        def drawn() -> Iterator[Preview]:
            denoise, schedule = self.denoiser(prompt, z, settings, shown=shown, seeds=seeds)
            rng = SeedBatch(seeds, self.device)
            x = rng.normal(3, self.side, self.side)
            yield from to_previews(sample(denoise, x, schedule, rng, settings["sampler"]))

        yield from self.enlarged(drawn(), seeds, size, len(self.schedule(settings)))

    def enlarged(
        self, drawn: Iterator[Preview], seeds: Sequence[int], size: str, steps: int
    ) -> Iterator[Preview]:
        """Previews of small pictures (B, 3, S, S), of which there are `steps`, and then of large ones."""
        factor = parse_size(size)[0] // self.side
        return enlarged(self.parts, drawn, seeds, factor, steps, self.device)


def one_each(prompt: str | Sequence[str], count: int) -> list[str]:
    """A prompt of all pictures, or one a picture, as one a picture."""
    return [prompt] * count if isinstance(prompt, str) else list(prompt)


def to_previews(steps: Iterator[Any]) -> Iterator[Preview]:
    """Steps of a sampler, as pictures of what it expects."""
    for step in steps:
        yield Preview(step.index, step.total, to_pixels(step.x0))
