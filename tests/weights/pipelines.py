"""diffusers' pipelines at tiny random sizes, saved as that library saves them; and their noise made ours."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from armchair.core.rng import SeedBatch, mix
from armchair.text.clip_bpe import ClipBPE
from tests.weights.made import VOCAB, merges_file

UNCLIP = "diffusers.pipelines.deprecated.unclip"


def library(name: str) -> Any:
    return importlib.import_module(name)


def stirred(net: Any, seed: int = 3, by: float = 0.02) -> Any:
    """Random numbers everywhere, those too that start at 0 or 1."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in net.state_dict().values():
            if value.is_floating_point():
                value += by * torch.randn(value.shape, generator=rng)
    return net.eval()


def tokenizer(folder: Path, length: int, pad: str = "!") -> Any:
    """transformers' tokenizer of CLIP, tiny."""
    folder.mkdir()
    files = ClipBPE.from_merges(merges_file(), VOCAB).files()
    for name, data in zip(("vocab.json", "merges.txt"), files, strict=True):
        (folder / name).write_bytes(data)
    return library("transformers").CLIPTokenizer.from_pretrained(
        folder, pad_token=pad, model_max_length=length
    )


def clip_towers(width: int, length: int, act: str = "quick_gelu", image_size: int = 32) -> tuple[Any, Any]:
    """Text and image tower with projections, as pipelines hold them."""
    transformers = library("transformers")
    shared = {
        "hidden_size": width, "intermediate_size": 4 * width, "num_attention_heads": 2,
        "num_hidden_layers": 2, "hidden_act": act, "projection_dim": width,
    }  # fmt: skip
    text = transformers.CLIPTextConfig(
        **shared, vocab_size=VOCAB, max_position_embeddings=length, eos_token_id=VOCAB - 1,
        bos_token_id=VOCAB - 2, pad_token_id=0,
    )  # fmt: skip
    vision = transformers.CLIPVisionConfig(**shared, image_size=image_size, patch_size=8)
    return (
        stirred(transformers.CLIPTextModelWithProjection(text)),
        stirred(transformers.CLIPVisionModelWithProjection(vision)),
    )


