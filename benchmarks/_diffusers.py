"""diffusers' networks with random weights, saved as that library saves them.

pip install --target PEERS diffusers transformers
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from armchair.core.unfilled import Unfilled
from armchair.text.clip_bpe import END, START

LENGTH = 77  # places of CLIP's text tower


def stirred(net: Any) -> Any:
    """Small random numbers where weights start at 0, so that outputs say something."""
    with torch.no_grad():
        for value in net.state_dict().values():
            if value.is_floating_point():
                value += 0.02 * torch.randn_like(value)
    return net.eval()


def tokenizer(folder: Path) -> tuple[Any, int]:
    """CLIP's kind of tokenizer without merges, and the ids that it has."""
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]  # bytes that print as themselves
    letters = [*map(chr, printed), *map(chr, range(256, 512 - len(printed)))]
    names = [*letters, *(letter + "</w>" for letter in letters), START, END]
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({name: i for i, name in enumerate(names)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    made = importlib.import_module("transformers").CLIPTokenizer.from_pretrained(
        folder, pad_token="!", model_max_length=LENGTH
    )
    return made, len(names)


def unclip(folder: Path, sizes: dict[str, Any]) -> Any:
    """An UnCLIPPipeline. sizes: of `clip` and `prior` (width, depth, heads), `decoder` and `upsampler`
    (widths, depth), `embed` and `context`.
    """
    diffusers, transformers = (importlib.import_module(name) for name in ("diffusers", "transformers"))
    module = importlib.import_module("diffusers.pipelines.deprecated.unclip")
    project = importlib.import_module("diffusers.pipelines.deprecated.unclip.text_proj")
    words, vocab = tokenizer(folder.with_name(f"{folder.name}-tokens"))
    embed = sizes["embed"]
    depth, heads = sizes["clip"]
    text = transformers.CLIPTextConfig(
        vocab_size=vocab, hidden_size=embed, intermediate_size=4 * embed, projection_dim=embed,
        num_hidden_layers=depth, num_attention_heads=heads, max_position_embeddings=LENGTH,
        bos_token_id=vocab - 2, eos_token_id=vocab - 1, pad_token_id=0,
    )  # fmt: skip

    def unet(name: str, make: type[nn.Module], plain: str, **more: Any) -> Any:
        widths, depth = sizes[name]
        kinds = ["Resnet"] + ([plain] * (len(widths) - 1))
        ends = {"Resnet": "sampleBlock2D", "SimpleCrossAttn": "Block2D"}
        return stirred(
            make(
                block_out_channels=tuple(widths), layers_per_block=depth,
                down_block_types=tuple(f"{kind}Down{ends[kind]}" for kind in kinds),
                up_block_types=tuple(f"{kind}Up{ends[kind]}" for kind in reversed(kinds)),
                resnet_time_scale_shift="scale_shift", norm_num_groups=32, **more,
            )
        )  # fmt: skip

    side, (widths, _) = sizes["side"], sizes["decoder"]
    decoder = unet(
        "decoder", diffusers.UNet2DConditionModel, "SimpleCrossAttn", sample_size=side, in_channels=3,
        out_channels=6, mid_block_type="UNetMidBlock2DSimpleCrossAttn", cross_attention_dim=sizes["context"],
        attention_head_dim=64, class_embed_type="identity",
    )  # fmt: skip
    plain: dict[str, Any] = {
        "sample_size": 4 * side, "in_channels": 6, "out_channels": 3, "add_attention": False,
        "downsample_type": "resnet", "upsample_type": "resnet",
    }  # fmt: skip
    width, layers, heads = sizes["prior"]
    prior = diffusers.PriorTransformer(
        num_attention_heads=heads, attention_head_dim=width // heads, num_layers=layers, embedding_dim=embed,
        num_embeddings=LENGTH,
    )  # fmt: skip

    def noise(**said: Any) -> Any:
        return diffusers.UnCLIPScheduler(num_train_timesteps=1000, **said)

    made = module.UnCLIPPipeline(
        prior=stirred(prior),
        decoder=decoder,
        text_encoder=stirred(transformers.CLIPTextModelWithProjection(text)),
        tokenizer=words,
        text_proj=stirred(
            project.UnCLIPTextProjModel(
                clip_embeddings_dim=embed,
                time_embed_dim=4 * widths[0],
                cross_attention_dim=sizes["context"],
            )
        ),
        super_res_first=unet("upsampler", diffusers.UNet2DModel, "Resnet", **plain),
        super_res_last=unet("upsampler", diffusers.UNet2DModel, "Resnet", **plain),
        prior_scheduler=noise(
            variance_type="fixed_small_log", prediction_type="sample", clip_sample_range=5.0
        ),
        decoder_scheduler=noise(variance_type="learned_range", prediction_type="epsilon"),
        super_res_scheduler=noise(variance_type="fixed_small_log", prediction_type="epsilon"),
    )
    made.set_progress_bar_config(disable=True)
    made.save_pretrained(folder)
    return made


def stable_diffusion(folder: Path, sizes: dict[str, Any]) -> Any:
    """A StableDiffusionPipeline with DDIM. sizes: of `clip` (width, depth, heads), of `unet` and `coder`
    (widths, depth), and `cells` of a latent's side.
    """
    diffusers, transformers = (importlib.import_module(name) for name in ("diffusers", "transformers"))
    words, vocab = tokenizer(folder.with_name(f"{folder.name}-tokens"))
    width, depth, heads = sizes["clip"]
    text = transformers.CLIPTextConfig(
        vocab_size=vocab, hidden_size=width, intermediate_size=4 * width, num_hidden_layers=depth,
        num_attention_heads=heads, max_position_embeddings=LENGTH, bos_token_id=vocab - 2,
        eos_token_id=vocab - 1, pad_token_id=0,
    )  # fmt: skip
    (widths, blocks), (coded, deep) = sizes["unet"], sizes["coder"]
    attends = [True] * (len(widths) - 1) + [False]
    unet = diffusers.UNet2DConditionModel(
        sample_size=sizes["cells"], in_channels=4, out_channels=4, block_out_channels=tuple(widths),
        layers_per_block=blocks, cross_attention_dim=width, attention_head_dim=8,
        down_block_types=tuple(f"{'CrossAttn' * here}DownBlock2D" for here in attends),
        up_block_types=tuple(f"{'CrossAttn' * here}UpBlock2D" for here in reversed(attends)),
    )  # fmt: skip
    coder = diffusers.AutoencoderKL(
        block_out_channels=tuple(coded), latent_channels=4, layers_per_block=deep,
        down_block_types=("DownEncoderBlock2D",) * len(coded), sample_size=sizes["cells"] * 8,
        up_block_types=("UpDecoderBlock2D",) * len(coded),
    )  # fmt: skip
    made = diffusers.StableDiffusionPipeline(
        vae=stirred(coder),
        text_encoder=stirred(transformers.CLIPTextModel(text)),
        tokenizer=words,
        unet=stirred(unet),
        scheduler=diffusers.DDIMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False,
            timestep_spacing="trailing", set_alpha_to_one=True,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    made.set_progress_bar_config(disable=True)
    made.save_pretrained(folder)
    return made


# a twentieth of Stable Diffusion 1 at 256 px, and version 1 itself
SMALL: dict[str, Any] = {
    "clip": (512, 4, 8),
    "unet": ((128, 256, 384), 2),
    "coder": ((32, 64, 128, 128), 2),
    "cells": 32,
}
ONE: dict[str, Any] = {
    "clip": (768, 12, 12),
    "unet": ((320, 640, 1280, 1280), 2),
    "coder": ((128, 256, 512, 512), 2),
    "cells": 64,
}


def stable_diffusion_unet() -> Any:
    """Stable Diffusion 1.5's U-Net. Its 860 million random numbers are drawn once."""
    down, up = ("CrossAttnDownBlock2D",) * 3, ("CrossAttnUpBlock2D",) * 3
    with Unfilled():
        net = importlib.import_module("diffusers").UNet2DConditionModel(
            sample_size=64, in_channels=4, out_channels=4, block_out_channels=(320, 640, 1280, 1280),
            down_block_types=(*down, "DownBlock2D"), up_block_types=("UpBlock2D", *up),
            cross_attention_dim=768, attention_head_dim=8,
        )  # fmt: skip
    with torch.no_grad():
        for name, value in net.named_parameters():
            if value.ndim > 1:
                value.uniform_(-1, 1).div_(value[0].numel() ** 0.5)
            elif name.endswith("bias"):
                value.zero_()
    return net.eval()
