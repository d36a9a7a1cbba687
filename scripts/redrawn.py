"""Pairs to train an upsampler on: scenes, and beside each what a shipped system makes of the scene's small
version with noise on it, as it would draw it in its last steps. An upsampler that has met drawn pictures
alone enlarges their faults as well.

Run      python scripts/redrawn.py dalle3 --out runs/redrawn/dalle3 --n 3000
         python scripts/redrawn.py dalle2 --out runs/redrawn/dalle2 --n 3000
         armchair train dalle2_upsample256_emoji --data runs/redrawn --init upsample_256 --out runs/up256
Needs    the bundle, and the drawings of Emoji World (npm fetches them)
Writes   NAME.png and NAME.small.png (docs/data.md)
"""

import argparse
import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from armchair.cli.train import open_bundle
from armchair.core.bundle import Bundle
from armchair.core.errors import BadInput
from armchair.core.images import from_pixels, to_image, to_pixels
from armchair.core.rng import SeedBatch
from armchair.core.task import Sample
from armchair.dalle2.decoder_task import DecoderTask
from armchair.dalle3.latent_task import LatentTask
from armchair.dalle3.text_encoder import caption_tokens
from armchair.data.augment import centre
from armchair.data.captions import CaptionMix
from armchair.data.degrade import shrink
from armchair.data.world.scene import WorldConfig
from armchair.diffusion.flow import Flow
from armchair.diffusion.loss import noised
from armchair.diffusion.prediction import predict

LARGE, FACTOR, ROWS = 256, 4, 16
LAST = 2  # of the steps that a system draws with: what the others decide is the picture's own
WORLD = WorldConfig(
    size=LARGE,
    concepts=96,
    single=0.4,
    counting=0.15,
    pairs=0.8,
    crowds=0.05,
    unsaid=0.5,
    natural=0.6,
    plain=0.8,
    styles={"glossy": 0.6, "soft": 0.12, "flat": 0.12, "line": 0.06, "sticker": 0.1},
)
CAPTIONS = CaptionMix(kinds={"short": 0.85, "long": 0.15}, languages={"en": 0.5, "ko": 0.5})
SHOWN = {"captions": CAPTIONS, "drop_text": 0.0, "drop_layout": 0.0, "everything_masked": 1.0}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a dalle2 or dalle3 bundle that draws at 64 px")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--n", type=int, default=3_000, help="scenes")
    parser.add_argument("--start", type=int, default=900_000, help="number of the first scene")
    args = parser.parse_args()
    bundle, world = open_bundle(args.model), WORLD.open()
    if bundle.kind not in SYSTEMS:
        raise SystemExit(f"{args.model} is a {bundle.kind} bundle; {' or '.join(SYSTEMS)} is needed")
    redraw = SYSTEMS[bundle.kind](bundle)
    args.out.mkdir(parents=True, exist_ok=True)
    for start in range(0, args.n, ROWS):
        numbers = range(args.start + start, args.start + min(args.n, start + ROWS))
        if all((args.out / f"{i}.small.png").is_file() for i in numbers):
            continue  # an earlier run's
        samples = [world[i] for i in numbers]
        for i, sample, small in zip(numbers, samples, redraw(samples, numbers), strict=True):
            Image.fromarray(sample.image).save(args.out / f"{i}.png")
            small.save(args.out / f"{i}.small.png")
        print(f"{min(args.n, start + ROWS):,} of {args.n:,}", flush=True)


