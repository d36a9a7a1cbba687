"""Suites of what draws: reconstruction, distance, clipscore, geneval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from armchair.data.world.scene import WorldConfig, sample_scene
from armchair.evaluation.bootstrap import Table, jackknife
from armchair.evaluation.geneval import scored, shuffled
from armchair.evaluation.labels import agreement, known_labels
from armchair.evaluation.metrics import Gaussian, clip_score, frechet, precision_recall, psnr, ssim
from armchair.evaluation.prompts import LANGUAGES, SEEDS, SIX, STRATA, Prompt
from armchair.evaluation.result import Measured, Value, as_value, korean_less_english, summarise
from armchair.evaluation.scenes import pictures, said
from armchair.evaluation.session import Session, as_bytes

WORLD = WorldConfig(concepts=96, split="test")  # the scenes that drawn pictures are compared with
RECONSTRUCTED = {False: 1_000, True: 200}  # scenes, by `quick`
CAPTIONS = {False: 250, True: 48}  # of scenes, four pictures each
REAL = {False: 2_000, True: 1_000}  # other scenes that they are compared with


def reconstruction(session: Session) -> Measured:
    """What is left of a picture that goes through the system's codes, or its latent."""
    artist = session.artist
    pipeline: Any = artist.pipeline
    side: int = pipeline.side
    scores: Table = {"PSNR": {}, "SSIM": {}}
    floor: Table = {"PSNR": {}, "SSIM": {}}
    for batch in session.each("reconstructing", range(RECONSTRUCTED[session.quick]), 25):
        image = pictures([sample_scene(i, WORLD) for i in batch], side, session.art)
        back = pipeline.reconstruct(image.to(artist.device)).cpu()
        for table, other in ((scores, back), (floor, back.roll(1, dims=0))):
            for name, values in (("PSNR", psnr(image, other)), ("SSIM", ssim(image, other))):
                table[name] |= {str(i): {"": [v]} for i, v in zip(batch, values.tolist(), strict=True)}
    return Measured(
        n=RECONSTRUCTED[session.quick],
        values=summarise(scores, ("PSNR",), floor=floor),
        headline=("PSNR",),
        scores=scores,
        protocol=f"Scenes 0.. of Emoji World's test split (96 concepts) at {side} px, encoded and decoded "
        "without noise. PSNR in dB; SSIM with an 11-pixel Gaussian, mean of the three colours. Interval over "
        "scenes. Floor: each scene against another one's reconstruction.",
    )


def distance(session: Session) -> Measured:
    """How far the drawn pictures are from real ones, as distributions of features."""
    captions, real = CAPTIONS[session.quick], REAL[session.quick]
    drawn: list[Tensor] = []
    for (i,) in session.each("drawing captions", range(captions), 1):
        language = LANGUAGES[i % 2]
        text = said(sample_scene(i, WORLD), "short", language)
        drawn.append(session.draw(text, SEEDS, [f"caption-{i}-{language}-{seed}.png" for seed in SEEDS]))
    scenes = [sample_scene(i, WORLD) for i in range(4 * captions + real)]
    rendered = as_bytes(pictures(scenes, drawn[0].shape[-1], session.art))
    sets = {
        "": torch.stack(drawn),  # (captions, 4, 3, H, W)
        "ceiling": rendered[: 4 * captions].unflatten(0, (captions, 4)),
        "floor": flat_colours(rendered[: 4 * captions]).unflatten(0, (captions, 4)),
    }
    values: dict[str, Value] = {}
    features: list[tuple[str, Callable[[Tensor], Tensor]]] = [("CLIP", session.image_emb)]
    if (inception := session.inception) is not None:
        features.append(("Inception", lambda x: inception_features(inception, x)))
    for name, of in features:
        session.tell(f"features of {name}", 0, 1)
        values |= distances(
            name, {key: of(x.flatten(0, 1)) for key, x in sets.items()}, of(rendered[4 * captions :])
        )
        session.tell(f"features of {name}", 1, 1)
    return Measured(
        n=4 * captions,
        values=values,
        protocol=f"Four pictures of each of {captions} short captions, English and Korean in turn, of scenes "
        f"0.. of Emoji World's test split (96 concepts), against renders of {real:,} other scenes. Frechet "
        "distance of normalised CLIP features times 100 (Inception's as they are); lower is better, and it "
        "depends on the number of pictures. Precision and recall with k = 3 on the first picture of each "
        "caption. Interval: 1.96 standard errors of a jackknife over 20 blocks of captions. Ceiling: renders "
        "of other scenes, as many. Floor: the mean colour of each of these as a flat picture.",
    )


def flat_colours(images: Tensor) -> Tensor:
    """(N, 3, H, W) uint8 -> the same shape: each picture's mean colour all over"""
    mean = images.float().mean(dim=(2, 3), keepdim=True).round().to(torch.uint8)
    return mean.expand_as(images)


def inception_features(net: Any, images: Tensor) -> Tensor:
    device = next(net.parameters()).device
    return torch.cat([net.features(part.to(device).float() / 255).cpu() for part in images.split(64)])


