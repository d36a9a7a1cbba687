"""Steps against quality, and realism against diversity, of a system that draws by diffusion.

Run      python benchmarks/drawing_quality.py steps --model dalle2 [--steps 4 8 12 20 30 50]
         python benchmarks/drawing_quality.py steps --model dalle3 --samplers euler --intervals 0-1 0.1-0.8
         python benchmarks/drawing_quality.py guidance --model dalle2 [--plot docs/images/dalle2-guidance.svg]
         --quick shows within two minutes that it works, with too few pictures to say anything
Needs    a drawing bundle, `clip` and `judge`, and the drawings of Emoji World
Writes   benchmarks/results/drawing_quality_{steps,guidance}_MODEL_YYYYMMDD.json, but not with --quick

steps: the short version of Emoji-GenEval, English and Korean in turn, the same seeds for every row: the share
of pictures that show what was asked for, CLIP score, and seconds a picture. The default of a bundle is the
least number of steps whose share is within the interval of the best.

guidance: short captions of unseen scenes, the distance of what is drawn to renders of other scenes, precision
and recall in CLIP's features (arXiv:2204.06125, figures 8 to 11, where DALL·E 2 keeps its diversity as
guidance grows). `text alone` hides the image embedding from the decoder, which leaves it what GLIDE has.
"""

from __future__ import annotations

import argparse
import logging
from itertools import product
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from _machine import clock, facts, show, write
from _svg import Line, Panel, save

from armchair.core.images import to_pixels, to_tensor
from armchair.core.logs import silenced
from armchair.core.rng import SeedBatch
from armchair.dalle2.pipeline import Dalle2
from armchair.data.world.scene import sample_scene
from armchair.diffusion.drawing import sample
from armchair.evaluation.bootstrap import estimate
from armchair.evaluation.drawing import WORLD, distances, flat_colours
from armchair.evaluation.geneval import SIDE, fulfils
from armchair.evaluation.metrics import clip_score
from armchair.evaluation.prompts import LANGUAGES, SIX
from armchair.evaluation.scenes import pictures, said
from armchair.evaluation.session import Session, as_bytes

FIRST_SEED = 2_000  # the scoreboard uses others
REAL = 1_000  # renders that the drawn pictures are compared with


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["steps", "guidance"])
    parser.add_argument("--model", default="dalle2")
    parser.add_argument("--steps", type=int, nargs="+", default=[4, 8, 12, 20, 30, 50])
    parser.add_argument("--samplers", nargs="+", default=["dpm"])
    parser.add_argument("--intervals", nargs="+", default=[None], help="of guidance, such as 0-1 0.1-0.8")
    parser.add_argument("--guidance", type=float, nargs="+", default=[1, 1.5, 2, 3, 4, 6, 8])
    parser.add_argument("--pictures", type=int, default=2, help="of each prompt or caption")
    parser.add_argument("--captions", type=int, default=120, help="of the guidance curve")
    parser.add_argument("--plot", type=Path, help="where to draw the guidance curve, as SVG")
    parser.add_argument("--quick", action="store_true", help="a try: few of everything")
    args = parser.parse_args()
    if args.quick:
        args.steps, args.guidance, args.pictures, args.captions = [2, 4], [1.0, 3.0], 1, 8
    session = Session(args.model, quick=True)
    rows = steps(session, args) if args.what == "steps" else guidance(session, args)
    result: dict[str, Any] = {
        **facts(f"drawing_quality_{args.what}_{session.bundle.name}"),
        "model": session.bundle.digest,
        "yardsticks": session.uses,
        "pictures_each": args.pictures,
        "rows": rows,
    }
    if not args.quick:
        write(result)
    if args.plot is not None and args.what == "guidance":
        plot(rows, args.plot)