def unclip(
    folder: Path,
    *,
    variation: bool = False,
    width: int = 32,
    length: int = 9,
    widths: Sequence[int] = (16, 32),
    depth: int = 1,
    context: int = 24,
    sample: str = "epsilon",
    act: str = "quick_gelu",
    limit: float = 5.0,
) -> Any:
    """An UnCLIPPipeline, or the one for variations; sample: what decoder and upsampler predict."""
    diffusers, module = library("diffusers"), library(UNCLIP)
    text, vision = clip_towers(width, length, act)
    shared = {"norm_num_groups": 8, "layers_per_block": depth, "resnet_time_scale_shift": "scale_shift"}
    attending = len(widths) - 1
    decoder = diffusers.UNet2DConditionModel(
        sample_size=16, in_channels=3, out_channels=6, block_out_channels=tuple(widths), **shared,
        down_block_types=("ResnetDownsampleBlock2D", *["SimpleCrossAttnDownBlock2D"] * attending),
        up_block_types=(*["SimpleCrossAttnUpBlock2D"] * attending, "ResnetUpsampleBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn", cross_attention_dim=context, attention_head_dim=8,
        class_embed_type="identity",
    )  # fmt: skip

    def upsampler(seed: int) -> Any:
        down, up = ("ResnetDownsampleBlock2D",) * 2, ("ResnetUpsampleBlock2D",) * 2
        return stirred(
            diffusers.UNet2DModel(
                sample_size=64, in_channels=6, out_channels=3, block_out_channels=(8, 16), **shared,
                down_block_types=down, up_block_types=up, add_attention=False, downsample_type="resnet",
                upsample_type="resnet",
            ),
            seed,
        )  # fmt: skip

    def scheduler(**changes: Any) -> Any:
        return diffusers.UnCLIPScheduler(num_train_timesteps=1000, **changes)

    parts = {
        "decoder": stirred(decoder),
        "text_encoder": text,
        "tokenizer": tokenizer(folder.with_name(f"{folder.name}_tokens"), length),
        "text_proj": stirred(
            library(f"{UNCLIP}.text_proj").UnCLIPTextProjModel(
                clip_embeddings_dim=width, time_embed_dim=4 * widths[0], cross_attention_dim=context
            )
        ),
        "super_res_first": upsampler(4),
        "super_res_last": upsampler(5),
        "decoder_scheduler": scheduler(variance_type="learned_range", prediction_type=sample),
        "super_res_scheduler": scheduler(variance_type="fixed_small_log", prediction_type=sample),
    }
    if variation:
        processor = library("transformers").CLIPImageProcessor(
            size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
        )
        made = module.UnCLIPImageVariationPipeline(**parts, feature_extractor=processor, image_encoder=vision)
    else:
        prior = diffusers.PriorTransformer(
            num_attention_heads=2, attention_head_dim=8, num_layers=2, embedding_dim=width,
            num_embeddings=length,
        )  # fmt: skip
        made = module.UnCLIPPipeline(
            **parts,
            prior=stirred(prior),
            prior_scheduler=scheduler(
                variance_type="fixed_small_log", prediction_type="sample", clip_sample_range=limit
            ),
        )
    made.set_progress_bar_config(disable=True)
    made.save_pretrained(folder)
    return made


def unclip_noise(monkeypatch: pytest.MonkeyPatch, seeds: Sequence[int], side: int) -> None:
    """Let the reference draw its noise from the generators of our pipeline: the prior's, the decoder's, and
    one after another those of the pictures that are enlarged.
    """
    prior, small = SeedBatch([mix(seed, "prior") for seed in seeds]), SeedBatch(seeds)
    large = SeedBatch([mix(seed, "upsample_256") for seed in seeds])

    def randn(shape: Sequence[int], **_: Any) -> Tensor:
        if len(shape) == 2:
            return prior.normal(1, shape[1])[:, 0]
        return (small if shape[-1] == side else large).normal(*shape[1:])

    places = ("pipeline_unclip", "pipeline_unclip_image_variation")
    for name in [f"{UNCLIP}.{place}" for place in places] + ["diffusers.schedulers.scheduling_unclip"]:
        patch: Callable[..., Any] = randn
        monkeypatch.setattr(library(name), "randn_tensor", patch)


def precise(pipeline: Any) -> Any:
    """The same pipeline with its schedulers' tables in float64: in float32 the noisiest levels lose a tenth
    of 1 - beta.
    """

    def left(u: float) -> float:
        return math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2

    for name in ("prior_scheduler", "decoder_scheduler", "super_res_scheduler"):
        scheduler = getattr(pipeline, name, None)
        if scheduler is not None:
            count = len(scheduler.betas)
            betas = [min(1 - left((i + 1) / count) / left(i / count), 0.999) for i in range(count)]
            scheduler.betas = torch.tensor(betas, dtype=torch.float64)
            scheduler.alphas = 1 - scheduler.betas
            scheduler.alphas_cumprod = scheduler.alphas.cumprod(0)
            scheduler.one = torch.ones((), dtype=torch.float64)
    return pipeline


def stable_diffusion(
    folder: Path,
    *,
    widths: Sequence[int] = (16, 32),
    depth: int = 1,
    heads: int | tuple[int, ...] = 2,
    linear: bool = False,
    predicts: str = "epsilon",
    act: str = "quick_gelu",
    pad: str = "<|endoftext|>",
    width: int = 32,
    length: int = 9,
    attends: Sequence[bool] = (True, False),
    vae: Sequence[int] = (8, 16),
    spacing: str = "trailing",
    clean: bool = True,
    published: str = "DDIMScheduler",
) -> Any:
    """A StableDiffusionPipeline with DDIM. spacing: of its levels; clean: it ends at the clean latent;
    published: the scheduler that the saved folder names, whose config is read for DDIM's.
    """
    diffusers, transformers = library("diffusers"), library("transformers")
    text = transformers.CLIPTextConfig(
        hidden_size=width, intermediate_size=4 * width, num_attention_heads=2, num_hidden_layers=2,
        hidden_act=act, vocab_size=VOCAB, max_position_embeddings=length, eos_token_id=VOCAB - 1,
        bos_token_id=VOCAB - 2, pad_token_id=VOCAB - 1,
    )  # fmt: skip
    kinds = ["CrossAttn" if attending else "" for attending in attends]
    unet = diffusers.UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, block_out_channels=tuple(widths), norm_num_groups=8,
        layers_per_block=depth, down_block_types=tuple(f"{kind}DownBlock2D" for kind in kinds),
        up_block_types=tuple(f"{kind}UpBlock2D" for kind in reversed(kinds)), cross_attention_dim=width,
        attention_head_dim=heads, use_linear_projection=linear,
    )  # fmt: skip
    made = diffusers.StableDiffusionPipeline(
        vae=autoencoder(vae),
        text_encoder=stirred(transformers.CLIPTextModel(text)),
        tokenizer=tokenizer(folder.with_name(f"{folder.name}_tokens"), length, pad),
        unet=stirred(unet),
        scheduler=diffusers.DDIMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False,
            prediction_type=predicts, timestep_spacing=spacing, set_alpha_to_one=clean, steps_offset=1,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    made.set_progress_bar_config(disable=True)
    made.save_pretrained(folder)
    if published != "DDIMScheduler":
        getattr(diffusers, published).from_config(made.scheduler.config).save_pretrained(folder / "scheduler")
    return made


def autoencoder(widths: Sequence[int], depth: int = 1, attention: bool = True) -> Any:
    return stirred(
        library("diffusers").AutoencoderKL(
            block_out_channels=tuple(widths), latent_channels=4, layers_per_block=depth, norm_num_groups=8,
            down_block_types=("DownEncoderBlock2D",) * len(widths), sample_size=32,
            up_block_types=("UpDecoderBlock2D",) * len(widths), mid_block_add_attention=attention,
        )
    )  # fmt: skip
