"""Suites of DALL·E 2 alone: what its priors know of the picture that a caption stands for, and what comes
back of a picture that it turns into its latent (arXiv:2204.06125, sections 2.2 and 3).
"""

from __future__ import annotations

import logging
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from armchair.core.errors import Unsupported
from armchair.core.images import to_image, to_tensor
from armchair.core.logs import silenced
from armchair.dalle2.pipeline import PRIORS, Dalle2
from armchair.data.world.scene import sample_scene
from armchair.evaluation.bootstrap import Table
from armchair.evaluation.drawing import WORLD
from armchair.evaluation.metrics import psnr
from armchair.evaluation.prompts import LANGUAGES
from armchair.evaluation.result import Measured, korean_less_english, summarise
from armchair.evaluation.scenes import pictures, said
from armchair.evaluation.session import Session, as_bytes

CAPTIONED = {False: 300, True: 60}  # scenes, by `quick`
INVERTED = {False: 64, True: 16}  # scenes
WALKS = {False: 16, True: 4}  # pairs of them
FRAMES = 7  # of a walk from one picture to another


def prior(session: Session) -> Measured:
    """How near each prior's embedding of a caption comes to the picture's own, against other pictures."""
    pipeline = cast(Dalle2, session.artist.pipeline)
    n = CAPTIONED[session.quick]
    scenes = [sample_scene(i, WORLD) for i in range(n)]
    truth = torch.cat(
        [
            pipeline.embedder.image_emb(pictures(scenes[at : at + 50], pipeline.side, session.art)).cpu()
            for at in range(0, n, 50)
        ]
    )
    words = [word for word, name in PRIORS.items() if name in pipeline.parts]
    scores: Table = {}
    floor: Table = {}
    for word in (*words, "none"):
        name = f"cosine, {'text itself' if word == 'none' else word + ' prior'}"
        settings = {**pipeline.defaults, "prior": word}
        for language in LANGUAGES:
            drawn: list[Tensor] = []
            for (i,) in session.each(f"{name}, {language}", range(n), 1):
                drawn.append(pipeline.image_emb(said(scenes[i], "short", language), [i], settings).cpu())
            alike = F.normalize(torch.cat(drawn), dim=1) @ truth.mT  # (n, n)
            own, best, rest = alike.diagonal(), alike.amax(dim=1), (alike.sum(1) - alike.diagonal()) / (n - 1)
            found = name.replace("cosine", "R@1")
            for i in range(n):
                put(scores, name, i, language, float(own[i]))
                put(floor, name, i, language, float(rest[i]))
                put(scores, found, i, language, float(own[i] >= best[i]))
                put(floor, found, i, language, 1 / n)
    headline = (next(iter(scores)),)
    return Measured(
        n=n,
        values=summarise(scores, headline, floor=floor),
        paired=korean_less_english(scores, headline),
        headline=headline,
        scores=scores,
        protocol=f"Short captions of scenes 0..{n - 1} of Emoji World's test split (96 concepts), one "
        "embedding each with the bundle's options. Cosine to the CLIP embedding of the caption's picture; "
        f"R@1: how often that picture is the nearest of the {n}. English and Korean: of the first row. "
        "Interval by bootstrap over scenes. Floor: the mean cosine to the other pictures; chance.",
    )


def roundtrip(session: Session) -> Measured:
    """What comes back of a picture that is turned into its latent and decoded, and how even the ways between
    pictures are. Raises Unsupported for a decoder that is not inverted.
    """
    artist, pipeline = session.artist, cast(Dalle2, session.artist.pipeline)
    if pipeline.through_clip:
        raise Unsupported("roundtrip inverts the decoder, and variations of this bundle start from new noise")
    n, side = INVERTED[session.quick], pipeline.side
    steps = pipeline.operation_defaults["variations"]["steps"]
    size = f"{side}x{side}"
    shown = pictures([sample_scene(i, WORLD) for i in range(n)], side, session.art)
    whole = session.image_emb(as_bytes(shown))
    scores: Table = {}
    floor: Table = {}

    def again(eta: float) -> Tensor:
        back: list[Tensor] = []
        for (i,) in session.each(f"eta {eta:g}", range(n), 1):
            with silenced("armchair", logging.ERROR):
                made = artist.variations(to_image(shown[i]), seed=i, size=size, eta=eta)
            back.append(to_tensor(made[0].image))
        return torch.stack(back)

    same = again(0.0)
    for i, (value, other) in enumerate(
        zip(psnr(shown, same).tolist(), psnr(shown, same.roll(1, 0)).tolist(), strict=True)
    ):
        put(scores, "PSNR, eta 0", i, "", value)
        put(floor, "PSNR, eta 0", i, "", other)
    for eta, back in ((0.0, same), (1.0, again(1.0))):
        emb = session.image_emb(as_bytes(back))
        for i in range(n):
            put(scores, f"cosine, eta {eta:g}", i, "", float(whole[i] @ emb[i]))
            put(floor, f"cosine, eta {eta:g}", i, "", float(whole[i] @ emb[(i + 1) % n]))
    for (i,) in session.each("ways between pictures", range(WALKS[session.quick]), 1):
        a, b = to_image(shown[2 * i]), to_image(shown[2 * i + 1])
        frames = torch.stack([to_tensor(p.image) for p in artist.interpolate(a, b, frames=FRAMES, size=size)])
        ends = psnr(shown[2 * i : 2 * i + 2], frames[[0, -1]])
        jumps = (frames[1:] - frames[:-1]).square().mean(dim=(1, 2, 3)).sqrt()
        put(scores, "PSNR of a blend's ends", i, "", float(ends.mean()))
        put(scores, "largest step of a blend, of the mean", i, "", float(jumps.max() / jumps.mean()))
    return Measured(
        n=n,
        values=summarise(scores, ("PSNR, eta 0",), floor=floor),
        headline=("PSNR, eta 0",),
        scores=scores,
        protocol=f"Scenes 0..{n - 1} of Emoji World's test split (96 concepts) at {side} px, inverted and "
        f"decoded by DDIM in {steps} steps each way. PSNR in dB; cosine of CLIP's embeddings to the picture "
        f"that was given. Blends of {WALKS[session.quick]} pairs in {FRAMES} frames, steps by root mean "
        "square. Interval by bootstrap over scenes. Floor: another scene's result.",
    )


def put(table: Table, stratum: str, item: Any, language: str, value: float) -> None:
    """One score of one item."""
    table.setdefault(stratum, {}).setdefault(str(item), {})[language] = [value]
