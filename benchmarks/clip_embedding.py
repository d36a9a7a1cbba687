"""How fast CLIP ViT-B/32 embeds pictures and texts, beside open_clip 3.3.0 and transformers.

Run      python benchmarks/clip_embedding.py [--peers FOLDER ...] [--threads 1] [--rounds 7]
Needs    nothing; open_clip and transformers are measured where they are installed
Writes   benchmarks/results/clip_embedding_YYYYMMDD.json

The same random weights in all three, 16 pictures of 224 px and 16 texts of 77 tokens, at full length for
everyone; `captions` are 16 texts of 6 to 21 tokens, padded to 77 where a project pads. The contenders take
turns, one call each a round, and the best round counts. Ours includes the normalisation of the pictures.
Embeddings are compared as well: a fast wrong one would not count.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from _machine import console, facts, seconds, show, write
from _peers import open_clip
from torch import Tensor
from torch.nn import functional as F

from armchair.clip.config import VARIANTS
from armchair.clip.fast import FastText, FastViT
from armchair.clip.network import Clip
from armchair.clip.preprocess import normalise
from armchair.clip.vit import ViT

CONFIG = VARIANTS["ViT-B/32"]
BATCH = 16
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
Embed = Callable[[Tensor], Tensor]
Contender = tuple[str, Embed, Embed]  # name, pictures in 0..1 -> (B, E), tokens -> (B, E)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", type=Path, nargs="*", default=[], help="folders made with pip --target")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_grad_enabled(False)
    torch.manual_seed(0)

    found = {name: module for name, module in peers(args.peers).items() if module is not None}
    image = torch.rand(BATCH, 3, 224, 224)
    versions = {name: module.__version__ for name, module in found.items()}
    result: dict[str, Any] = {**facts("clip_embedding"), "versions": versions, "batch": BATCH, "rows": []}
    for dtype, kind in DTYPES.items():
        net = Clip(CONFIG).eval()
        contenders = [make(found[name], net, kind) for name, make in PEERS.items() if name in found]
        contenders.append(ours(net, kind))
        for what, x in (
            ("images", image),
            ("texts", texts([75] * BATCH)),
            ("captions", texts(range(4, 20))),
        ):
            calls = {name: partial(i if what == "images" else t, x) for name, i, t in contenders}
            compare(calls, dtype)
            times = {name: min(times) for name, times in measure(calls, args.rounds).items()}
            for name, time in times.items():
                row = {"name": name, "dtype": dtype, "what": what, "per_second": round(BATCH / time, 2)}
                result["rows"].append(row)
                show(row)
    result["ratios"] = ratios(result["rows"])
    show(result["ratios"])
    write(result)


def peers(folders: list[Path]) -> dict[str, Any]:
    """open_clip and transformers; None, and a line that says how to get it, for one that is not here."""
    sys.path += [str(folder) for folder in folders]
    found: dict[str, Any] = {"transformers": None}
    if importlib.util.find_spec("transformers") is not None:
        importlib.import_module("transformers.models.clip.modeling_clip")  # before stand-ins mislead it
        found["transformers"] = importlib.import_module("transformers")
    found["open_clip"] = open_clip(None)
    for name, module in found.items():
        if module is None:
            package = "--no-deps open_clip_torch==3.3.0" if name == "open_clip" else name
            console.print(
                f"{name} is left out; pip install --target PEERS {package}, then --peers PEERS",
                style="yellow",
                markup=False,
            )
    return found


def texts(lengths: Any) -> Tensor:
    """(B, 77): start, so many ids, end, zeros"""
    rows = torch.zeros(len(lengths), CONFIG.text.length, dtype=torch.int64)
    for row, length in zip(rows, lengths, strict=True):
        row[0], row[length + 1] = CONFIG.text.start, CONFIG.text.end
        row[1 : length + 1] = torch.randint(1, CONFIG.text.start, (length,))
    return rows


def measure(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each call in each round, taken in turns, since other work on the machine comes and goes."""
    for call in calls.values():
        call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(seconds(call))
    return times


def compare(calls: dict[str, Callable[[], Tensor]], dtype: str) -> None:
    """All contenders must embed alike."""
    outs = [F.normalize(call().float(), dim=-1) for call in calls.values()]
    worst = max(float((a - b).abs().max()) for a in outs for b in outs)
    if worst > (1e-5 if dtype == "fp32" else 0.01):
        raise SystemExit(f"embeddings differ by {worst:.2g} between {', '.join(calls)}")


def ours(net: Clip, kind: torch.dtype) -> Contender:
    """The towers as ClipModel runs them. Takes the blocks out of `net`: make the others first."""
    assert isinstance(net.image, ViT)
    image, text = FastViT(net.image, kind), FastText(net.text, kind)
    return "armchair", image, text.pooled


