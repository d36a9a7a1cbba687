"""How fast imported weights run, beside the libraries that they come from: CLIP ViT-B/32 and the U-Net of
Stable Diffusion 1.5. The UnCLIP pipeline has a page of its own, dalle2_drawing.py.

Run      python benchmarks/imported.py [--peers FOLDER ...] [--threads 1] [--rounds 3] [--cells 32]
Needs    diffusers and transformers; 10 GB of memory
Writes   benchmarks/results/imported_YYYYMMDD.json

The same random weights on both sides, saved by their library and imported, or carried over by the same table.
CLIP: 8 pictures, and 8 texts at full length. The U-Net: one guided step (two rows) over `cells` x `cells`
latents. fp32 and bf16; the contenders take turns, one call each a round, and the best round counts.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from _machine import console, facts, seconds, show, write
from torch import Tensor

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
BATCH = 8
Calls = Mapping[str, Callable[[], Tensor]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", type=Path, nargs="*", default=[], help="folders made with pip --target")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cells", type=int, default=32, help="of a latent's side; 64 are 512 px")
    args = parser.parse_args()
    sys.path += [str(folder) for folder in args.peers]
    torch.set_num_threads(args.threads)
    torch.set_grad_enabled(False)
    torch.manual_seed(0)
    result: dict[str, Any] = {**facts("imported"), "batch": BATCH, "cells": args.cells, "rows": []}
    for dtype, kind in DTYPES.items():
        for what, calls in (*clip(kind).items(), ("unet", unet(kind, args.cells))):
            for name, time in measure(calls, args.rounds).items():
                row = {"name": name, "dtype": dtype, "what": what, "seconds": round(time, 4)}
                result["rows"].append(row)
                show(row)
            del calls
            gc.collect()
        result["ratios"] = ratios(result["rows"])
        write(result)
    show(result["ratios"])


def measure(calls: Calls, rounds: int) -> dict[str, float]:
    """The best seconds of each, taken in turns; first all are called once, and must agree."""
    found = [call().float() for call in calls.values()]
    apart = (found[0] - found[1]).abs().max() / found[1].abs().max()
    assert apart < 0.05, f"they compute different things: {float(apart):.3f}"
    times = dict.fromkeys(calls, float("inf"))
    for _ in range(rounds):
        for name, call in calls.items():
            times[name] = min(times[name], seconds(call))
    return times


def ratios(rows: list[dict[str, Any]]) -> dict[str, float]:
    times = {(row["name"], row["dtype"], row["what"]): row["seconds"] for row in rows}
    return {
        f"{what} {dtype}": round(times[name, dtype, what] / times["armchair", dtype, what], 2)
        for (name, dtype, what) in times
        if name != "armchair"
    }


def clip(kind: torch.dtype) -> dict[str, Calls]:
    """Pictures and texts of an imported CLIPModel."""
    from _diffusers import tokenizer

    from armchair.clip.pipeline import ClipModel
    from armchair.clip.preprocess import normalise
    from armchair.weights.importing.run import import_weights

    transformers = importlib.import_module("transformers")
    with tempfile.TemporaryDirectory() as folder:
        words, vocab = tokenizer(Path(folder) / "words")
        shared = {"vocab_size": vocab, "eos_token_id": vocab - 1, "bos_token_id": vocab - 2}
        net = transformers.CLIPModel(transformers.CLIPConfig(text_config=shared)).eval()
        net.save_pretrained(Path(folder) / "theirs")
        (Path(folder) / "words" / "vocab.json").rename(Path(folder) / "theirs" / "vocab.json")
        (Path(folder) / "words" / "merges.txt").rename(Path(folder) / "theirs" / "merges.txt")
        bundle = import_weights(str(Path(folder) / "theirs"), Path(folder) / "ours")
        ours = ClipModel.from_bundle(bundle, torch.device("cpu"), kind)
    del words
    net = net.to(kind)
    pictures, texts = torch.rand(BATCH, 3, 224, 224), ["a red armchair on a green meadow " * 3] * BATCH
    tokens = ours.tokens(texts)

    def unit(x: Any) -> Tensor:
        x = x if isinstance(x, Tensor) else x.pooler_output
        return torch.nn.functional.normalize(x.float(), dim=-1)

    return {
        "images": {
            "armchair": lambda: ours.image_emb(pictures),
            "transformers": lambda: unit(net.get_image_features(pixel_values=normalise(pictures).to(kind))),
        },
        "texts": {
            "armchair": lambda: ours.text_emb(texts),
            "transformers": lambda: unit(net.get_text_features(input_ids=tokens)),
        },
    }


def unet(kind: torch.dtype, cells: int) -> Calls:
    """One guided step of Stable Diffusion 1.5."""
    from _diffusers import stable_diffusion_unet

    from armchair.core.packing import fill_module
    from armchair.core.parts import ready
    from armchair.core.tensorfile import Lazy
    from armchair.core.unfilled import Unfilled
    from armchair.dalle3.config import ClipWordsConfig, LatentConfig
    from armchair.nn.unet import LevelSpec, UNet
    from armchair.weights.tables.keys import fit
    from armchair.weights.tables.latent import diffusers_unet

    theirs = stable_diffusion_unet()
    widths = ((320, "cross"), (640, "cross"), (1280, "cross"), (1280, None))
    config = LatentConfig(
        words=ClipWordsConfig(),
        levels=tuple(LevelSpec(width=width, depth=2, attention=kind) for width, kind in widths),  # type: ignore[arg-type]
        modulation="add",
        inpaints=False,
    )
    with Unfilled():
        ours = UNet(config.unet)
    state = theirs.state_dict()
    lazy = {name: Lazy(v.dtype, tuple(v.shape), lambda v=v: v) for name, v in state.items()}
    fitted = fit(diffusers_unet(linear=False), lazy, ours.state_dict(), "the U-Net")
    fill_module(ours, {name: tensor.read() for name, tensor in fitted.tensors.items()}, "the U-Net")
    ours, theirs = ready(ours, torch.device("cpu"), kind), theirs.to(kind)
    x, t = torch.randn(2, 4, cells, cells), torch.tensor([500, 500])
    words = torch.randn(2, 77, 768).to(kind)
    return {
        "armchair": lambda: ours(x, t, context=words),
        "diffusers": lambda: theirs(x.to(kind), t, encoder_hidden_states=words).sample,
    }


if __name__ == "__main__":
    main()
    console.print("done")
