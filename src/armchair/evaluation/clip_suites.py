"""Suites of CLIP: retrieval among unseen scenes, and naming what a picture shows by words alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from armchair.clip.zeroshot import class_embeddings, classify, concept_prompts
from armchair.data.world.concepts import load_concepts
from armchair.data.world.scene import STYLES, WorldConfig, sample_scene
from armchair.evaluation.bootstrap import Table
from armchair.evaluation.prompts import LANGUAGES
from armchair.evaluation.result import Measured, korean_less_english, summarise
from armchair.evaluation.scenes import pictures, said, single
from armchair.evaluation.session import Session

WORLD = WorldConfig(split="test")  # all concepts
SCENES = {False: 1_000, True: 200}  # by `quick`
EVERY = {False: 1, True: 4}  # which of the concepts are shown; all are choices
LONG = ("long: text to picture", "long: picture to text")


def retrieval(session: Session) -> Measured:
    """Whether a caption finds its picture, and a picture its caption, among unseen scenes."""
    model, n = own_clip(session), SCENES[session.quick]
    scenes = [sample_scene(i, WORLD) for i in range(n)]
    parts: list[Tensor] = []
    for batch in session.each("pictures", range(n), 100):
        images = pictures([scenes[i] for i in batch], model.config.image_size, session.art)
        parts.append(model.image_emb(images).cpu())
    image_emb = torch.cat(parts)
    scores: Table = {}
    ceiling: Table = {}
    for kind in ("long", "short"):
        for language in LANGUAGES:
            texts = [said(scene, kind, language) for scene in scenes]
            similar = image_emb @ model.text_emb(texts).cpu().mT  # (n, n)
            own = similar.diagonal()
            alike = [1 / texts.count(text) for text in texts]  # nobody can tell equal captions apart
            for name, best, chance in (
                (f"{kind}: text to picture", similar.amax(dim=0), alike),
                (f"{kind}: picture to text", similar.amax(dim=1), [1.0] * n),
            ):
                for i, found in enumerate((own >= best).tolist()):
                    scores.setdefault(name, {}).setdefault(str(i), {})[language] = [float(found)]
                    ceiling.setdefault(name, {}).setdefault(str(i), {})[language] = [chance[i]]
    floor: Table = {
        name: {i: {language: [1 / n] for language in row} for i, row in rows.items()}
        for name, rows in scores.items()
    }
    return Measured(
        n=n,
        values=summarise(scores, LONG, ceiling, floor),
        paired=korean_less_english(scores, LONG),
        headline=LONG,
        scores=scores,
        protocol=f"R@1 among {n:,} scenes 0.. of Emoji World's test split with all concepts. Overall: the "
        "mean of both directions for long captions. Interval by bootstrap over scenes. Ceiling: what equal "
        "captions leave. Floor: chance.",
    )


def zeroshot(session: Session) -> Measured:
    """Whether words alone name a drawing: top-1 over all concepts, in each style and language."""
    model, concepts = own_clip(session), load_concepts()
    names = [c.name for c in concepts]
    classes = {
        language: class_embeddings(model.text_emb, [concept_prompts(c, language) for c in concepts]).cpu()
        for language in LANGUAGES
    }
    shown = names[:: EVERY[session.quick]]
    scores: Table = {}
    for style in STYLES:
        for batch in session.each(f"{style} drawings", range(len(shown)), 50):
            scenes = [single(shown[i], style, seed=0) for i in batch]
            image_emb = model.image_emb(pictures(scenes, model.config.image_size, session.art)).cpu()
            for language in LANGUAGES:
                named = classify(image_emb, classes[language]).tolist()
                right(scores, style, [shown[i] for i in batch], [names[j] for j in named], language)
    floor: Table = {
        style: {name: {language: [1 / len(names)] for language in LANGUAGES} for name in rows}
        for style, rows in scores.items()
    }
    return Measured(
        n=len(shown) * len(STYLES),
        values=summarise(scores, STYLES, floor=floor),
        paired=korean_less_english(scores, STYLES),
        headline=STYLES,
        scores=scores,
        protocol=f"One drawing of each of {len(shown)} concepts in each style, filling the frame; right "
        f"where the nearest of {len(names)} classes is the concept. A class is the mean of all words of a "
        "concept in all templates of the language. Overall: the mean of the styles. Interval by bootstrap "
        "over concepts, each in all styles. Floor: chance.",
    )


def own_clip(session: Session):
    """The towers of the bundle that is evaluated."""
    from armchair.artist.scores import load_clip

    return load_clip(session.model, session.device)[0]


def right(scores: Table, stratum: str, shown: Sequence[str], named: Sequence[str], language: str) -> None:
    """Note for each thing shown whether it was named."""
    rows = scores.setdefault(stratum, {})
    for truth, guess in zip(shown, named, strict=True):
        rows.setdefault(truth, {})[language] = [float(truth == guess)]
