"""How fast imported weights run, beside the libraries that they come from: CLIP ViT-B/32, the U-Net of Stable
Diffusion 1.5, the UnCLIP pipeline.

Run      python benchmarks/imported.py [--peers FOLDER ...] [--threads 1] [--rounds 3] [--dtype fp32 bf16]
                                       [--only clip unet unclip] [--cells 32] [--pictures]
         one type of one part takes minutes: --only unet --cells 64 --dtype fp32 --rounds 1
Needs    diffusers and transformers; 10 GB of memory
Writes   benchmarks/results/imported_YYYYMMDD.json; what was not run this time stays as it was that day

The same random weights on both sides, saved by their library and imported, or carried over by the same table.
CLIP: 8 pictures, and 8 texts at full length. The U-Net: one guided step (two rows) over `cells` x `cells`
latents; ours has read the words before, as it does when it draws. UnCLIP: the sizes of dalle2_drawing.py, a
tenth of Karlo's, a step of each network, and with --pictures whole pictures. The contenders take turns, one
call each a round, and the best round counts.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import importlib
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from _machine import RESULTS, console, facts, seconds, show, write
from torch import Tensor

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
PARTS = ("clip", "unet", "unclip")
BATCH = 8
OURS = "armchair"
Calls = Mapping[str, Callable[[], Any]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", type=Path, nargs="*", default=[], help="folders made with pip --target")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument("--dtype", nargs="*", choices=DTYPES, default=list(DTYPES))
    parser.add_argument("--cells", type=int, default=32, help="of a latent's side; 64 are 512 px")
    parser.add_argument("--pictures", action="store_true", help="whole pictures of UnCLIP too: a minute each")
    args = parser.parse_args()
    sys.path += [str(folder) for folder in args.peers]
    torch.set_num_threads(args.threads)
    torch.set_grad_enabled(False)
    torch.manual_seed(0)
    result: dict[str, Any] = {**facts("imported"), "batch": BATCH}
    rows = earlier(result)
    for dtype in args.dtype:
        for part in args.only:
            for what, calls in cases(part, DTYPES[dtype], args):
                for name, time in measure(calls, 0 if what == "unclip picture" else args.rounds).items():
                    rows[what, dtype, name] = round(time, 4)
                    show({"name": name, "dtype": dtype, "what": what, "seconds": round(time, 4)})
                del calls
                gc.collect()
            listed = [{"what": k[0], "dtype": k[1], "name": k[2], "seconds": v} for k, v in rows.items()]
            write({**result, "rows": listed, "ratios": ratios(rows)})
    show(ratios(rows))


def cases(part: str, kind: torch.dtype, args: argparse.Namespace) -> Iterator[tuple[str, Calls]]:
    """What is compared, and the contenders."""
    if part == "clip":
        yield from clip(kind).items()
    elif part == "unet":
        yield f"unet, {args.cells} cells", unet(kind, args.cells)
    else:
        yield from unclip(kind, args.pictures)


def earlier(result: Mapping[str, Any]) -> dict[tuple[str, str, str], float]:
    """What was measured today with as many threads: what, dtype and name -> seconds."""
    path = RESULTS / f"imported_{datetime.date.today():%Y%m%d}.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if found.get("threads") != result["threads"]:
        return {}
    return {(row["what"], row["dtype"], row["name"]): row["seconds"] for row in found["rows"]}


def measure(calls: Calls, rounds: int) -> dict[str, float]:
    """The best seconds of each, taken in turns, after a call of each whose outputs are compared where there
    are any. rounds: 0 is one call alone.
    """
    if rounds:
        found = [call() for call in calls.values()]
        if all(isinstance(one, Tensor) for one in found):
            apart = (found[0].float() - found[1].float()).abs().max() / found[1].float().abs().max()
            assert apart < 0.05, f"they compute different things: {float(apart):.3f}"
    times = dict.fromkeys(calls, float("inf"))
    for _ in range(max(1, rounds)):
        for name, call in calls.items():
            times[name] = min(times[name], seconds(call))
    return times


def ratios(rows: Mapping[tuple[str, str, str], float]) -> dict[str, float]:
    """Their time over ours."""
    return {
        f"{what} {dtype}": round(time / rows[what, dtype, OURS], 2)
        for (what, dtype, name), time in rows.items()
        if name != OURS
    }


def clip(kind: torch.dtype) -> dict[str, Calls]:
    """Pictures and texts of an imported CLIPModel."""
    from _diffusers import tokenizer

    from armchair.clip.pipeline import ClipModel
    from armchair.clip.preprocess import normalise
    from armchair.weights.importing.run import import_weights

    transformers = importlib.import_module("transformers")
    with tempfile.TemporaryDirectory() as folder:
        _, vocab = tokenizer(Path(folder) / "words")
        shared = {"vocab_size": vocab, "eos_token_id": vocab - 1, "bos_token_id": vocab - 2}
        net = transformers.CLIPModel(transformers.CLIPConfig(text_config=shared)).eval()
        net.save_pretrained(Path(folder) / "theirs")
        for name in ("vocab.json", "merges.txt"):
            (Path(folder) / "words" / name).rename(Path(folder) / "theirs" / name)
        bundle = import_weights(str(Path(folder) / "theirs"), Path(folder) / "ours")
        ours = ClipModel.from_bundle(bundle, torch.device("cpu"), kind)
    net = net.to(kind)
    pictures, texts = torch.rand(BATCH, 3, 224, 224), ["a red armchair on a green meadow " * 3] * BATCH
    tokens = ours.tokens(texts)

    def unit(x: Any) -> Tensor:
        x = x if isinstance(x, Tensor) else x.pooler_output
        return torch.nn.functional.normalize(x.float(), dim=-1)

    return {
        "clip images": {
            OURS: lambda: ours.image_emb(pictures),
            "transformers": lambda: unit(net.get_image_features(pixel_values=normalise(pictures).to(kind))),
        },
        "clip texts": {
            OURS: lambda: ours.text_emb(texts),
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
    states = torch.randn(2, 77, 768).to(kind)
    words = ours.read(states)
    return {
        OURS: lambda: ours(x, t, words=words),
        "diffusers": lambda: theirs(x.to(kind), t, encoder_hidden_states=states).sample,
    }


def unclip(kind: torch.dtype, pictures: bool) -> Iterator[tuple[str, Calls]]:
    """A step of each network of UnCLIP, and a whole picture."""
    import dalle2_drawing
    from _diffusers import unclip as made

    from armchair.artist.artist import load
    from armchair.weights.importing.run import import_weights

    sizes = dalle2_drawing.SIZES
    with tempfile.TemporaryDirectory() as folder:
        theirs = made(Path(folder) / "theirs", sizes)
        bundle = import_weights(str(Path(folder) / "theirs"), Path(folder) / "ours")
        artist = load(bundle.folder, dtype=str(kind).removeprefix("torch."))
        ours = dalle2_drawing.ours(artist, sizes)
        torch.set_default_dtype(kind)  # of the noise that the peer is given
        peers = dalle2_drawing.peers(theirs.to(kind), sizes)
        torch.set_default_dtype(torch.float32)
        for part in ("prior", "decoder", "upsampler", *(("picture",) if pictures else ())):
            yield f"unclip {part}", {OURS: ours[part], "diffusers": peers[part]}


if __name__ == "__main__":
    main()
    console.print("done")