def from_open_clip(module: Any, net: Clip, kind: torch.dtype) -> Contender:
    """open_clip's own class with our weights."""
    peer = module.create_model("ViT-B-32-quickgelu", pretrained=None).eval()
    load(peer, {f"visual.{k}": v for k, v in openai_names(net.image.state_dict(), "transformer").items()}
         | openai_names(net.text.state_dict(), "transformer") | {"logit_scale": net.logit_scale})  # fmt: skip
    peer = peer.to(kind)
    return "open_clip", lambda x: peer.encode_image(normalise(x).to(kind)), peer.encode_text


def from_transformers(module: Any, net: Clip, kind: torch.dtype) -> Contender:
    """transformers' CLIPModel with our weights."""
    peer = module.CLIPModel(module.CLIPConfig()).eval()
    weights = {"logit_scale": net.logit_scale}
    for tower, model, out in ((net.image, "vision", "visual"), (net.text, "text", "text")):
        weights |= hf_names(tower.state_dict(), f"{model}_model.", f"{out}_projection.weight")
    load(peer, weights)
    peer = peer.to(kind)

    def embed(output: Any) -> Tensor:
        return output if isinstance(output, Tensor) else output.pooler_output

    return (
        "transformers",
        lambda x: embed(peer.get_image_features(pixel_values=normalise(x).to(kind))),
        lambda t: embed(peer.get_text_features(input_ids=t)),
    )


def load(peer: Any, weights: dict[str, Tensor]) -> None:
    """Every weight of the peer, by name."""
    missing, unexpected = peer.load_state_dict({k: v.clone() for k, v in weights.items()}, strict=False)
    missing = [name for name in missing if not name.endswith(("position_ids", "attn_mask"))]
    if missing or unexpected:
        raise SystemExit(f"{type(peer).__name__} lacks {missing[:3]}, does not know {unexpected[:3]}")


PLAIN = {  # ours -> open_clip's, transformers'
    "patches.weight": ("conv1.weight", "embeddings.patch_embedding.weight"),
    "class_embedding": ("class_embedding", "embeddings.class_embedding"),
    "position_embedding": ("positional_embedding", "embeddings.position_embedding.weight"),
    "token_embedding.weight": ("token_embedding.weight", "embeddings.token_embedding.weight"),
    "norm_pre": ("ln_pre", "pre_layrnorm"),
    "norm_post": ("ln_post", "post_layernorm"),
    "norm": ("ln_final", "final_layer_norm"),
}
IN_BLOCKS = {
    "attention_norm": ("ln_1", "layer_norm1"),
    "mlp_norm": ("ln_2", "layer_norm2"),
    "attention.out": ("attn.out_proj", "self_attn.out_proj"),
    "mlp.0": ("mlp.c_fc", "mlp.fc1"),
    "mlp.2": ("mlp.c_proj", "mlp.fc2"),
}


def renamed(name: str, peer: int, blocks: str) -> str:
    """One of our names in a peer's words."""
    stem, _, end = name.rpartition(".")
    if name.startswith("blocks."):
        _, number, inner = stem.split(".", 2)
        return f"{blocks}.{number}.{IN_BLOCKS[inner][peer]}.{end}"
    if name in PLAIN:
        return PLAIN[name][peer]
    return f"{PLAIN[stem][peer]}.{end}"


def openai_names(weights: dict[str, Tensor], blocks: str) -> dict[str, Tensor]:
    """A tower's weights as OpenAI and open_clip name them."""
    found: dict[str, Tensor] = {}
    for name, value in weights.items():
        if ".qkv." in name:
            _, number, _, _, end = name.split(".")
            found[f"{blocks}.resblocks.{number}.attn.in_proj_{end}"] = value
        elif name == "projection":
            found["proj" if "patches.weight" in weights else "text_projection"] = value
        else:
            found[renamed(name, 0, f"{blocks}.resblocks")] = value
    return found


def hf_names(weights: dict[str, Tensor], prefix: str, projection: str) -> dict[str, Tensor]:
    """A tower's weights as transformers names them."""
    found: dict[str, Tensor] = {}
    for name, value in weights.items():
        if ".qkv." in name:
            _, number, _, _, end = name.split(".")
            for part, rows in zip("qkv", value.chunk(3), strict=True):
                found[f"{prefix}encoder.layers.{number}.self_attn.{part}_proj.{end}"] = rows
        elif name == "projection":
            found[projection] = value.T.contiguous()
        else:
            found[prefix + renamed(name, 1, "encoder.layers")] = value
    return found


PEERS: dict[str, Callable[[Any, Clip, torch.dtype], Contender]] = {
    "open_clip": from_open_clip,
    "transformers": from_transformers,
}


def ratios(rows: list[dict[str, Any]]) -> dict[str, float]:
    """How many times a peer's speed ours is."""
    speed = {(row["name"], row["dtype"], row["what"]): row["per_second"] for row in rows}
    return {
        f"armchair over {peer}, {dtype}, {what}": round(speed["armchair", dtype, what] / value, 2)
        for (peer, dtype, what), value in speed.items()
        if peer != "armchair"
    }


if __name__ == "__main__":
    main()
