"""Latent diffusion as diffusers' folders: StableDiffusionPipeline, and the autoencoder by itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from armchair.core.bundle import Bundle
from armchair.core.config import from_json
from armchair.dalle3.config import ClipWordsConfig, LatentConfig
from armchair.dalle3.parts import part_config
from armchair.nn.autoencoder import AutoencoderConfig
from armchair.text.clip_bpe import END, ClipBPE
from armchair.text.tokenizer import load_any
from armchair.weights.exporting.folders import (
    BACK,
    Obstacle,
    class_of,
    refuse,
    save,
    text_json,
    unet_json,
    unet_obstacles,
    unlike,
    write_index,
    write_schedulers,
    write_tokenizer,
)
from armchair.weights.tables import latent as tables
from armchair.weights.tables.keys import revert

RECIPE = "dalle3_stable_tiny"  # trains what these folders hold
MIRRORED = {"patch": 1, "decoder": None}  # the autoencoders that diffusers computes
NET = "task.net"  # where its recipe has a network's config
SPACINGS = {"even": "linspace", "trailing": "trailing", "leading": "leading"}
ABSENT: dict[str, Any] = {
    "safety_checker": [None, None],
    "feature_extractor": [None, None],
    "requires_safety_checker": False,
}


def pipeline(bundle: Bundle, folder: Path, dtype: torch.dtype) -> None:
    """A dalle3 bundle of Stable Diffusion's form: a CLIP text tower all of whose places are read, and a
    timestep that is added. Upsamplers and a consistency decoder stay behind. Raises Unsupported.
    """
    config = part_config(bundle, "latent")
    coder = part_config(bundle, "autoencoder")
    words, bpe = config.words, load_any(bundle.bytes("text"))
    found = [*words_obstacles(words, isinstance(bpe, ClipBPE)), *latent_obstacles(config)]
    refuse(bundle, [*found, *unlike(coder, MIRRORED, "autoencoder", f"its autoencoder's {NET}")], RECIPE)
    tensors = {name: bundle.tensors(name, dtype) for name in ("latent", "autoencoder", "text_encoder")}
    mean, std = (tensors["latent"].pop(f"scale.{x}").float() for x in ("mean", "std"))
    scale = 1 / float(std[0])
    if mean.abs().max() > 0 or (std - std[0]).abs().max() > 1e-6 * std[0]:
        tensors["autoencoder"], scale = scaled(tensors["autoencoder"], mean, std), 1.0
    save(
        folder / "unet",
        revert(tables.under(tables.diffusers_unet(linear=False), "", "unet."), tensors["latent"]),
        unet_json(config.unet, config.side // config.stride)
        | {
            "_class_name": "UNet2DConditionModel",
            "cross_attention_dim": words.width,
            "attention_head_dim": heads(config),
            "resnet_time_scale_shift": "default",
            "mid_block_type": "UNetMidBlock2DCrossAttn",
            "use_linear_projection": False,
        },
    )
    write_autoencoder(folder / "vae", coder, tensors["autoencoder"], scale)
    states = revert(tables.CLIP_WORDS, tensors["text_encoder"])
    save(folder / "text_encoder", {f"text_model.{k}": v for k, v in states.items()}, {
        "architectures": ["CLIPTextModel"], **text_json(words.text, words.quick_gelu, words.width, dtype),
    }, "model")  # fmt: skip
    pad = bpe.piece(words.pad) if isinstance(bpe, ClipBPE) and words.pad is not None else END
    tokenizer = write_tokenizer(bundle, folder, words.text, pad)
    write_schedulers(folder, "DDIMScheduler", {"scheduler": {
        "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "clip_sample": False,
        "num_train_timesteps": config.steps, "prediction_type": BACK[config.prediction],
        "timestep_spacing": SPACINGS[config.spacing], "set_alpha_to_one": not config.residue,
        "steps_offset": 1,
    }})  # fmt: skip
    write_index(folder, "StableDiffusionPipeline", {
        "unet": "UNet2DConditionModel", "vae": "AutoencoderKL", "text_encoder": "CLIPTextModel",
        "tokenizer": tokenizer, "scheduler": "DDIMScheduler",
    }, **ABSENT)  # fmt: skip


def autoencoder(bundle: Bundle, folder: Path, dtype: torch.dtype) -> None:
    """An autoencoder bundle as an AutoencoderKL, whose scaling_factor is 1: by itself it does not know how
    latents are scaled. Raises Unsupported.
    """
    config = from_json(AutoencoderConfig, bundle.config("autoencoder"), "autoencoder")
    refuse(bundle, unlike(config, MIRRORED, "autoencoder", NET), "dalle3_autoencoder_paper")
    write_autoencoder(folder, config, bundle.tensors("autoencoder", dtype), 1.0)


def words_obstacles(words: Any, clip_bpe: bool) -> list[Obstacle]:
    """Of what reads the text. clip_bpe: its tokenizer is CLIP's."""
    if not isinstance(words, ClipWordsConfig):
        return [Obstacle("a text encoder of T5", f"{NET}.words of a CLIP text tower")]
    found = unlike(words, {"masked": False}, "text_encoder", f"{NET}.words")
    if not clip_bpe:
        found += unlike(words, {"pad": None}, "text_encoder", f"{NET}.words")
    return found


