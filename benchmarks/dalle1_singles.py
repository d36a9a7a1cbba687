"""How many of forty single-object prompts, in English and Korean, come out as the object that was asked for.

Run      python benchmarks/dalle1_singles.py [--model dalle1] [--judge BUNDLE] [--sheet PATH]
Needs    a drawing bundle and a judge bundle (armchair train judge_emoji)
Writes   benchmarks/results/dalle1_singles_YYYYMMDD.json, and the sheet of all pictures
"""

import argparse
import datetime
import json
import platform
from pathlib import Path

import torch
from PIL import Image

from armchair import load
from armchair.artist.find import find
from armchair.core.bundle import Bundle
from armchair.core.images import contact_sheet
from armchair.evaluation.singles import SEEDS, Drawn, draw_singles, summary
from armchair.judge.reading import Reader

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="dalle1")
    parser.add_argument("--judge", default="judge")
    parser.add_argument("--sheet", type=Path, default=Path("out/dalle1_singles.png"))
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--temperature", type=float)
    parser.add_argument("--top-k", type=int)
    parser.add_argument("--no-result", action="store_true", help="write no result file: a trial")
    args = parser.parse_args()

    options = {
        name: value
        for name in ("guidance", "temperature", "top_k")
        if (value := getattr(args, name)) is not None
    }
    artist = load(args.model)
    judge = Bundle.open(find(args.judge))
    drawn = list(draw_singles(artist, Reader.from_bundle(judge), **options))
    result = {
        "benchmark": "dalle1_singles",
        "date": datetime.date.today().isoformat(),
        "machine": platform.machine(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "model": artist.bundle.name,
        "digest": artist.bundle.digest,
        "judge": judge.digest,
        "seeds": list(SEEDS),
        "options": options or "the bundle's own",
        "scores": summary(drawn),
        "wrong": sorted({d.prompt for d in drawn if not d.right}),
    }
    sheet(drawn).save(_made(args.sheet))
    text = json.dumps(result, ensure_ascii=False, indent=2)
    if not args.no_result:
        name = f"dalle1_singles_{datetime.date.today():%Y%m%d}.json"
        (_made(RESULTS / name)).write_text(text + "\n", encoding="utf-8")
    print(text)


def sheet(drawn: list[Drawn]) -> Image.Image:
    """A column a prompt and language, a row a seed; what the judge named wrongly has its answer below it."""
    labels = [d.prompt if d.right else f"{d.prompt}: {d.named}" for d in drawn]
    return contact_sheet([d.image for d in drawn], columns=16, labels=labels, cell=96)


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


if __name__ == "__main__":
    main()
