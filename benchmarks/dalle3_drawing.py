"""How fast DALL·E 3's latent diffusion draws: a guided step, decoding and a picture, beside diffusers.

Run      python benchmarks/dalle3_drawing.py [--peers FOLDER ...] [--threads 1] [--rounds 3] [--paper]
Needs    diffusers and transformers
Writes   benchmarks/results/dalle3_drawing_YYYYMMDD.json

A StableDiffusionPipeline of random weights, a twentieth of Stable Diffusion's size, is saved and imported, so
that both draw with the same networks, in fp32 and in bf16: a step with guidance 7.5 (two rows), the decoder,
and a picture of 256 px from words in equal steps of DDIM. Once more with guidance between 0.2 and 0.8 of the
noise alone, which only ours does. The contenders take turns, one call each a round, and the best round
counts. tests/weights/test_references_latent.py shows that both draw the same picture.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from _machine import console, facts, seconds, show, write

PROMPT = "a red armchair in the shape of an avocado, on a meadow"
GUIDANCE, INTERVAL = 7.5, "0.2-0.8"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
Calls = dict[tuple[str, str], Callable[[], object]]  # whose, and what -> a call of it


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", type=Path, nargs="*", default=[], help="folders made with pip --target")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10, help="of a picture")
    parser.add_argument("--paper", action="store_true", help="Stable Diffusion 1's sizes: 12 GB, an hour")
    args = parser.parse_args()
    sys.path += [str(folder) for folder in args.peers]
    torch.set_num_threads(args.threads)
    torch.set_grad_enabled(False)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), args)


def run(folder: Path, args: argparse.Namespace) -> None:
    from _diffusers import ONE, SMALL, stable_diffusion

    from armchair.artist.artist import load
    from armchair.weights.importing.run import import_weights

    sizes = ONE if args.paper else SMALL
    theirs = stable_diffusion(folder / "theirs", sizes)
    bundle = import_weights(str(folder / "theirs"), folder / "ours")
    counts = {name: sum(p.numel() for p in getattr(theirs, name).parameters()) for name in ("unet", "vae")}
    result: dict[str, Any] = {**facts("dalle3_drawing"), "parameters": counts, "picture_steps": args.steps}
    result |= {"rows": [], "ratios": {}}
    for dtype, kind in DTYPES.items():
        artist, theirs = load(bundle.folder, dtype=dtype), theirs.to(kind)
        calls = {**ours(artist, sizes, args.steps), **peers(theirs, sizes, args.steps)}
        for what in ("step", "decoder", "picture"):
            here = {whose: call for (whose, part), call in calls.items() if part == what}
            times = dict.fromkeys(here, float("inf"))
            for call in here.values() if what != "picture" else ():
                call()
            for _ in range(args.rounds if what != "picture" else 1):
                for whose, call in here.items():
                    times[whose] = min(times[whose], seconds(call))
            for whose, time in times.items():
                row = {"name": whose, "dtype": dtype, "what": what, "seconds": round(time, 4)}
                result["rows"].append(row)
                show(row)
                if whose != "diffusers":
                    result["ratios"][f"{what} {dtype}, {whose}"] = round(times["diffusers"] / time, 2)
    show(result["ratios"])
    write(result)


def ours(artist: Any, sizes: dict[str, Any], steps: int) -> Calls:
    """A step, the decoder and a picture."""
    from armchair.dalle3.drawing import denoise_of

    pipeline, cells = artist.pipeline, sizes["cells"]
    net = pipeline.parts["latent"]
    words, nothing = pipeline.words(PROMPT), pipeline.words("")
    denoise = denoise_of(net, [words], nothing, GUIDANCE, net.nothing_known(1, cells, cells))
    x, t = torch.randn(1, 4, cells, cells), torch.tensor([500])

    def picture(interval: str) -> object:
        options = {"steps": steps, "guidance": GUIDANCE, "guidance_interval": interval, "sampler": "ddim"}
        return artist.generate(PROMPT, seed=1, **options)

    return {
        ("armchair", "step"): lambda: denoise(x, t),
        ("armchair", "decoder"): lambda: pipeline.decode(x),
        ("armchair", "picture"): lambda: picture("0-1"),
        (f"armchair, guided in {INTERVAL}", "picture"): lambda: picture(INTERVAL),
    }


def peers(pipeline: Any, sizes: dict[str, Any], steps: int) -> Calls:
    """The same of diffusers."""
    kind, cells = pipeline.unet.dtype, sizes["cells"]
    words, nothing = pipeline.encode_prompt(PROMPT, "cpu", 1, True)
    both, x = torch.cat([nothing, words]), torch.randn(1, 4, cells, cells, dtype=kind)

    def step() -> object:
        uncond, cond = pipeline.unet(torch.cat([x, x]), 500, encoder_hidden_states=both).sample.chunk(2)
        eps = uncond + GUIDANCE * (cond - uncond)
        return pipeline.scheduler.step(eps, 999, x).prev_sample

    pipeline.scheduler.set_timesteps(steps)
    return {
        ("diffusers", "step"): step,
        ("diffusers", "decoder"): lambda: pipeline.vae.decode(x / pipeline.vae.config.scaling_factor).sample,
        ("diffusers", "picture"): lambda: pipeline(
            PROMPT, num_inference_steps=steps, guidance_scale=GUIDANCE
        ),
    }


if __name__ == "__main__":
    main()
    console.print("done")
