"""unCLIP as diffusers' folder: UnCLIPPipeline; and which of our bundles is which of its pipelines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from armchair.clip.config import ClipConfig, ClipTextConfig, ViTConfig
from armchair.core.bundle import Bundle
from armchair.core.parts import variant_of
from armchair.dalle2.config import ClipDecoderConfig, DecoderConfig, PriorConfig
from armchair.dalle2.parts import CLASSES
from armchair.diffusion.prediction import Kind
from armchair.text.clip_bpe import END
from armchair.upsample.config import UpsamplerConfig
from armchair.weights.exporting import latent
from armchair.weights.exporting.files import save_json
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
from armchair.weights.exporting.hf_clip import pixels, tower
from armchair.weights.tables import clip as clip_tables
from armchair.weights.tables import unet as unet_tables
from armchair.weights.tables.keys import revert

RECIPE = "dalle2_decoder_karlo_tiny"  # trains, with those that its card names, what such a folder holds
PARTS = ("clip", "prior", "decoder", "upsample_256")  # a second prior and a second upsampler stay behind
STEPS = ("eps", "x0")  # what an UnCLIPScheduler knows of predictions


def export(bundle: Bundle, folder: Path, dtype: torch.dtype) -> None:
    """Raises Unsupported naming what diffusers has no place for."""
    writers = {"dalle2": unclip, "dalle3": latent.pipeline, "autoencoder": latent.autoencoder}
    writers[bundle.kind](bundle, folder, dtype)


def unclip(bundle: Bundle, folder: Path, dtype: torch.dtype) -> None:
    """A dalle2 bundle of Karlo's form. CLIP's image tower, where there is one, lies beside it. Raises
    Unsupported.
    """
    configs = {
        name: variant_of(bundle, name, CLASSES[name])[0] for name in PARTS if name in bundle.components
    }
    found = obstacles(configs)
    if "prior" in configs and (bundle.tensors("prior")["gamma"] != 1).any():
        found.append(Obstacle("the prior's measured noise", "its prior's task.measured=false"))
    refuse(bundle, found, RECIPE)
    decoder, clip = configs["decoder"], configs["clip"]
    prior: PriorConfig = configs["prior"]
    upsampler: UpsamplerConfig = configs["upsample_256"]
    tensors = {name: bundle.tensors(name, dtype) for name in configs}
    read: ClipConfig | ClipTextConfig = clip
    write_unets(folder, revert(unet_tables.DIFFUSERS_DECODER, tensors["decoder"]), {
        "decoder": decoder_json(decoder),
        "text_proj": class_of("UnCLIPTextProjModel", {
            "clip_embeddings_dim": read.embed,
            "clip_extra_context_tokens": decoder.image_tokens,
            "cross_attention_dim": decoder.context_width,
            "time_embed_dim": decoder.unet.emb_width,
        }),
    })  # fmt: skip
    enlarge = tensors["upsample_256"]
    if not upsampler.last:  # one network for all steps: both of theirs
        enlarge |= {f"last.{key.removeprefix('unet.')}": value for key, value in enlarge.items()}
    twin = unet_json(upsampler.unet, upsampler.factor * decoder.image_size) | {
        "_class_name": "UNet2DModel", "add_attention": False, "downsample_type": "resnet",
        "upsample_type": "resnet",
    }  # fmt: skip
    write_unets(folder, revert(unet_tables.DIFFUSERS_UPSAMPLER, enlarge),
                {"super_res_first": twin, "super_res_last": twin})  # fmt: skip
    write_prior(folder, prior, tensors["prior"])
    write_clip(folder, read, revert(clip_tables.HUGGING_FACE, tensors["clip"]), dtype)
    tokenizer = write_tokenizer(bundle, folder, read.text, END)
    steps = {"beta_schedule": "squaredcos_cap_v2", "clip_sample": True, "clip_sample_range": 1.0}
    fixed = {**steps, "variance_type": "fixed_small_log", "num_train_timesteps": prior.steps}
    bounded = {
        "clip_sample": prior.limit is not None,
        "clip_sample_range": 1.0 if prior.limit is None else prior.limit,
    }
    write_schedulers(folder, "UnCLIPScheduler", {
        "prior_scheduler": {**fixed, **bounded, "prediction_type": "sample"},
        "decoder_scheduler": {
            **steps, "num_train_timesteps": decoder.steps, "prediction_type": BACK[decoder.prediction],
            "variance_type": "learned_range" if decoder.learned_variance else "fixed_small_log",
        },
        "super_res_scheduler": {
            **fixed, "num_train_timesteps": upsampler.times, "prediction_type": BACK[upsampler.predicts],
        },
    })  # fmt: skip
    write_index(folder, "UnCLIPPipeline", {
        "decoder": "UNet2DConditionModel", "prior": "PriorTransformer", "super_res_first": "UNet2DModel",
        "super_res_last": "UNet2DModel", "text_proj": "UnCLIPTextProjModel",
        "text_encoder": "CLIPTextModelWithProjection", "tokenizer": tokenizer,
        "decoder_scheduler": "UnCLIPScheduler", "prior_scheduler": "UnCLIPScheduler",
        "super_res_scheduler": "UnCLIPScheduler",
    })  # fmt: skip


def obstacles(configs: Mapping[str, Any]) -> list[Obstacle]:
    """What an UnCLIPPipeline cannot compute of a system's networks."""
    found = [Obstacle(f"no component {name}") for name in ("prior", "upsample_256") if name not in configs]
    clip, decoder = configs["clip"], configs["decoder"]
    if isinstance(decoder, DecoderConfig):
        what = "a decoder that reads captions in its own way and has channels for inpainting"
        found.append(Obstacle(what, "a ClipDecoderConfig as its task.net"))
    else:
        found += decoder_obstacles(decoder, "its task.net")
    if "prior" in configs:
        known = {"words": "clip", "hidden": "empty", "candidates": 1, "qk_norm": False, "schedule": "cosine",
                 "length": clip.text.length}  # fmt: skip
        found += unlike(configs["prior"], known, "prior", "its prior's task.net")
    if "upsample_256" in configs:
        found += upsampler_obstacles(configs["upsample_256"], "its upsampler's task.net")
    if clip.text.width != clip.embed:
        instead = f"its CLIP's task.net.text.width={clip.embed}"
        found.append(Obstacle(f"clip.text.width={clip.text.width} beside embed={clip.embed}", instead))
    return found


