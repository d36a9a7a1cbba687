"""A clip bundle as a Hugging Face CLIPModel folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from armchair.clip.config import ClipConfig, TextConfig, ViTConfig
from armchair.clip.preprocess import MEAN, STD
from armchair.core.bundle import Bundle
from armchair.core.config import from_json
from armchair.core.errors import Unsupported
from armchair.text.bpe import BPE
from armchair.text.clip_bpe import END, START, ClipBPE
from armchair.text.tokenizer import load_tokenizer
from armchair.weights.exporting.files import save_json, save_tensors
from armchair.weights.fast import to_fast
from armchair.weights.tables.clip import HUGGING_FACE
from armchair.weights.tables.keys import revert


def export(bundle: Bundle, folder: Path, dtype: torch.dtype) -> None:
    """Config, weights, preprocessor and tokenizer. Raises Unsupported for a ResNet."""
    config = from_json(ClipConfig, bundle.config("clip"), "clip")
    if not isinstance(config.image, ViTConfig):
        raise Unsupported(
            f"{bundle.name} has a ResNet as image tower, and a CLIPModel a ViT: --format safetensors holds it"
        )
    tensors = revert(HUGGING_FACE, bundle.tensors("clip", dtype))
    save_tensors(folder / "model.safetensors", tensors)
    save_json(folder / "config.json", hf_config(config, config.image, dtype))
    save_json(folder / "preprocessor_config.json", pixels(config.image_size))
    tokenizer = load_tokenizer(bundle.bytes("text"))
    for name, data in tokenizer_files(tokenizer, config.text).items():
        (folder / name).write_bytes(data)


def hf_config(config: ClipConfig, image: ViTConfig, dtype: torch.dtype) -> dict[str, Any]:
    """config.json of a CLIPModel."""
    text = config.text
    ends = (config.embed, config.quick_gelu)
    return {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "dtype": str(dtype).removeprefix("torch."),
        "projection_dim": config.embed,
        "logit_scale_init_value": 2.6592,
        "text_config": {
            "model_type": "clip_text_model",
            **tower(text.width, text.depth, text.heads, *ends),
            "vocab_size": text.vocab,
            "max_position_embeddings": text.length,
            "bos_token_id": text.start,
            "eos_token_id": text.end,
            "pad_token_id": text.end,
        },
        "vision_config": {
            "model_type": "clip_vision_model",
            **tower(image.width, image.depth, image.heads, *ends),
            "image_size": config.image_size,
            "patch_size": image.patch,
        },
    }


def tower(width: int, depth: int, heads: int, embed: int, quick_gelu: bool) -> dict[str, Any]:
    """What the configs of both towers have."""
    return {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": depth,
        "num_attention_heads": heads,
        "projection_dim": embed,
        "hidden_act": "quick_gelu" if quick_gelu else "gelu",
        "layer_norm_eps": 1e-5,
    }


def pixels(size: int) -> dict[str, Any]:
    """preprocessor_config.json"""
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": size},
        "resample": 3,  # bicubic
        "do_center_crop": True,
        "crop_size": {"height": size, "width": size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(MEAN),
        "image_std": list(STD),
    }


def tokenizer_files(tokenizer: BPE | ClipBPE, text: TextConfig, pad: str = END) -> dict[str, bytes]:
    """What a tokenizer's folder holds, by file name. pad: the piece that fills a row."""
    length = text.length
    specials = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": pad}
    found = {"special_tokens_map.json": specials}
    if isinstance(tokenizer, ClipBPE):
        vocab, merges = tokenizer.files()
        settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": length, **specials}
        named = {"vocab.json": vocab, "merges.txt": merges}
    else:
        settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": length, **specials}
        named = {"tokenizer.json": to_fast(tokenizer, text)}
    texts = {**found, "tokenizer_config.json": settings}
    return {**named, **{name: json.dumps(value, indent=2).encode() for name, value in texts.items()}}