def steps(session: Session, args: argparse.Namespace) -> list[dict[str, Any]]:
    prompts = [p for p in session.prompts if p.stratum in SIX]
    if args.quick:
        prompts = prompts[:: len(prompts) // len(SIX)]
    seeds = range(FIRST_SEED, FIRST_SEED + args.pictures)
    rows: list[dict[str, Any]] = []
    for sampler, interval in product(args.samplers, args.intervals):
        where = {} if interval is None else {"guidance_interval": interval}
        for count in args.steps:
            right: dict[str, list[float]] = {task: [] for task in SIX}
            fits: list[float] = []
            spent = 0.0
            for i, prompt in enumerate(prompts):
                text = prompt.text(LANGUAGES[i % 2])
                began = clock()
                images = drawn(session, text, seeds, steps=count, sampler=sampler, **where)
                spent += clock() - began
                right[prompt.stratum].append(
                    float(np.mean([fulfils(prompt, reading) for reading in session.read(images)]))
                )
                emb = session.image_emb(images)
                fits += clip_score(emb, session.clip.text_emb([text]).cpu().expand_as(emb)).tolist()
            share = estimate([np.array(values) for values in right.values()])
            rows.append(
                {
                    "sampler": sampler,
                    "steps": count,
                    **where,
                    "right": round(share.value, 4),
                    "interval": [round(share.low, 4), round(share.high, 4)],
                    "tasks": {task: round(float(np.mean(values)), 4) for task, values in right.items()},
                    "clip_score": round(float(np.mean(fits)), 2),
                    "seconds_a_picture": round(spent / len(prompts) / args.pictures, 3),
                }
            )
            show(rows[-1])
    return rows


def guidance(session: Session, args: argparse.Namespace) -> list[dict[str, Any]]:
    count = args.captions * args.pictures
    scenes = [sample_scene(i, WORLD) for i in range(count + (100 if args.quick else REAL))]
    rendered = as_bytes(pictures(scenes, SIDE, session.art))
    real = session.image_emb(rendered[count:])
    ends = {
        "ceiling": session.image_emb(rendered[:count]),
        "floor": session.image_emb(flat_colours(rendered[:count])),
    }
    few: dict[str, Any] = {"steps": min(args.steps)} if args.quick else {}
    rows: list[dict[str, Any]] = []
    for alone in (False, True) if session.bundle.kind == "dalle2" else (False,):
        for scale in args.guidance:
            parts: list[torch.Tensor] = []
            for i in range(args.captions):
                text = said(scenes[i], "short", LANGUAGES[i % 2])
                seeds = range(FIRST_SEED + 4 * i, FIRST_SEED + 4 * i + args.pictures)
                draw = text_alone if alone else drawn
                parts.append(session.image_emb(draw(session, text, seeds, guidance=scale, **few)))
            values = distances("CLIP", {"": torch.cat(parts), **ends}, real, args.pictures)
            rows.append(
                {
                    "decoder": "text alone" if alone else "embedding and text",
                    "guidance": scale,
                    **{key.removesuffix(", CLIP"): round(v.value, 4) for key, v in values.items()},
                }
            )
            show(rows[-1])
    return rows


def drawn(session: Session, text: str, seeds: range, **options: Any) -> torch.Tensor:
    """(N, 3, H, W) uint8, as small as the system draws: upsamplers are not what is measured"""
    artist = session.artist
    with silenced("armchair", logging.ERROR):
        made = artist.generate(text, n=len(seeds), seed=seeds[0], size=smallest(artist.sizes), **options)
    return as_bytes(torch.stack([to_tensor(picture.image) for picture in made]))


def smallest(sizes: list[str]) -> str:
    return min(sizes, key=lambda size: int(size.split("x")[0]) * int(size.split("x")[1]))


@torch.no_grad()
def text_alone(session: Session, text: str, seeds: range, **options: Any) -> torch.Tensor:
    """The same from the decoder with the image embedding hidden."""
    pipeline = cast(Dalle2, session.artist.pipeline)
    settings = {**pipeline.defaults, **options}
    z = torch.zeros(len(seeds), pipeline.parts.config("decoder").embed)
    denoise, schedule = pipeline.denoiser(text, z, settings, shown=False)
    rng = SeedBatch(seeds)
    x = rng.normal(3, pipeline.side, pipeline.side)
    *_, last = sample(denoise, x, schedule, rng, settings["sampler"])
    return as_bytes(to_pixels(last.x0))


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Distance over guidance, and recall over precision with the guidance beside each point."""
    distance, spread = [], []
    for name in dict.fromkeys(row["decoder"] for row in rows):
        own = [row for row in rows if row["decoder"] == name]
        scales = [row["guidance"] for row in own]
        distance.append(Line(name, [(row["guidance"], row["Frechet distance"]) for row in own]))
        points = [(row["precision"], row["recall"]) for row in own]
        spread.append(Line(name, points, [f"{scale:g}" for scale in scales]))
    save([Panel("guidance", "Frechet distance", distance), Panel("precision", "recall", spread)], path)


if __name__ == "__main__":
    main()
