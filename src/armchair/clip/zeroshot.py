"""Naming what a picture shows by words alone (arXiv:2103.00020, section 3.1.4).

A class is a word put into templates: "A photo of a {label}." The mean of the templates' normalised
embeddings, normalised again, stands for the class. Emoji World's concepts have templates of their own, in
English and Korean, over all of a concept's words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from armchair.core.errors import BadInput, nearest
from armchair.data.world.concepts import Concept

PHOTO = ("A photo of a {}.",)  # the paper's default
SEVEN = (  # chosen by forward selection on ImageNet (the released notebook)
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)
TEMPLATES = {  # for Emoji World: "a cat", "scissors", "some rice" or "고양이" goes in
    "en": ("{}", "a drawing of {}", "a picture of {}", "{} on a plain background", "an icon of {}"),
    "ko": ("{}", "{} 그림", "{} 아이콘", "{} 일러스트", "단색 배경에 {}"),
}

Embed = Callable[[Sequence[str]], Tensor]  # B texts -> (B, E)


def concept_prompts(concept: Concept, language: str) -> list[str]:
    """Every word of a concept in every template. Raises BadInput for an unknown language."""
    if language not in TEMPLATES:
        known = ", ".join(TEMPLATES)
        raise BadInput(f"no templates in {language!r}; there are {known}.{nearest(language, TEMPLATES)}")
    if language == "ko":
        phrases = list(concept.ko)
    else:
        articles = concept.article if concept.article else ("",) * len(concept.en)
        phrases = [f"{a} {word}".strip() for a, word in zip(articles, concept.en, strict=True)]
    return [template.format(phrase) for phrase in phrases for template in TEMPLATES[language]]


def label_prompts(label: str, templates: Sequence[str] = PHOTO) -> list[str]:
    """A word in every template."""
    return [template.format(label) for template in templates]


def class_embeddings(embed: Embed, prompts: Sequence[Sequence[str]], batch: int = 256) -> Tensor:
    """prompts of C classes -> (C, E): ensembled in embedding space."""
    flat = [text for texts in prompts for text in texts]
    parts = [embed(flat[i : i + batch]).float() for i in range(0, len(flat), batch)]
    rows = F.normalize(torch.cat(parts), dim=-1)
    means = [part.mean(dim=0) for part in rows.split([len(texts) for texts in prompts])]
    return F.normalize(torch.stack(means), dim=-1)


def classify(image_emb: Tensor, classes: Tensor) -> Tensor:
    """image_emb (B, E), classes (C, E), both normalised -> (B,) the nearest class"""
    return (image_emb @ classes.mT).argmax(dim=1)
