"""Label 200 generated pictures by eye: the judge is only as good as its agreement with these.

Draw     python scripts/labels.py draw --model dalle1 --out out/labels [--pictures DIR]
         writes out/labels/dalle1.json and .webp and sheets of numbered pictures with what was asked for;
         --pictures takes those that `armchair evaluate --suite geneval --save DIR` kept, instead of drawing
Mark     python scripts/labels.py mark --system dalle1 --out out/labels --right 0-3,7,12
         says which pictures show what was asked for (all others do not) and copies both files to
         src/armchair/evaluation/labels
Compare  python scripts/labels.py agree --judge judge

A picture is right where all that its prompt asks for can be seen: the things, and where they are named their
number, colours, places, style and background. Other things in the picture do no harm, except when counting.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from PIL import Image

import armchair
from armchair.artist.find import find
from armchair.core.bundle import Bundle
from armchair.core.config import to_json
from armchair.core.errors import ArmchairError, BadInput
from armchair.core.images import contact_sheet, open_image
from armchair.core.picture import read_recipe
from armchair.evaluation.geneval import SIDE
from armchair.evaluation.labels import (
    Labelled,
    Labels,
    agreement,
    known_labels,
    pack,
    read_labels,
    selection,
    unpack,
)
from armchair.evaluation.prompts import load_prompts
from armchair.evaluation.session import file_name
from armchair.judge.reading import Reader

SHIPPED = Path(__file__).resolve().parents[1] / "src" / "armchair" / "evaluation" / "labels"
SHEET, COLUMNS, CELL = 40, 8, 160  # pictures a sheet, columns, pixels per side


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    drawing = commands.add_parser("draw")
    drawing.add_argument("--model", default="dalle1")
    drawing.add_argument("--out", type=Path, default=Path("out/labels"))
    drawing.add_argument("--pictures", type=Path)
    drawing.set_defaults(run=draw)
    marking = commands.add_parser("mark")
    marking.add_argument("--system", default="dalle1")
    marking.add_argument("--out", type=Path, default=Path("out/labels"))
    marking.add_argument("--right", required=True, help="numbers and ranges: 0-3,7,12")
    marking.set_defaults(run=mark)
    comparing = commands.add_parser("agree")
    comparing.add_argument("--judge", default="judge")
    comparing.set_defaults(run=agree)
    args = parser.parse_args()
    try:
        args.run(args)
    except ArmchairError as error:
        raise SystemExit(f"error: {error}") from None


def draw(args: argparse.Namespace) -> None:
    prompts = load_prompts()
    artist = armchair.load(args.model)
    rows: list[Labelled] = []
    images: list[Image.Image] = []
    words: list[str] = []
    for prompt, language, seed in selection(prompts.prompts):
        if args.pictures is None:
            image = artist.generate(prompt.text(language), seed=seed)[0].image
        else:
            image = kept(args.pictures / file_name(prompt, language, seed), artist.bundle.digest)
        images.append(image if image.width == SIDE else image.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
        rows.append(Labelled(prompt=prompt.id, language=language, seed=seed))
        words.append(prompt.en)  # in English for both, since labels are about the picture
    labels = Labels(
        system=artist.name, sha256=artist.bundle.digest, prompts=prompts.version, pictures=tuple(rows)
    )
    sheet = pack(images)
    labels.save(args.out, sheet)
    shown = unpack(sheet, len(images))  # what is labelled is what is kept
    for start in range(0, len(shown), SHEET):
        part = range(start, min(start + SHEET, len(shown)))
        captions = [f"{i} {words[i]}" for i in part]
        picture = contact_sheet([shown[i] for i in part], COLUMNS, captions, cell=CELL)
        picture.save(args.out / f"{artist.name}-{start:03d}.png")
    print(f"{len(rows)} pictures in {args.out}, {len(sheet):,} bytes")


def kept(path: Path, digest: str) -> Image.Image:
    """A picture that an evaluation drew with the same bundle."""
    if read_recipe(path)["digest"] != digest:
        raise BadInput(f"{path} was drawn by another bundle: draw the pictures anew")
    return open_image(path)


def mark(args: argparse.Namespace) -> None:
    labels, images = read_labels(args.out, args.system)
    right = numbers(args.right, len(images))
    rows = tuple(replace(row, right=i in right) for i, row in enumerate(labels.pictures))
    replace(labels, pictures=rows).save(SHIPPED, (args.out / f"{args.system}.webp").read_bytes())
    print(f"{len(right)} of {len(rows)} are right; wrote {SHIPPED / args.system}.json")


def numbers(text: str, count: int) -> set[int]:
    """ "0-3,7" -> {0, 1, 2, 3, 7}"""
    chosen: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        chosen |= set(range(int(first), int(last if last else first) + 1))
    if not chosen <= set(range(count)):
        raise SystemExit(f"error: there are pictures 0 to {count - 1}, not {max(chosen)}")
    return chosen


def agree(args: argparse.Namespace) -> None:
    reader = Reader.from_bundle(Bundle.open(find(args.judge)))
    for labels in known_labels():
        print(json.dumps(to_json(agreement(reader, labels)), indent=2))


if __name__ == "__main__":
    main()
