"""What drawing N and keeping the best by CLIP gains, as the judge sees it and not the CLIP that ranks.

Run      python benchmarks/rerank.py [--model dalle1] [--clip clip] [--judge judge] [--prompts N] [--most 64]
Needs    a drawing bundle, a clip bundle and a judge bundle
Writes   benchmarks/results/rerank_MODEL_YYYYMMDD.json

Every prompt of the short version of Emoji-GenEval is drawn `most` times, English and Korean in turn, with
seeds that the scoreboard does not use. For each N the pictures are cut into groups of N; the best of each
group by CLIP is judged. N = 1 is then the mean over all pictures, and "oracle" the share of groups that hold
a right picture at all: what a perfect ranker would reach.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from _machine import console, facts, show, write

from armchair.evaluation.bootstrap import estimate
from armchair.evaluation.geneval import fulfils
from armchair.evaluation.prompts import LANGUAGES, SIX
from armchair.evaluation.session import Session, file_name

COUNTS = (1, 4, 16, 64)
FIRST_SEED = 1_000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="dalle1")
    parser.add_argument("--clip", default="clip")
    parser.add_argument("--judge", default="judge")
    parser.add_argument("--prompts", type=int, default=6, help="of each task, up to 6")
    parser.add_argument("--most", type=int, default=64, help="pictures a prompt, up to 64")
    parser.add_argument("--save", type=Path, help="keep the pictures in this folder")
    args = parser.parse_args()

    session = Session(args.model, quick=True, clip=args.clip, judge=args.judge, save=args.save)
    prompts = [p for task in SIX for p in [q for q in session.prompts if q.stratum == task][: args.prompts]]
    ranked: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {task: [] for task in SIX}
    for i, prompt in enumerate(prompts):
        text = prompt.text(LANGUAGES[i % 2])
        seeds = range(FIRST_SEED, FIRST_SEED + args.most)
        images = session.draw(text, seeds, [file_name(prompt, LANGUAGES[i % 2], seed) for seed in seeds])
        fits = (session.image_emb(images) @ session.clip.text_emb([text])[0].cpu()).numpy()  # (most,)
        right = np.array([fulfils(prompt, reading) for reading in session.read(images)], dtype=float)
        ranked[prompt.task].append((fits, right))
        console.print(f"{i + 1}/{len(prompts)} {text}: {right.mean():.2f} right", markup=False)

    rows = [row(ranked, count) for count in COUNTS if count <= args.most]
    for entry in rows:
        show(entry)
    result = {
        **facts(f"rerank_{args.model}"),
        "model": session.bundle.digest,
        "clip": session.uses["clip"],
        "judge": session.uses["judge"],
        "prompts_version": session.prompts_version,
        "prompts": len(prompts),
        "pictures_each": args.most,
        "rows": rows,
    }
    write(result)


def row(ranked: dict[str, list[tuple[np.ndarray, np.ndarray]]], count: int) -> dict[str, Any]:
    """The share of right pictures with the best of `count` kept, its gain over one, and the oracle's."""
    best = {task: np.array([chosen(f, r, count) for f, r in items]) for task, items in ranked.items()}
    one = {task: np.array([r.mean() for _, r in items]) for task, items in ranked.items()}
    oracle = {
        task: np.array([groups(r, count).max(axis=1).mean() for _, r in items])
        for task, items in ranked.items()
    }
    share, gain = estimate(list(best.values())), estimate([best[task] - one[task] for task in best])
    return {
        "n": count,
        "right": round(share.value, 4),
        "interval": [round(share.low, 4), round(share.high, 4)],
        "gain": round(gain.value, 4),
        "gain_interval": [round(gain.low, 4), round(gain.high, 4)],
        "oracle": round(estimate(list(oracle.values())).value, 4),
        "tasks": {task: round(float(values.mean()), 4) for task, values in best.items()},
    }


def chosen(fits: np.ndarray, right: np.ndarray, count: int) -> float:
    """The share of groups whose best by CLIP is right."""
    picks = groups(fits, count).argmax(axis=1)
    return float(np.take_along_axis(groups(right, count), picks[:, None], axis=1).mean())


def groups(values: np.ndarray, count: int) -> np.ndarray:
    """(most,) -> (groups, count); what does not fill a group is left out"""
    return values[: len(values) // count * count].reshape(-1, count)


if __name__ == "__main__":
    main()
