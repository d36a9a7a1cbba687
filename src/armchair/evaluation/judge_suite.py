"""The judge's own suite: how well it reads renders, whose truth is known, and whether people agree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from armchair.artist.find import find
from armchair.core.bundle import Bundle
from armchair.core.device import pick_device
from armchair.data.world.layout import Box
from armchair.data.world.render import render
from armchair.data.world.scene import WorldConfig, sample_scene
from armchair.evaluation.bootstrap import Table
from armchair.evaluation.geneval import SIDE, fulfils
from armchair.evaluation.labels import agreement, known_labels
from armchair.evaluation.prompts import SEEDS
from armchair.evaluation.result import Measured, Value, summarise
from armchair.evaluation.scenes import compose, pictures
from armchair.evaluation.session import Session
from armchair.judge.reading import Reader
from armchair.judge.scoring import questions
from armchair.judge.soften import Softening, soften

SCENES = {False: 2_000, True: 300}  # by `quick`
SOFT = replace(Softening(), crop=0, bend=0)  # everything that leaves the things where they are
HEADLINE = ("single_object", "position", "colour_attribution")
PROMPTS = "prompts: "  # begins the names of the strata of the prompts' renders
WHOLE = Box(0.5, 0.5, 1.0, 1.0)


def judge(session: Session) -> Measured:
    """What the judge reads in scenes that nobody trained on, sharp and softened; and in people's labels."""
    reader = Reader.from_bundle(Bundle.open(find(session.model)), pick_device(session.device))
    world = WorldConfig(
        size=SIDE, concepts=len(reader.names), split="test", single=0.35, natural=0.45, plain=0.6, signs=0.2
    )
    scores: Table = {}
    count = SCENES[session.quick]
    for batch in session.each("reading scenes", range(count), 50):
        scenes = [sample_scene(i, world) for i in batch]
        sharp = [render(scene, SIDE, session.art) for scene in scenes]
        soft = [soften(x, WHOLE, SOFT, np.random.default_rng(i)) for i, x in zip(batch, sharp, strict=True)]
        for ending, images in (("", sharp), (", soft", soft)):
            pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
            for scene, reading in zip(scenes, reader.read(pixels), strict=True):
                for task, is_right in questions(scene, reading):
                    rows = scores.setdefault(task + ending, {}).setdefault(str(scene.index), {"": []})
                    rows[""].append(float(is_right))
    for prompt in session.prompts:
        images = pictures([compose(prompt, seed) for seed in SEEDS], SIDE, session.art)
        seen = [float(fulfils(prompt, reading)) for reading in reader.read(images)]
        scores.setdefault(PROMPTS + prompt.stratum, {})[prompt.id] = {"": seen}
    people: dict[str, Value] = {}
    for labels in known_labels():
        people |= agreement(reader, labels)
    return Measured(
        n=2 * count + len(SEEDS) * len(session.prompts),
        prompts=session.prompts_version,
        values=summarise(scores, HEADLINE) | people,
        headline=HEADLINE,
        scores={s: rows for s, rows in scores.items() if s in HEADLINE or s.startswith(PROMPTS)},
        protocol=f"{count:,} scenes 0.. of Emoji World's test split at 64 px, sharp and softened (lost "
        "detail, blur, noise, JPEG, exposure), by GenEval's rules: the share read rightly; of false_find the "
        "share of scenes in which something is found that is not there. Overall: the mean of single_object, "
        "position and colour_attribution. Then renders of the prompts, and how often the judge agrees with "
        "labels given by eye on generated pictures, with Cohen's kappa. Interval by bootstrap over scenes, "
        "prompts or pictures.",
    )
