"""What the tasks of DALL·E 2's networks share: a frozen CLIP, other stages' components, pictures to show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from PIL import Image
from torch import Tensor, nn

from armchair.clip.network import Clip
from armchair.core.bundle import Bundle, Component, Shared
from armchair.core.errors import BadInput
from armchair.core.images import to_image
from armchair.core.parts import Parts, variant_of
from armchair.core.rng import SeedBatch
from armchair.core.task import Sample, Source
from armchair.dalle2.embed import Embedder
from armchair.dalle2.parts import CLASSES, OPTIONS, carried, load_part, tokenizer
from armchair.dalle2.pipeline import Dalle2
from armchair.data.augment import centre
from armchair.data.captions import CaptionMix, captions_of
from armchair.text.words import words_component

WORDS = 20_000  # samples whose captions give the languages and words that the bundle knows
ROWS = 32  # pictures that evaluation and fitting compute at a time


class Stage:
    """Base of the three tasks. `net` is trained; `embedder` stands frozen beside it."""

    own: str  # the stage's name, as --using has it

    def __init__(
        self,
        net: nn.Module,
        using: Mapping[str, Bundle],
        captions: CaptionMix,
        golden_prompt: str,
        options: Mapping[str, Any],
    ):
        """options: what the bundle draws with by default; those of other stages come with them"""
        self.net = net
        clip = cast(Clip, load_part(using["clip"], "clip", torch.device("cpu"), torch.float32))
        self.embedder = Embedder(clip, tokenizer(using["clip"]), unit=cast(Any, net).config.unit)
        self.bundle_kind = "dalle2" if self.own == "decoder" or "decoder" in using else f"dalle2_{self.own}"
        self.languages: Sequence[str] = ()
        given = {stage: bundle.manifest.defaults for stage, bundle in using.items()} | {self.own: options}
        self.defaults: Mapping[str, Any] = {
            name: given[stage][name]
            for stage, names in OPTIONS.items()
            for name in names
            if stage in given and name in given[stage]
        }
        self.prompts: list[str] = []
        self._using = using
        self._captions = captions
        self._golden_prompt = golden_prompt
        self._words: Component | None = None

    def look(self, source: Source, rng: torch.Generator, shown: int) -> list[Sample]:
        """Note words and languages; choose samples and captions for previews. Raises BadInput without
        captions.
        """
        seen = [c for i in range(min(len(source), WORDS)) for c in captions_of(source, i)]
        if not seen:
            raise BadInput(f"these pictures have no captions, and DALL·E 2's {self.own} reads them")
        self.languages = tuple(sorted({c.language for c in seen if c.language}))
        self._words = words_component(c.text for c in seen)
        chosen = [source[i] for i in torch.randint(len(source), (shown,), generator=rng).tolist()]
        self.prompts = [self._captions.pick(sample, rng).text for sample in chosen]
        return chosen

    def embeddings(
        self, source: Source, count: int, rng: torch.Generator, size: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """z (N, Z) of some pictures, text_emb (N, Z) of a caption of each, tokens (N, L) of those captions"""
        rows = torch.randint(len(source), (-(-count // ROWS), ROWS), generator=rng).tolist()
        found: list[tuple[Tensor, Tensor, Tensor]] = []
        for row in rows:
            samples = [source[i] for i in row]
            tokens = torch.stack([self.embedder.tokens(self._captions.pick(s, rng).text) for s in samples])
            z = self.embedder.image_emb(torch.stack([pixels_of(s, size) for s in samples]))
            found.append((z, self.embedder.words(tokens)[0], tokens))
        z, text_emb, tokens = (torch.cat(parts) for parts in zip(*found, strict=True))
        return z, text_emb, tokens

    def carried(self) -> dict[str, Component | Shared]:
        """The components of the other stages, and the words that are known."""
        assert self._words is not None
        return {**carried(self._using), "words": self._words}

    def pipeline(self, own: Callable[[], nn.Module]) -> Dalle2 | None:
        """What a person would load, with `own` as this stage's network; None where there is no decoder."""
        if self.bundle_kind != "dalle2":
            return None
        device = self.embedder.device
        others = {stage: bundle for stage, bundle in self._using.items() if stage != "clip"}
        parts = Parts(
            {"clip": lambda: self.embedder.clip, self.own: own},
            {stage: variant_of(bundle, stage, CLASSES[stage])[0] for stage, bundle in others.items()}
            | {"clip": self.embedder.config, self.own: cast(Any, self.net).config},
        )
        for stage, bundle in others.items():
            parts.add(stage, lambda s=stage, b=bundle: load_part(b, s, device, torch.float32))
        return Dalle2(parts, self.embedder.bpe, self.languages, self.defaults, device)

    def drawn(self, pipeline: Dalle2, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]:
        """One picture a prompt and seed, as `generate` draws them by default, but small."""
        size = f"{pipeline.side}x{pipeline.side}"
        return [draw(pipeline, prompt, seed, size) for prompt, seed in zip(prompts, seeds, strict=False)]

    def draw_golden(self, own: Callable[[], nn.Module]) -> tuple[str, int, Image.Image] | None:
        """own: this stage's network with the weights as the bundle stores them. The picture is kept small."""
        pipeline = self.pipeline(own)
        if pipeline is None:
            return None
        image, side = draw(pipeline, self._golden_prompt, 1, pipeline.sizes[0]), pipeline.side
        if image.size != (side, side):
            image = image.resize((side, side), Image.Resampling.LANCZOS)
        return self._golden_prompt, 1, image


def draw(pipeline: Dalle2, prompt: str, seed: int, size: str) -> Image.Image:
    *_, last = pipeline.stream(prompt, [seed], size, **pipeline.defaults)
    return to_image(last.images[0])


def pixels_of(sample: Sample, size: int) -> Tensor:
    """The middle square, (3, size, size) uint8"""
    return torch.from_numpy(centre(sample.image, size).copy()).permute(2, 0, 1)


def agreement(z: Tensor, truth: Tensor, text_emb: Tensor) -> dict[str, float]:
    """How well drawn embeddings z (N, Z) fit those of the pictures (N, Z): cosine to the own picture's and to
    another's, length, share whose nearest picture is their own; and the caption's cosine. All of any length.
    """
    unit, truth, text_emb = (nn.functional.normalize(x, dim=-1) for x in (z, truth, text_emb))
    cosines = unit @ truth.mT  # (N, N)
    own = torch.arange(len(z), device=z.device)
    return {
        "cosine": cosines.diagonal().mean().item(),
        "cosine_shuffled": cosines[own, own.roll(1)].mean().item(),
        "norm": z.norm(dim=-1).mean().item(),
        "retrieval": (cosines.argmax(dim=1) == own).float().mean().item(),
        "cosine_of_text": (text_emb * truth).sum(dim=-1).mean().item(),
    }


def seeds_of(rows: range, device: torch.device) -> SeedBatch:
    """The generators of evaluation: sample i always draws the same."""
    return SeedBatch(list(rows), device)
