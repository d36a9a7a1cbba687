"""What diffusers' folders are written with: networks, schedulers, tokenizers; and what they cannot hold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from armchair.clip.config import TextConfig
from armchair.core.bundle import Bundle
from armchair.core.errors import Unsupported
from armchair.nn.unet import UNetConfig
from armchair.text.clip_bpe import ClipBPE
from armchair.text.tokenizer import load_tokenizer
from armchair.weights.exporting.files import save_json, save_tensors
from armchair.weights.exporting.hf_clip import tokenizer_files, tower

VERSION = "0.30.0"  # of diffusers, whose folders these are
BACK = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}


class Obstacle(NamedTuple):
    """What a bundle has that diffusers' pipelines cannot compute."""

    what: str
    instead: str = ""  # what a recipe says for a network that they can; empty: none of our recipes trains one


def unlike(config: Any, stated: Mapping[str, Any], part: str, path: str = "") -> list[Obstacle]:
    """The fields of a config with another value than the one that diffusers computes.

    path: of the config in its recipe, such as task.net
    """
    found: list[Obstacle] = []
    for name, value in stated.items():
        if getattr(config, name) != value:
            said = value if isinstance(value, str) else json.dumps(value)
            instead = f"{path}.{name}={said}" if path else ""
            found.append(Obstacle(f"{part}.{name}={getattr(config, name)!r}", instead))
    return found


def refuse(bundle: Bundle, obstacles: Sequence[Obstacle], recipe: str | None = None) -> None:
    """Raises Unsupported naming all of them, where there are some. recipe: one that trains without any."""
    if not obstacles:
        return
    what = ", ".join(one.what for one in obstacles)
    changes = ", ".join(dict.fromkeys(one.instead for one in obstacles if one.instead))
    train = f", or train one with {changes}, as the recipe {recipe} does" if recipe and changes else ""
    raise Unsupported(
        f"{bundle.name} has {what}, for which diffusers' pipelines have no place: --format safetensors holds "
        f"it{train}"
    )


def class_of(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """A config.json that names its class."""
    return {"_class_name": name, "_diffusers_version": VERSION, **values}


def unet_obstacles(unet: UNetConfig, path: str = "") -> list[Obstacle]:
    """Of a skeleton."""
    found = unlike(unet, {"patch": 1, "times": 0}, "U-Net", path)
    first, depths = unet.levels[0].width, sorted({spec.depth for spec in unet.levels})
    if unet.time_width != first:
        instead = f"{path}.time_width={first}" if path else ""
        found.append(Obstacle(f"U-Net.time_width={unet.time_width} beside a level of {first}", instead))
    if len(depths) > 1:
        instead = f"one depth in {path}.levels" if path else ""
        found.append(Obstacle(f"U-Net.levels of depths {', '.join(map(str, depths))}", instead))
    return found


def unet_json(unet: UNetConfig, side: int) -> dict[str, Any]:
    """What UNet2DModel and UNet2DConditionModel share."""
    names = {
        None: ("ResnetDownsampleBlock2D", "ResnetUpsampleBlock2D"),
        "keys": ("SimpleCrossAttnDownBlock2D", "SimpleCrossAttnUpBlock2D"),
        "cross": ("CrossAttnDownBlock2D", "CrossAttnUpBlock2D"),
    }
    if unet.resample == "conv":
        names[None] = ("DownBlock2D", "UpBlock2D")
    kinds = [names[spec.attention] for spec in unet.levels]
    return {
        "_diffusers_version": VERSION,
        "sample_size": side,
        "in_channels": unet.channels_in,
        "out_channels": unet.channels_out,
        "block_out_channels": [spec.width for spec in unet.levels],
        "layers_per_block": unet.levels[0].depth,
        "down_block_types": [down for down, _ in kinds],
        "up_block_types": [up for _, up in reversed(kinds)],
        "norm_num_groups": unet.groups,
        "norm_eps": 1e-5,
        "act_fn": "silu",
        "resnet_time_scale_shift": "scale_shift",
    }


def text_json(text: TextConfig, quick: bool, embed: int, dtype: torch.dtype) -> dict[str, Any]:
    """config.json of a text tower."""
    return {
        "model_type": "clip_text_model",
        "dtype": str(dtype).removeprefix("torch."),
        **tower(text.width, text.depth, text.heads, embed, quick),
        "vocab_size": text.vocab,
        "max_position_embeddings": text.length,
        "bos_token_id": text.start,
        "eos_token_id": text.end,
        "pad_token_id": text.end,
    }


def write_tokenizer(bundle: Bundle, folder: Path, text: TextConfig, pad: str) -> str:
    """The tokenizer's folder -> its class. pad: the piece that fills a row."""
    bpe = load_tokenizer(bundle.bytes("text"))
    (folder / "tokenizer").mkdir()
    for name, data in tokenizer_files(bpe, text, pad).items():
        (folder / "tokenizer" / name).write_bytes(data)
    return "CLIPTokenizer" if isinstance(bpe, ClipBPE) else "PreTrainedTokenizerFast"


def write_schedulers(folder: Path, kind: str, schedulers: Mapping[str, Mapping[str, Any]]) -> None:
    for name, config in schedulers.items():
        (folder / name).mkdir()
        save_json(folder / name / "scheduler_config.json", class_of(kind, config))


def write_index(folder: Path, kind: str, classes: Mapping[str, str], **more: Any) -> None:
    """model_index.json"""
    known = ("CLIP", "PreTrained")  # how the names of transformers' classes begin here
    homes = {name: "transformers" if cls.startswith(known) else "diffusers" for name, cls in classes.items()}
    parts = {name: [homes[name], cls] for name, cls in classes.items()}
    save_json(folder / "model_index.json", class_of(kind, {**parts, **more}))


def save(
    folder: Path,
    tensors: Mapping[str, Tensor],
    config: Mapping[str, Any],
    stem: str = "diffusion_pytorch_model",
) -> None:
    """A network's folder, new or there already."""
    folder.mkdir(exist_ok=True)
    save_json(folder / "config.json", config)
    save_tensors(folder / f"{stem}.safetensors", tensors)
