"""unCLIP and latent diffusion as diffusers' folders: UnCLIPPipeline and StableDiffusionPipeline."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from armchair.clip.config import ClipConfig, ClipTextConfig, TextConfig, ViTConfig
from armchair.core.bundle import Bundle
from armchair.core.config import from_json
from armchair.core.errors import Unsupported
from armchair.core.parts import variant_of
from armchair.dalle2.config import ClipDecoderConfig, DecoderConfig, PriorConfig
from armchair.dalle2.parts import CLASSES
from armchair.dalle3.config import LatentConfig, T5Config
from armchair.nn.autoencoder import AutoencoderConfig
from armchair.nn.unet import UNetConfig
from armchair.text.clip_bpe import END, ClipBPE
from armchair.text.tokenizer import load_any
from armchair.upsample.config import UpsamplerConfig
from armchair.weights.exporting.files import save_json, save_tensors
from armchair.weights.exporting.hf_clip import pixels, tokenizer_files, tower
from armchair.weights.tables import clip as clip_tables
from armchair.weights.tables import latent as latent_tables
from armchair.weights.tables import unet as unet_tables
from armchair.weights.tables.keys import Table, revert

VERSION = "0.30.0"  # of diffusers, whose folders these are
ABSENT: dict[str, Any] = {
    "safety_checker": [None, None],
    "feature_extractor": [None, None],
    "requires_safety_checker": False,
}
BACK = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}


def export(bundle: Bundle, folder: Path, dtype: torch.dtype) -> None:
    """Raises Unsupported naming what diffusers has no place for."""
    (unclip if bundle.kind == "dalle2" else latent)(bundle, folder, dtype)


def unclip(bundle: Bundle, folder: Path, dtype: torch.dtype) -> None:
    """A dalle2 bundle of Karlo's form. CLIP's image tower, where there is one, lies beside it."""
    for part in ("ar_prior", "upsample_1024"):
        if part in bundle.components:
            refuse(bundle, f"component {part}")
    configs = {
        name: variant_of(bundle, name, CLASSES[name])[0] for name in CLASSES if name in bundle.components
    }
    decoder, clip = configs["decoder"], configs["clip"]
    if isinstance(decoder, DecoderConfig):
        refuse(bundle, "a decoder with a caption transformer of its own and channels for inpainting")
    for name in ("prior", "upsample_256"):
        if name not in configs:
            refuse(bundle, f"a system without {name}")
    prior: PriorConfig = configs["prior"]
    upsampler: UpsamplerConfig = configs["upsample_256"]
    plain(
        bundle, prior, {"words": "clip", "hidden": "empty", "qk_norm": False, "schedule": "cosine"}, "prior"
    )
    own = {"last": True, "sampler": "ddpm", "kernel": "smooth", "rounded": False, "residual": 0.0}
    plain(bundle, upsampler, {**own, "schedule": "cosine"}, "upsampler")
    tensors = {name: bundle.tensors(name, dtype) for name in configs}
    read: ClipConfig | ClipTextConfig = clip
    write_unets(folder, revert(unet_tables.DIFFUSERS_DECODER, tensors["decoder"]), {
        "decoder": decoder_json(bundle, decoder),
        "text_proj": class_of("UnCLIPTextProjModel", {
            "clip_embeddings_dim": read.embed,
            "clip_extra_context_tokens": decoder.image_tokens,
            "cross_attention_dim": decoder.context_width,
            "time_embed_dim": decoder.unet.emb_width,
        }),
    })  # fmt: skip
    twin = unet_json(bundle, upsampler.unet, upsampler.size) | {
        "_class_name": "UNet2DModel", "add_attention": False, "downsample_type": "resnet",
        "upsample_type": "resnet",
    }  # fmt: skip
    write_unets(folder, revert(unet_tables.DIFFUSERS_UPSAMPLER, tensors["upsample_256"]),
                {"super_res_first": twin, "super_res_last": twin})  # fmt: skip
    write_prior(folder, prior, tensors["prior"])
    write_clip(folder, read, revert(clip_tables.HUGGING_FACE, tensors["clip"]), dtype)
    write_tokenizer(bundle, folder, read.text, END)
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
        "text_encoder": "CLIPTextModelWithProjection", "tokenizer": "CLIPTokenizer",
        "decoder_scheduler": "UnCLIPScheduler", "prior_scheduler": "UnCLIPScheduler",
        "super_res_scheduler": "UnCLIPScheduler",
    })  # fmt: skip


def latent(bundle: Bundle, folder: Path, dtype: torch.dtype) -> None:
    """A dalle3 bundle of Stable Diffusion's form: a CLIP text tower, and a timestep that is added."""
    config = from_json(LatentConfig, bundle.config("latent"), "latent")
    words = config.words
    if isinstance(words, T5Config):
        refuse(bundle, "a text encoder of T5")
    plain(bundle, config, {
        "inpaints": False, "modulation": "add", "resample": "conv", "patch": 1, "qk_norm": False,
        "pooled": False, "schedule": "scaled_linear", "middle_attention": "cross",
    }, "U-Net")  # fmt: skip
    coder = from_json(AutoencoderConfig, bundle.config("autoencoder"), "autoencoder")
    plain(bundle, coder, {"patch": 1}, "autoencoder")
    tensors = {name: bundle.tensors(name, dtype) for name in ("latent", "autoencoder", "text_encoder")}
    mean, std = (tensors["latent"].pop(f"scale.{x}").float() for x in ("mean", "std"))
    if mean.abs().max() > 0 or (std - std[0]).abs().max() > 1e-6 * std[0]:
        refuse(bundle, "latents that are scaled channel by channel")
    unet = {name: value for name, value in tensors["latent"].items()}
    table: Table = latent_tables.under(latent_tables.diffusers_unet(linear=False), "", "unet.")
    heads = config.heads if config.heads > 0 else [w.width // config.head_width for w in config.levels]
    base = unet_json(bundle, config.unet, config.side // config.stride)
    own = {
        "_class_name": "UNet2DConditionModel",
        "cross_attention_dim": words.width,
        "attention_head_dim": heads,
        "resnet_time_scale_shift": "default",
        "mid_block_type": "UNetMidBlock2DCrossAttn",
        "use_linear_projection": False,
    }
    save(folder / "unet", revert(table, unet), {**base, **own})
    count = len(coder.widths)
    save(folder / "vae", revert(latent_tables.diffusers_autoencoder(), tensors["autoencoder"]), {
        "_class_name": "AutoencoderKL", "_diffusers_version": VERSION, "act_fn": "silu",
        "block_out_channels": list(coder.widths), "layers_per_block": coder.depth, "in_channels": 3,
        "out_channels": 3, "latent_channels": coder.channels, "norm_num_groups": coder.groups,
        "down_block_types": ["DownEncoderBlock2D"] * count, "up_block_types": ["UpDecoderBlock2D"] * count,
        "mid_block_add_attention": coder.attention, "sample_size": coder.image_size,
        "scaling_factor": 1 / float(std[0]),
    })  # fmt: skip
    start = "text_model."
    states = {start + k: v for k, v in revert(latent_tables.CLIP_WORDS, tensors["text_encoder"]).items()}
    save(folder / "text_encoder", states, {
        "architectures": ["CLIPTextModel"], **text_json(words.text, words.quick_gelu, words.width, dtype),
    }, "model")  # fmt: skip
    bpe = load_any(bundle.bytes("text"))
    pad = END if words.pad is None or not isinstance(bpe, ClipBPE) else bpe.piece(words.pad)
    write_tokenizer(bundle, folder, words.text, pad)
    write_schedulers(folder, "DDIMScheduler", {"scheduler": {
        "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "clip_sample": False,
        "num_train_timesteps": config.steps, "prediction_type": BACK[config.prediction],
        "timestep_spacing": "trailing", "set_alpha_to_one": True,
    }})  # fmt: skip
    write_index(folder, "StableDiffusionPipeline", {
        "unet": "UNet2DConditionModel", "vae": "AutoencoderKL", "text_encoder": "CLIPTextModel",
        "tokenizer": "CLIPTokenizer", "scheduler": "DDIMScheduler",
    }, **ABSENT)  # fmt: skip


def refuse(bundle: Bundle, what: str) -> NoReturn:
    raise Unsupported(
        f"{bundle.name} has {what}, for which diffusers' pipelines have no place: --format safetensors holds "
        "it"
    )


def plain(bundle: Bundle, config: Any, stated: Mapping[str, Any], part: str) -> None:
    """Refuse a config with another value than the one that diffusers computes."""
    for name, value in stated.items():
        if getattr(config, name) != value:
            refuse(bundle, f"{part}.{name}={getattr(config, name)!r}")


def class_of(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {"_class_name": name, "_diffusers_version": VERSION, **values}


def unet_json(bundle: Bundle, unet: UNetConfig, side: int) -> dict[str, Any]:
    """What UNet2DModel and UNet2DConditionModel share."""
    if unet.time_width != unet.levels[0].width or len({spec.depth for spec in unet.levels}) > 1:
        refuse(bundle, "a U-Net whose levels differ in depth, or whose timestep is not as wide as its first")
    plain(bundle, unet, {"patch": 1, "times": 0}, "U-Net")
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


def decoder_json(bundle: Bundle, config: ClipDecoderConfig) -> dict[str, Any]:
    return unet_json(bundle, config.unet, config.image_size) | {
        "_class_name": "UNet2DConditionModel",
        "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
        "cross_attention_dim": config.context_width,
        "attention_head_dim": config.head_width,
        "class_embed_type": "identity",
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


def write_tokenizer(bundle: Bundle, folder: Path, text: TextConfig, pad: str) -> None:
    bpe = load_any(bundle.bytes("text"))
    assert not hasattr(bpe, "pad"), "a CLIP text tower has no tokenizer of T5's"
    (folder / "tokenizer").mkdir()
    for name, data in tokenizer_files(bpe, text, pad).items():  # type: ignore[arg-type]
        (folder / "tokenizer" / name).write_bytes(data)


def write_schedulers(folder: Path, kind: str, schedulers: Mapping[str, Mapping[str, Any]]) -> None:
    for name, config in schedulers.items():
        (folder / name).mkdir()
        save_json(folder / name / "scheduler_config.json", class_of(kind, config))


def write_index(folder: Path, kind: str, classes: Mapping[str, str], **more: Any) -> None:
    """model_index.json"""
    homes = {name: "transformers" if cls.startswith("CLIP") else "diffusers" for name, cls in classes.items()}
    parts = {name: [homes[name], cls] for name, cls in classes.items()}
    save_json(folder / "model_index.json", class_of(kind, {**parts, **more}))


def save(
    folder: Path,
    tensors: Mapping[str, Tensor],
    config: Mapping[str, Any],
    stem: str = "diffusion_pytorch_model",
) -> None:
    folder.mkdir()
    save_json(folder / "config.json", config)
    save_tensors(folder / f"{stem}.safetensors", tensors)
