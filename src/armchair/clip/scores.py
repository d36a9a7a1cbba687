"""What CLIP is measured by: retrieval both ways, and zero-shot naming of Emoji World's concepts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from armchair.clip.zeroshot import class_embeddings, classify, concept_prompts
from armchair.core.task import Sample
from armchair.data.world.concepts import load_concepts
from armchair.data.world.scene import Scene

BATCH = 64


class Encoders(NamedTuple):
    """The two towers as functions; neither normalises."""

    image: Callable[[Sequence[Sample]], Tensor]  # (B, E)
    text: Callable[[Sequence[str]], Tensor]  # (B, E)


def recall(image_emb: Tensor, text_emb: Tensor) -> dict[str, float]:
    """(N, E) pictures and (N, E) captions, normalised, pair by pair -> R@1 in both directions: the share
    whose nearest is the right one. An equal one beside it counts as found.
    """
    similar = image_emb @ text_emb.mT  # (N, N)
    own = similar.diagonal()
    return {
        "image_to_text": float((own >= similar.amax(dim=1)).float().mean()),
        "text_to_image": float((own >= similar.amax(dim=0)).float().mean()),
    }


def retrieval_scores(encoders: Encoders, samples: Sequence[Sample]) -> dict[str, float]:
    """R@1 among the samples by language and kind of caption: "text_to_image_en_long"."""
    found: dict[str, float] = {}
    image_emb = _images(encoders, samples)
    for language, kind in _kinds(samples):
        texts = [_caption(sample, language, kind) for sample in samples]
        rows = [i for i, text in enumerate(texts) if text is not None]
        text_emb = _texts(encoders, [text for text in texts if text is not None])
        for name, share in recall(image_emb[rows], text_emb).items():
            found["_".join(part for part in (name, language, kind) if part)] = share
    return found


def zero_shot_scores(encoders: Encoders, samples: Sequence[Sample]) -> dict[str, float]:
    """Top-1 over all of Emoji World's concepts for the samples that show one thing: "zero_shot_en". Empty
    where there are none.
    """
    shown = [(s, s.truth.things[0].concept) for s in samples if _single(s)]
    if not shown:
        return {}
    concepts = load_concepts()
    names = {concept.name: i for i, concept in enumerate(concepts)}
    truth = torch.tensor([names[name] for _, name in shown])
    image_emb = _images(encoders, [sample for sample, _ in shown])
    scores: dict[str, float] = {}
    for language in ("en", "ko"):
        classes = class_embeddings(encoders.text, [concept_prompts(c, language) for c in concepts]).cpu()
        scores[f"zero_shot_{language}"] = float((classify(image_emb, classes) == truth).float().mean())
    return scores


def _single(sample: Sample) -> bool:
    scene = sample.truth
    return isinstance(scene, Scene) and len(scene.things) == 1 and scene.things[0].count == 1


def _kinds(samples: Sequence[Sample]) -> list[tuple[str, str]]:
    """Languages and kinds of caption that occur; of alt texts, which may be wrong, only where all are."""
    seen = sorted({(c.language, c.kind) for sample in samples for c in sample.captions})
    true = [pair for pair in seen if pair[1] != "alt"]
    return true if true else seen


def _caption(sample: Sample, language: str, kind: str) -> str | None:
    return next((c.text for c in sample.captions if (c.language, c.kind) == (language, kind)), None)


def _images(encoders: Encoders, samples: Sequence[Sample]) -> Tensor:
    parts = [encoders.image(samples[i : i + BATCH]).float().cpu() for i in range(0, len(samples), BATCH)]
    return F.normalize(torch.cat(parts), dim=-1)


def _texts(encoders: Encoders, texts: Sequence[str]) -> Tensor:
    parts = [encoders.text(texts[i : i + BATCH]).float().cpu() for i in range(0, len(texts), BATCH)]
    return F.normalize(torch.cat(parts), dim=-1)
