"""Single objects: does a picture drawn for "a cat" show a cat?

The judge that names them has learned from renders alone and never saw a generated picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from armchair.artist.artist import Artist
from armchair.core.images import to_tensor
from armchair.data.world.concepts import Concept, load_concepts
from armchair.judge.reading import Reader

if TYPE_CHECKING:
    from PIL import Image

PROMPTS_VERSION = 1
FORTY = tuple(concept.name for concept in load_concepts()[:40])  # the most everyday ones
SEEDS = (1, 2, 3, 4)
RESAMPLES = 2_000  # of the bootstrap over prompts


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """One picture and what the judge made of it."""

    prompt: str
    language: str
    concept: str
    seed: int
    image: Image.Image
    named: str

    @property
    def right(self) -> bool:
        return self.named == self.concept


def prompts(concepts: Sequence[str] = FORTY) -> list[tuple[str, str, str]]:
    """(prompt, language, concept): "a cat" and "고양이" for each concept, the plainest words."""
    table = {c.name: c for c in load_concepts()}
    return [
        p for name in concepts for p in ((_english(table[name]), "en", name), (table[name].ko[0], "ko", name))
    ]


def _english(concept: Concept) -> str:
    return f"{concept.article[0]} {concept.en[0]}" if concept.number == "count" else concept.en[0]


def draw_singles(
    artist: Artist, judge: Reader, seeds: Sequence[int] = SEEDS, **options: object
) -> Iterator[Drawn]:
    """Draw every prompt with every seed and let the judge name the pictures."""
    for prompt, language, concept in prompts():
        pictures = artist.generate(prompt, n=len(seeds), seed=seeds[0], **options)  # type: ignore[arg-type]
        names = judge.name(torch.stack([to_tensor(p.image) for p in pictures]))
        for picture, named in zip(pictures, names, strict=True):
            yield Drawn(
                prompt=prompt,
                language=language,
                concept=concept,
                seed=picture.seed,
                image=picture.image,
                named=named,
            )


def summary(drawn: Sequence[Drawn]) -> dict[str, object]:
    """The share named rightly, overall and by language, with 95 % intervals.

    By bootstrap over prompts: the pictures of a prompt are not independent.
    """
    scores: dict[str, object] = {"n": len(drawn), "prompts_version": PROMPTS_VERSION}
    for group in ("all", "en", "ko"):
        chosen = [d for d in drawn if group in ("all", d.language)]
        by_prompt: dict[str, list[bool]] = {}
        for d in chosen:
            by_prompt.setdefault(d.prompt, []).append(d.right)
        shares = np.array([np.mean(rights) for rights in by_prompt.values()])
        picks = np.random.default_rng(0).integers(len(shares), size=(RESAMPLES, len(shares)))
        low, high = np.percentile(shares[picks].mean(axis=1), [2.5, 97.5])
        scores[group] = {"right": float(shares.mean()), "interval": [float(low), float(high)]}
    return scores