def latent_obstacles(config: LatentConfig) -> list[Obstacle]:
    """Of the U-Net and its noise levels."""
    found = unlike(config, {
        "inpaints": False, "modulation": "add", "resample": "conv", "qk_norm": False, "pooled": False,
        "schedule": "scaled_linear", "middle_attention": "cross", "sketch": None, "places": 0,
    }, "U-Net", NET)  # fmt: skip
    if config.prediction not in BACK:
        found.append(Obstacle(f"U-Net.prediction={config.prediction!r}", f"{NET}.prediction=v"))
    if any(spec.attention == "keys" for spec in config.levels):
        found.append(Obstacle("attention 'keys' in U-Net.levels", f"cross in {NET}.levels"))
    return found + unet_obstacles(config.unet, NET)


def heads(config: LatentConfig) -> int | list[int]:
    """Of all levels, or of each: what UNet2DConditionModel calls attention_head_dim."""
    return config.heads if config.heads > 0 else [spec.width // config.head_width for spec in config.levels]


def scaled(coder: Mapping[str, Tensor], mean: Tensor, std: Tensor) -> dict[str, Tensor]:
    """An autoencoder whose latents are (latent - mean) / std of another's, channel by channel: the two
    convolutions between its halves take it up. mean, std (C,)
    """
    found, channels = dict(coder), len(mean)
    into, into_bias, out, out_bias = (
        coder[f"{layer}.{end}"].float() for layer in ("moments", "unmoments") for end in ("weight", "bias")
    )
    spread = torch.cat([std, torch.ones_like(std)])[:, None, None, None]  # of means, and log variances
    moved = torch.cat([(into_bias[:channels] - mean) / std, into_bias[channels:] - 2 * std.log()])
    made = {
        "moments.weight": into / spread,
        "moments.bias": moved,
        "unmoments.weight": out * std[:, None, None],
        "unmoments.bias": out_bias + out[:, :, 0, 0] @ mean,
    }
    return found | {name: value.to(coder[name].dtype) for name, value in made.items()}


def write_autoencoder(
    folder: Path, config: AutoencoderConfig, tensors: Mapping[str, Tensor], scale: float
) -> None:
    """scale: what latents are multiplied by before diffusion"""
    count = len(config.widths)
    save(folder, revert(tables.diffusers_autoencoder(), tensors), class_of("AutoencoderKL", {
        "act_fn": "silu", "block_out_channels": list(config.widths), "layers_per_block": config.depth,
        "in_channels": 3, "out_channels": 3, "latent_channels": config.channels,
        "norm_num_groups": config.groups, "down_block_types": ["DownEncoderBlock2D"] * count,
        "up_block_types": ["UpDecoderBlock2D"] * count, "mid_block_add_attention": config.attention,
        "sample_size": config.image_size, "scaling_factor": scale,
    }))  # fmt: skip
