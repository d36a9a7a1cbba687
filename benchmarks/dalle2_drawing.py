"""How fast DALL·E 2 draws: prior, decoder and upsampler a step and all together, beside diffusers' UnCLIP.

Run      python benchmarks/dalle2_drawing.py [--peers FOLDER ...] [--threads 1] [--rounds 3] [--enough 16 8 1]
         [--paper]
Needs    diffusers and transformers
Writes   benchmarks/results/dalle2_drawing_YYYYMMDD.json

An UnCLIPPipeline of random weights, a tenth of Karlo's sizes, is saved and imported, so that both draw with
the same networks: guided, at equal steps (4, 4 and 7), one picture of 256 px. Ours in fp32 and bf16, theirs
in fp32. The contenders take turns, one call each a round, and the best round counts; a picture is drawn
once. tests/weights/test_references_karlo.py shows that both draw the same picture. `at equal quality` adds up
the steps that each needs: theirs the pipeline's (25, 25 and 7), ours those of --enough, for prior, decoder
and upsampler, which are as good as more (drawing_quality.py, docs/log.md).
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

SIZES: dict[str, Any] = {
    "side": 64,
    "embed": 256,
    "context": 512,
    "clip": (4, 4),  # layers, heads
    "prior": (640, 10, 10),  # width, layers, heads
    "decoder": ((128, 256, 320, 448), 2),  # widths, blocks
    "upsampler": ((32, 64, 128, 192), 2),
}
KARLO: dict[str, Any] = {
    "side": 64,
    "embed": 768,
    "context": 1536,
    "clip": (12, 12),
    "prior": (2048, 20, 32),
    "decoder": ((320, 640, 960, 1280), 3),
    "upsampler": ((320, 640, 960, 1280), 3),
}
PARTS = ("prior", "decoder", "upsampler")
DTYPES = ("fp32", "bf16")  # of ours
STEPS = {"prior": 4, "decoder": 4, "upsampler": 7}
USUAL = {"prior": 25, "decoder": 25, "upsampler": 7}  # of Karlo as diffusers draws with it
PROMPT = "a red armchair in the shape of an avocado, on a meadow"
GUIDANCE = {"prior": 4.0, "decoder": 8.0}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", type=Path, nargs="*", default=[], help="folders made with pip --target")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--enough", type=int, nargs=3, default=[16, 20, 1], help="our steps of each part")
    parser.add_argument("--paper", action="store_true", help="Karlo's own sizes: 24 GB of memory, an hour")
    args = parser.parse_args()
    sys.path += [str(folder) for folder in args.peers]
    torch.set_num_threads(args.threads)
    torch.set_grad_enabled(False)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        enough: dict[str, int] = dict(zip(PARTS, args.enough, strict=True))
        run(Path(folder), KARLO if args.paper else SIZES, args.rounds, enough)


def run(folder: Path, sizes: dict[str, Any], rounds: int, enough: dict[str, int]) -> None:
    from _diffusers import unclip

    from armchair.artist.artist import load
    from armchair.weights.importing.run import import_weights

    theirs = unclip(folder / "theirs", sizes)
    bundle = import_weights(str(folder / "theirs"), folder / "ours")
    artists = {dtype: load(bundle.folder, dtype=dtype) for dtype in DTYPES}
    counts = {
        name: sum(p.numel() for p in getattr(theirs, name).parameters())
        for name in ("prior", "decoder", "super_res_first")
    }
    result: dict[str, Any] = {**facts("dalle2_drawing"), "parameters": counts, "steps": STEPS, "rows": []}
    calls: dict[tuple[str, str, str], Callable[[], object]] = {}
    for dtype, artist in artists.items():
        for part, call in ours(artist, sizes).items():
            calls["armchair", dtype, part] = call
    for part, call in peers(theirs, sizes).items():
        calls["diffusers", "fp32", part] = call
    times: dict[tuple[str, str, str], float] = {}
    for part in (*PARTS, "picture"):
        here = {key: call for key, call in calls.items() if key[2] == part}
        for call in here.values() if part != "picture" else ():
            call()
        for _ in range(rounds if part != "picture" else 1):
            for key, call in here.items():
                times[key] = min(times.get(key, float("inf")), seconds(call))
        for key in here:
            row = {"name": key[0], "dtype": key[1], "what": part, "seconds": round(times[key], 4)}
            result["rows"].append(row)
            show(row)
    result["ratios"] = {
        f"{part} {dtype} against fp32 of diffusers": round(
            times["diffusers", "fp32", part] / times["armchair", dtype, part], 2
        )
        for part in (*PARTS, "picture")
        for dtype in DTYPES
    }
    show(result["ratios"])

    def whole(name: str, dtype: str, steps: dict[str, int]) -> float:
        return sum(count * times[name, dtype, part] for part, count in steps.items())

    theirs_whole = whole("diffusers", "fp32", USUAL)
    result["at equal quality"] = {
        "steps": {"diffusers": USUAL, "armchair": enough},
        "seconds of diffusers, fp32": round(theirs_whole, 2),
        **{
            f"{dtype} against it": round(theirs_whole / whole("armchair", dtype, enough), 2)
            for dtype in artists
        },
    }
    show(result["at equal quality"])
    write(result)


def ours(artist: Any, sizes: dict[str, Any]) -> dict[str, Callable[[], object]]:
    """One guided step of each network, and a picture."""
    pipeline, settings = artist.pipeline, {"guidance": GUIDANCE["decoder"], "steps": 25, "shift": 1.0}
    z = torch.randn(1, sizes["embed"])
    denoise, _ = pipeline.denoiser(PROMPT, z, settings)
    x, t = torch.randn(1, 3, sizes["side"], sizes["side"]), torch.tensor([500])
    large = 4 * sizes["side"]
    up, wide = pipeline.parts["upsample_256"], torch.randn(2, 1, 3, large, large)
    dtype = next(up.parameters()).dtype
    prior = pipeline.parts["prior"]
    read = [pipeline._read(prior, PROMPT, 60, shown) for shown in (True, False)]
    output = prior._output(*read, GUIDANCE["prior"], slice(0, 1))
    one = torch.randn(1, 1, sizes["embed"])
    return {
        "prior": lambda: output(one, t),
        "decoder": lambda: denoise(x, t),
        "upsampler": lambda: up(wide[0].to(dtype), t, wide[1]),
        "picture": lambda: artist.generate(
            PROMPT,
            seed=1,
            steps=STEPS["decoder"],
            prior_steps=STEPS["prior"],
            guidance=GUIDANCE["decoder"],
            prior_guidance=GUIDANCE["prior"],
        ),
    }


def peers(pipeline: Any, sizes: dict[str, Any]) -> dict[str, Callable[[], object]]:
    """The same of diffusers."""
    embeds, states, mask = pipeline._encode_prompt(PROMPT, "cpu", 1, True)
    z = torch.randn(1, sizes["embed"])
    context, extra = pipeline.text_proj(
        image_embeddings=z,
        prompt_embeds=embeds,
        text_encoder_hidden_states=states,
        do_classifier_free_guidance=True,
    )
    keep = torch.nn.functional.pad(mask, (4, 0), value=True)
    x, large = torch.randn(2, 3, sizes["side"], sizes["side"]), 4 * sizes["side"]
    both = torch.randn(1, 6, large, large)
    return {
        "prior": lambda: pipeline.prior(
            torch.cat([z, z]),
            timestep=500,
            proj_embedding=embeds,
            encoder_hidden_states=states,
            attention_mask=mask,
        ),
        "decoder": lambda: pipeline.decoder(
            sample=x, timestep=500, encoder_hidden_states=context, class_labels=extra, attention_mask=keep
        ),
        "upsampler": lambda: pipeline.super_res_first(sample=both, timestep=500),
        "picture": lambda: pipeline(
            PROMPT,
            prior_num_inference_steps=STEPS["prior"],
            decoder_num_inference_steps=STEPS["decoder"],
            super_res_num_inference_steps=STEPS["upsampler"],
            prior_guidance_scale=GUIDANCE["prior"],
            decoder_guidance_scale=GUIDANCE["decoder"],
        ),
    }


if __name__ == "__main__":
    main()
    console.print("done")