class Redraw:
    """Small pictures with noise, cleaned in one guided step."""

    task: Any
    guidance: float
    levels: tuple[float, ...]  # of the last steps

    @torch.no_grad()
    def __call__(self, samples: Iterable[Sample], seeds: Iterable[int]) -> list[Image.Image]:
        seeds = list(seeds)
        small = [replace(one, image=shrink(centre(one.image, LARGE), FACTOR)) for one in samples]
        made = [
            self.task.example(s, torch.Generator().manual_seed(i)) for s, i in zip(small, seeds, strict=True)
        ]
        shown = {name: torch.stack([one[name] for one in made]) for name in made[0]}
        level = random.Random(seeds[0]).choice(self.levels)
        x0 = self.clean(shown, self.hidden(shown), torch.full((len(made),), level), SeedBatch(seeds))
        return [to_image(image) for image in to_pixels(x0).clamp(0, 1)]

    def hidden(self, shown: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Examples without their words, for guidance."""
        return {**shown, "shows_layout": torch.zeros_like(shown["shows_layout"])}

    def clean(
        self, shown: Mapping[str, Tensor], hidden: Mapping[str, Tensor], t: Tensor, rng: SeedBatch
    ) -> Tensor:
        """-> (B, 3, S, S) in -1..1, as the system sees the examples through noise of level t (B,)"""
        raise NotImplementedError


class Dalle3(Redraw):
    task: LatentTask

    def __init__(self, bundle: Bundle):
        from armchair.recipes.dalle3_latent_emoji import recipe

        using = {"text_encoder": open_bundle("clip"), "autoencoder": bundle}
        task = replace(recipe().task, **SHOWN).build(using, bundle)
        if not isinstance(task.levels, Flow):
            raise BadInput(f"{bundle.name} is no flow")
        self.task, self.guidance = task, float(bundle.manifest.defaults["guidance"])
        task.net.eval()
        self.levels = tuple(task.levels.times(int(bundle.manifest.defaults["steps"]))[-1 - LAST : -1])

    def hidden(self, shown: Mapping[str, Tensor]) -> dict[str, Tensor]:
        nothing = caption_tokens([], self.task.config.net.words)
        return {**super().hidden(shown), "tokens": nothing.expand(len(shown["tokens"]), -1)}

    def clean(
        self, shown: Mapping[str, Tensor], hidden: Mapping[str, Tensor], t: Tensor, rng: SeedBatch
    ) -> Tensor:
        task, net = self.task, self.task.config.net
        cells = net.grids[0][0] * net.grids[0][1]
        eps = rng.normal(net.channels, cells)
        found = torch.empty(2, len(t), net.channels, *net.grids[0])
        for rows, data in zip(found, (shown, hidden), strict=True):
            for group in task.outputs(data, t, eps):
                noise = eps[group.at].unflatten(2, net.grids[0])
                x = noised(group.x0, noise, t[group.at], task.levels)
                rows[group.at] = predict(group.output, x, t[group.at], task.levels, net.prediction).x0
        x0 = found[1] + self.guidance * (found[0] - found[1])
        return task.coder.decode(task.net.denoiser.scale.back(x0)).clamp(-1, 1)


class Dalle2(Redraw):
    task: DecoderTask

    def __init__(self, bundle: Bundle):
        from armchair.recipes.dalle2_decoder_emoji import recipe

        task = replace(recipe().task, **SHOWN, drop_image=0.0).build({"clip": open_bundle("clip")}, bundle)
        task.net.eval()
        self.task, self.guidance = task, float(bundle.manifest.defaults["guidance"])
        visited = task.schedule.respace(bundle.manifest.defaults["steps"], bundle.manifest.defaults["shift"])
        self.levels = tuple(visited.times[:LAST].tolist())

    def hidden(self, shown: Mapping[str, Tensor]) -> dict[str, Tensor]:
        nothing = self.task.tokens([]).expand(len(shown["tokens"]), -1)
        return {**super().hidden(shown), "tokens": nothing, "has_image": torch.zeros_like(shown["has_image"])}

    def clean(
        self, shown: Mapping[str, Tensor], hidden: Mapping[str, Tensor], t: Tensor, rng: SeedBatch
    ) -> Tensor:
        task, side = self.task, self.task.side
        eps, z = rng.normal(3, side, side), task.embedder.image_emb(shown["image"])
        x = noised(from_pixels(shown["image"].float() / 255), eps, t, task.schedule)
        found: list[Tensor] = []
        for data in (shown, hidden):
            read = task.read(data["tokens"])
            assert read is not None
            read = read._replace(drafted=task.drafted(data, read))
            output, _, _ = task.outputs(data, read, t, eps, z)
            found.append(predict(output, x, t, task.schedule, task.net.config.prediction).x0)
        return (found[1] + self.guidance * (found[0] - found[1])).clamp(-1, 1)


SYSTEMS = {"dalle2": Dalle2, "dalle3": Dalle3}


if __name__ == "__main__":
    main()