def distances(name: str, drawn: dict[str, Tensor], real: Tensor, each: int = 4) -> dict[str, Value]:
    """drawn: "", "ceiling", "floor" -> (captions x each, E), a caption's together; real (M, E)."""
    law = Gaussian.of(real)
    scale = 100.0 if name == "CLIP" else 1.0
    captions = len(drawn[""]) // each

    def measure(features: Tensor) -> Callable[[np.ndarray], dict[str, float]]:
        grouped = features.unflatten(0, (captions, each))

        def of(kept: np.ndarray) -> dict[str, float]:
            rows = grouped[torch.from_numpy(kept)]
            precision, recall = precision_recall(rows[:, 0], real[:captions])
            return {
                f"Frechet distance, {name}": scale * frechet(Gaussian.of(rows.flatten(0, 1)), law),
                f"precision, {name}": precision,
                f"recall, {name}": recall,
            }

        return of

    whole = np.arange(captions)
    ends = {end: measure(drawn[end])(whole) for end in ("ceiling", "floor")}
    found = jackknife(measure(drawn[""]), captions)
    return {key: as_value(value, ends["ceiling"][key], ends["floor"][key]) for key, value in found.items()}


def clipscore(session: Session) -> Measured:
    """How well the drawn pictures fit their prompts, as CLIP sees it."""
    texts = {lang: session.clip.text_emb([p.text(lang) for p in session.prompts]).cpu() for lang in LANGUAGES}
    row = {p.id: i for i, p in enumerate(session.prompts)}
    drawn = {key: session.image_emb(images) for key, images in session.drawn().items()}
    rendered = {id: session.image_emb(images) for id, images in session.rendered().items()}

    def score(image_emb: Tensor, prompt: Prompt, language: str) -> list[float]:
        values = clip_score(image_emb, texts[language][row[prompt.id]].expand_as(image_emb))
        return [round(v, 3) for v in values.tolist()]

    def table(of: Callable[[Prompt, str], list[float]]) -> Table:
        return by_stratum(session.prompts, of)

    scores = table(lambda p, language: score(drawn[p.id, language], p, language))
    ceiling = table(lambda p, language: score(rendered[p.id], p, language))
    floor = table(
        lambda p, language: [
            float(np.mean([score(drawn[p.id, language], q, language) for q in others(session.prompts, p)]))
        ]
    )
    return Measured(
        n=len(drawn) * len(SEEDS),
        prompts=session.prompts_version,
        values=summarise(scores, STRATA, ceiling, floor),
        paired=korean_less_english(scores, STRATA),
        headline=STRATA,
        scores=scores,
        protocol="100 times the cosine of CLIP's embeddings of picture and prompt, in the prompt's language; "
        "four pictures a prompt, seeds 1 to 4. Overall: the mean of the tasks. Interval by bootstrap over "
        "prompts within their task. Ceiling: renders of what each prompt asks for. Floor: the mean over the "
        "other prompts of the task.",
    )


def geneval(session: Session) -> Measured:
    """Emoji-GenEval: the share of pictures that show what their prompt asks for."""
    drawn, rendered = session.drawn(), session.rendered()
    keys = list(drawn)
    read = {}
    for batch in session.each("judging", range(len(keys)), 10):
        for i in batch:
            read[keys[i]] = session.read(drawn[keys[i]])
    ceiling = {(id, ""): session.read(images) for id, images in rendered.items()}
    scores = scored(session.prompts, read)
    values = summarise(scores, SIX, scored(session.prompts, ceiling), shuffled(session.prompts, read))
    for labels in known_labels(session.bundle.name):
        values |= agreement(session.reader, labels)
    return Measured(
        n=len(drawn) * len(SEEDS),
        prompts=session.prompts_version,
        values=values,
        paired=korean_less_english(scores, SIX),
        headline=SIX,
        scores=scores,
        protocol="The share of pictures that show what the prompt asks for, by GenEval's rules, as the judge "
        "reads them at 64 px; four pictures a prompt, seeds 1 to 4, English and Korean. Overall: the mean of "
        "GenEval's six tasks, without style and the held-out pairs. Interval by bootstrap over prompts "
        "within their task. Ceiling: the same judge on renders of what each prompt asks for. Floor: every "
        "picture scored for the other prompts of its task. Where people have looked: how often the judge "
        "agrees with their labels on 200 pictures of the system.",
    )


def others(prompts: Sequence[Prompt], prompt: Prompt) -> list[Prompt]:
    """The other prompts of its stratum."""
    return [p for p in prompts if p.stratum == prompt.stratum and p.id != prompt.id]


def by_stratum(prompts: Sequence[Prompt], score: Callable[[Prompt, str], list[float]]) -> Table:
    table: Table = {}
    for prompt in prompts:
        rows = {language: score(prompt, language) for language in LANGUAGES}
        table.setdefault(prompt.stratum, {})[prompt.id] = rows
    return table
