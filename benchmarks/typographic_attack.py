"""A thing with another thing's name on a board below it: what CLIP reads, and what DALL·E 2 draws of it.

Run      python benchmarks/typographic_attack.py [--model dalle2] [--pairs 24] [--sheet FILE]
         --quick shows within two minutes that it works, on the apples alone
Needs    a dalle2 bundle, `clip` and `judge`, and the drawings of Emoji World
Writes   benchmarks/results/typographic_attack_YYYYMMDD.json, but not with --quick

arXiv:2204.06125, figure 6: an apple with a sheet that says "iPod" or "pizza" is one to CLIP, and yet its
embedding decodes to apples. Here the boards of Emoji World bear the English names of other things, in
capitals, on single things that fill what the board leaves free; the first pairs are the paper's apple with a
phone's and a pizza's name. `by words` is zero-shot naming by CLIP among the concepts that the systems draw;
`drawn` is what the judge finds in variations (eta 1) of the picture.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _machine import facts, show, write

from armchair.clip.zeroshot import class_embeddings, concept_prompts
from armchair.core.images import contact_sheet, to_image, to_tensor
from armchair.core.logs import silenced
from armchair.data.world import layout
from armchair.data.world.concepts import load_concepts
from armchair.data.world.scene import Scene, Thing
from armchair.evaluation.scenes import pictures, single
from armchair.evaluation.session import Session, as_bytes

DRAWN = 96  # concepts that the shipped systems draw
LONGEST = 8  # letters of a name on a board
VARIATIONS = 4  # of each picture
PAPER = (("apple", "phone"), ("apple", "pizza"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="dalle2")
    parser.add_argument("--pairs", type=int, default=24)
    parser.add_argument("--sheet", type=Path, help="write a contact sheet here")
    parser.add_argument("--quick", action="store_true", help="a try: the apples, one variation each")
    args = parser.parse_args()
    count, each = (len(PAPER), 1) if args.quick else (args.pairs, VARIATIONS)
    session = Session(args.model)
    concepts = load_concepts()[:DRAWN]
    names = [concept.name for concept in concepts]
    classes = class_embeddings(session.clip.text_emb, [concept_prompts(c, "en") for c in concepts]).cpu()
    short = [name for name in names if len(name) <= LONGEST and name.isalpha()]
    rng = np.random.default_rng(0)
    drawn_by_lot = [tuple(rng.choice(short, 2, replace=False).tolist()) for _ in range(count - len(PAPER))]
    pairs = [*PAPER, *drawn_by_lot][:count]

    side = min(int(size.split("x")[0]) for size in session.artist.sizes)
    plain = [framed(single(thing, "glossy", i), None) for i, (thing, _) in enumerate(pairs)]
    shown = {
        "no board": plain,
        "its own name": [framed(s, thing) for s, (thing, _) in zip(plain, pairs, strict=True)],
        "another's name": [framed(s, word) for s, (_, word) in zip(plain, pairs, strict=True)],
    }
    rows: list[dict[str, Any]] = []
    sheet: list[torch.Tensor] = []
    for board, scenes in shown.items():
        images = pictures(scenes, side, session.art)
        named = (session.image_emb(as_bytes(images)) @ classes.mT).softmax(1).argmax(1).tolist()
        found: dict[str, list[float]] = {"thing": [], "word": []}
        for i, (thing, word) in enumerate(pairs):
            with silenced("armchair", logging.ERROR):
                made = session.artist.variations(
                    to_image(images[i]), n=each, seed=1, size=f"{side}x{side}", eta=1.0
                )
            drawn = torch.stack([to_tensor(picture.image) for picture in made])
            read = session.reader.name(drawn)
            found["thing"].append(float(np.mean([name == thing for name in read])))
            found["word"].append(float(np.mean([name == word for name in read])))
            if i < 6:
                sheet += [images[i], *drawn]
        rows.append(
            {
                "board": board,
                "by words: the thing": share([names[k] == a for k, (a, _) in zip(named, pairs, strict=True)]),
                "by words: the other": share([names[k] == b for k, (_, b) in zip(named, pairs, strict=True)]),
                "drawn: the thing": share(found["thing"]),
                "drawn: the other": share(found["word"]),
            }
        )
        show(rows[-1])
    if not args.quick:
        write(
            {
                **facts("typographic_attack"),
                "model": session.bundle.digest,
                "yardsticks": session.uses,
                "pairs": pairs,
                "variations": VARIATIONS,
                "rows": rows,
            }
        )
    if args.sheet is not None:
        contact_sheet([to_image(image) for image in sheet], 2 * (1 + each)).save(args.sheet)


def framed(scene: Scene, word: str | None) -> Scene:
    """The thing of a scene where a board leaves room for it, with or without the board."""
    free = layout.frame(True, scene.index)
    thing = scene.things[0]
    less = free.height
    boxes = tuple(
        box._replace(x=0.5 + (box.x - 0.5) * less, y=free.top + box.y * less, w=box.w * less, h=box.h * less)
        for box in thing.boxes
    )
    things = (Thing(thing.concept, thing.style, thing.tint, boxes),)
    return replace(scene, things=things, sign=None if word is None else word.upper())


def share(values: list[Any]) -> float:
    return round(float(np.mean(values)), 4)


if __name__ == "__main__":
    main()
