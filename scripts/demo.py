"""Draw with every shipped bundle that draws: out/demo/NAME/*.png, and one sheet of them all, out/demo.png."""

import shutil
import sys
import time
from pathlib import Path

import armchair
from armchair.artist.find import available
from armchair.core.bundle import Bundle
from armchair.core.images import contact_sheet
from armchair.weights.kinds import PIPELINES

OUT = Path("out")
PROMPTS = {  # prompt -> label: not every machine has a font with Hangul
    "a car": "a car",
    "피자": '"pizza" in Korean',
    "a teddy bear": "a teddy bear",
    "고양이": '"cat" in Korean',
    "an avocado": "an avocado",
    "집": '"house" in Korean',
    "a strawberry": "a strawberry",
    "a red apple": "a red apple",
}
SEEDS = 4  # pictures a prompt, with the seeds 1, 2, 3, 4


def main() -> int:
    """Draw, save, and say where and how long it took."""
    shipped = [found for found in available() if found.where == "shipped"]
    drawing = [found for found in shipped if Bundle.open(found.folder).kind in PIPELINES]
    if not drawing:
        print("No bundle that draws is shipped with this copy of Armchair.", file=sys.stderr)
        return 1
    shutil.rmtree(OUT / "demo", ignore_errors=True)  # the last demo's pictures
    images, labels = [], []
    for found in drawing:
        folder = OUT / "demo" / found.name
        folder.mkdir(parents=True)
        start = time.perf_counter()
        artist = armchair.load(found.folder)
        loaded = time.perf_counter()
        drawn = [artist.generate(prompt, n=SEEDS, seed=1) for prompt in PROMPTS]
        seconds = time.perf_counter() - loaded
        for row in zip(*drawn, strict=True):  # a row of the sheet holds one seed of every prompt
            for picture in row:
                picture.save(folder)
                images.append(picture.image)
                labels.append(f"{found.name}: {PROMPTS[picture.prompt]}")
        count = len(PROMPTS) * SEEDS
        print(f"{found.name}: loaded in {loaded - start:.1f} s, drew {count} in {seconds:.1f} s: {folder}/")
    sheet = OUT / "demo.png"
    contact_sheet(images, len(PROMPTS), labels, cell=128).save(sheet)
    print(f"All of them on one sheet: {sheet}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
