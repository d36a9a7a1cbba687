"""The suite of captioners: what their words say of unseen scenes, read and compared with the scene graph."""

from __future__ import annotations

from armchair.core.device import pick_device
from armchair.dalle3.captioner_pipeline import CaptionerModel
from armchair.data.world.captions import subject
from armchair.data.world.reading import agreement
from armchair.data.world.scene import WorldConfig, sample_scene
from armchair.data.world.source import words_rng
from armchair.evaluation.bootstrap import Table
from armchair.evaluation.prompts import LANGUAGES
from armchair.evaluation.result import Measured, korean_less_english, summarise
from armchair.evaluation.scenes import pictures, said
from armchair.evaluation.session import Session

SCENES = {False: 1_000, True: 128}  # by `quick`
CONCEPTS = 96  # that the shipped systems draw and speak of
WORLD = WorldConfig(split="test", concepts=CONCEPTS, single=0.35)
HEADLINE = ("long: objects", "long: colours", "long: counts", "long: relations")
OVERLAP = "word overlap"  # with the scene's own caption: F1 of the words


def captions(session: Session) -> Measured:
    """Things, colours, counts, relations, backgrounds and styles that captions name rightly."""
    model = CaptionerModel.from_bundle(session.bundle, pick_device(session.device))
    known = model.languages  # none where the captions that it learned from did not tell theirs
    spoken = [language for language in LANGUAGES if not known or language in known]
    scores: Table = {}
    ceiling: Table = {}
    count = SCENES[session.quick]
    for batch in session.each("captioning scenes", range(count), 32):
        scenes = [sample_scene(i, WORLD) for i in batch]
        images = pictures(scenes, model.config.clip.image_size, session.art)
        for language in spoken:
            for kind in ("short", "long"):
                texts = model.caption(images.to(model.device), kind, language)
                for scene, text in zip(scenes, texts, strict=True):
                    own = said(scene, kind, language)
                    if kind == "short":  # the main subject alone
                        own = subject(scene, language, words_rng(scene.index, kind, language))
                    for table, words in ((scores, text), (ceiling, own)):
                        found = agreement(scene, words, language)
                        if kind == "short":
                            found = {name: found[name] for name in SHORT if name in found}
                        for name, right in {**found, OVERLAP: overlap(words, own)}.items():
                            row = table.setdefault(f"{kind}: {name}", {}).setdefault(str(scene.index), {})
                            row[language] = [right]
    return Measured(
        n=count,
        values=summarise(scores, HEADLINE, ceiling),
        paired=korean_less_english(scores, HEADLINE) if len(spoken) == len(LANGUAGES) else {},
        headline=HEADLINE,
        scores=scores,
        protocol=f"{count:,} scenes 0.. of Emoji World's test split with {CONCEPTS} concepts, captioned with "
        "the likeliest word each time; captions are read by rules into a graph and compared with the "
        "scene's: objects, the share of the scene's things that are named; precision, the share of the named "
        "that are there; colours and counts, of those named rightly; relations, of the scene's. Short "
        "captions are to name the main subject. Overall: the mean of objects, colours, counts and relations "
        "of long captions. Ceiling: the scene's own captions. Word overlap: F1 of the words. Interval by "
        "bootstrap over scenes.",
    )


SHORT = ("main", "precision", "colours", "counts")


def overlap(text: str, other: str) -> float:
    """F1 of two texts' words, each counted once."""
    a, b = (set(words.lower().replace(".", " ").replace(",", " ").split()) for words in (text, other))
    both = len(a & b)
    return 2 * both / (len(a) + len(b)) if both else 0.0