def decoder_obstacles(config: ClipDecoderConfig, path: str) -> list[Obstacle]:
    """path: of the config in its recipe"""
    known = {"image_tokens": unet_tables.IMAGE_TOKENS, "learned_variance": True}
    found = unlike(config, known, "decoder", path) + step_obstacles(
        config.prediction, "decoder.prediction", path
    )
    kinds = [spec.attention for spec in config.levels]
    if "cross" in kinds or kinds[-1] is None:
        what = f"attention {', '.join(map(str, kinds))} in decoder.levels"
        found.append(
            Obstacle(what, f"keys at the coarsest level of {path}.levels, none or keys at the others")
        )
    return found + unet_obstacles(config.unet, path)


def upsampler_obstacles(config: UpsamplerConfig, path: str) -> list[Obstacle]:
    own = {"sampler": "ddpm", "kernel": "smooth", "rounded": False, "residual": 0.0, "schedule": "cosine"}
    found = unlike(config, own, "upsampler", path) + step_obstacles(
        config.predicts, "upsampler.predicts", path
    )
    plain = {"modulation": "film", "resample": "block", "middle_attention": None}
    found += unlike(config.unet, plain, "upsampler.unet", f"{path}.unet")
    if any(spec.attention for spec in config.unet.levels):
        found.append(Obstacle("attention in upsampler.unet.levels", f"none in {path}.unet.levels"))
    return found + unet_obstacles(config.unet, f"{path}.unet")


def step_obstacles(kind: Kind, name: str, path: str) -> list[Obstacle]:
    """Of a prediction. name: the part and the field"""
    field = name.split(".")[1]
    return [] if kind in STEPS else [Obstacle(f"{name}={kind!r}", f"{path}.{field}=eps")]


def decoder_json(config: ClipDecoderConfig) -> dict[str, Any]:
    return unet_json(config.unet, config.image_size) | {
        "_class_name": "UNet2DConditionModel",
        "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
        "cross_attention_dim": config.context_width,
        "attention_head_dim": config.head_width,
        "class_embed_type": "identity",
    }


def write_unets(folder: Path, tensors: Mapping[str, Tensor], parts: Mapping[str, Mapping[str, Any]]) -> None:
    """Networks that are one of ours, by what stands before the names of each."""
    for name, config in parts.items():
        start = f"{name}."
        own = {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}
        save(folder / name, own, config)


def write_prior(folder: Path, config: PriorConfig, tensors: Mapping[str, Tensor]) -> None:
    save(folder / "prior", revert(unet_tables.DIFFUSERS_PRIOR, tensors), class_of("PriorTransformer", {
        "num_attention_heads": config.heads, "attention_head_dim": config.width // config.heads,
        "num_layers": config.depth, "embedding_dim": config.embed, "num_embeddings": config.length,
        "additional_embeddings": 4,
    }))  # fmt: skip


def write_clip(
    folder: Path, config: ClipConfig | ClipTextConfig, tensors: Mapping[str, Tensor], dtype: torch.dtype
) -> None:
    """The text tower, and the image tower where there is one."""
    text = {key: value for key, value in tensors.items() if key.startswith("text_")}
    save(folder / "text_encoder", text, {
        "architectures": ["CLIPTextModelWithProjection"],
        **text_json(config.text, config.quick_gelu, config.embed, dtype),
    }, "model")  # fmt: skip
    if isinstance(config, ClipConfig) and isinstance(config.image, ViTConfig):
        image = config.image
        seen = {key: value for key, value in tensors.items() if key.startswith(("vision_model.", "visual_"))}
        save(folder / "image_encoder", seen, {
            "architectures": ["CLIPVisionModelWithProjection"], "model_type": "clip_vision_model",
            **tower(image.width, image.depth, image.heads, config.embed, config.quick_gelu),
            "image_size": config.image_size, "patch_size": image.patch,
        }, "model")  # fmt: skip
        (folder / "feature_extractor").mkdir()
        save_json(folder / "feature_extractor" / "preprocessor_config.json", pixels(config.image_size))
