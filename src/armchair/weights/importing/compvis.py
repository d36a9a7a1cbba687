"""Stable Diffusion 1 and 2 in one file, the layout of CompVis' checkpoints (arXiv:2112.10752)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from armchair.clip.config import TextConfig
from armchair.core.errors import BadInput, Unsupported
from armchair.core.tensorfile import Lazy
from armchair.dalle3.config import ClipWordsConfig, LatentConfig
from armchair.diffusion.prediction import Kind
from armchair.nn.autoencoder import AutoencoderConfig
from armchair.nn.unet import LevelSpec
from armchair.weights.importing.clip import tokenizer, unwrap
from armchair.weights.importing.latent import SCALE, bare, made
from armchair.weights.importing.plan import Format, Options, Plan
from armchair.weights.importing.source import TORCH, Source
from armchair.weights.tables import latent as tables
from armchair.weights.tables.keys import Unfit

UNET, CODER, FIRST, SECOND = (
    "model.diffusion_model.",
    "first_stage_model.",
    "cond_stage_model.transformer.",
    "cond_stage_model.model.",
)
UNREAD = {  # start of a key -> why it is left behind
    "model_ema.": "an average of the weights, beside the weights themselves",
    "cond_stage_model.": "of the text tower the states before its last block are read",
    "": "numbers of the noise schedule and of training, which the config has",
}
KINDS: dict[str, Kind] = {"eps": "eps", "v": "v"}
HEADS, HEAD_WIDTH = 8, 64  # of version 1 at every level, of version 2's every head


def inside(tensors: Mapping[str, Lazy], start: str) -> dict[str, Lazy]:
    return {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}


def shape(tensors: Mapping[str, Lazy], name: str) -> tuple[int, ...]:
    """Raises Unfit where a tensor is missing."""
    if name not in tensors:
        raise Unfit(f"this is no Stable Diffusion: there is no {name}")
    return tensors[name].shape


def counted(tensors: Mapping[str, Lazy], pattern: str) -> list[int]:
    return sorted({int(match[1]) for key in tensors if (match := re.fullmatch(pattern, key)) is not None})


def latent_config(
    unet: Mapping[str, Lazy], words: ClipWordsConfig, stride: int, prediction: Kind, side: int
) -> LatentConfig:
    """The sizes that a U-Net's shapes tell."""
    ups = counted(unet, r"output_blocks\.(\d+)\.0\.in_layers\.0\.weight")
    count = 1 + len(counted(unet, r"output_blocks\.(\d+)\.[12]\.conv\.weight"))
    if not ups or len(ups) % count:
        raise Unfit(f"this is no Stable Diffusion: {len(ups)} blocks up for {count} levels")
    depth = len(ups) // count - 1
    firsts = [1 + level * (depth + 1) for level in range(count)]
    attending = counted(unet, r"input_blocks\.(\d+)\.1\.norm\.weight")
    levels = tuple(
        LevelSpec(
            width=shape(unet, f"input_blocks.{first}.0.in_layers.2.weight")[0],
            depth=depth,
            attention="cross" if first in attending else None,
        )
        for first in firsts
    )
    channels = shape(unet, "input_blocks.0.0.weight")[1]
    if shape(unet, "out.2.weight")[0] != channels:
        raise Unsupported(f"its U-Net has {channels} channels in, as one for inpainting has")
    second = words.pad is not None
    return LatentConfig(
        side=side,
        stride=stride,
        channels=channels,
        ratios=("1:1",),
        words=words,
        levels=levels,
        middle_attention="cross",
        time_width=shape(unet, "time_embed.0.weight")[1],
        modulation="add",
        resample="conv",
        inpaints=False,
        prediction=prediction,
        schedule="scaled_linear",
        spacing="leading",
        residue=True,
        heads=0 if second else HEADS,
        head_width=HEAD_WIDTH,
    )


def words_config(tensors: Mapping[str, Lazy]) -> tuple[ClipWordsConfig, dict[str, Lazy], tables.Table]:
    """The text tower, its tensors and their table: Hugging Face's in version 1; open_clip's in version 2,
    without its last block.
    """
    first, second = bare(inside(tensors, FIRST)), inside(tensors, SECOND)
    if first:
        vocab, width = shape(first, "embeddings.token_embedding.weight")
        text = TextConfig(
            vocab=vocab,
            length=shape(first, "embeddings.position_embedding.weight")[0],
            width=width,
            depth=len(counted(first, r"encoder\.layers\.(\d+)\.layer_norm1\.weight")),
        )
        return ClipWordsConfig(text=text), first, tables.CLIP_WORDS
    vocab, width = shape(second, "token_embedding.weight")
    blocks = counted(second, r"transformer\.resblocks\.(\d+)\.ln_1\.weight")
    last = f"transformer.resblocks.{blocks[-1]}."
    text = TextConfig(
        vocab=vocab,
        length=shape(second, "positional_embedding")[0],
        width=width,
        depth=len(blocks) - 1,
    )
    read = {key: value for key, value in second.items() if not key.startswith(last)}
    return ClipWordsConfig(text=text, quick_gelu=False, pad=0), read, tables.OPEN_CLIP_WORDS


def autoencoder_config(coder: Mapping[str, Lazy]) -> AutoencoderConfig:
    levels = counted(coder, r"encoder\.down\.(\d+)\.block\.0\.norm1\.weight")
    return AutoencoderConfig(
        widths=tuple(shape(coder, f"encoder.down.{i}.block.0.conv1.weight")[0] for i in levels),
        depth=len(counted(coder, r"encoder\.down\.0\.block\.(\d+)\.norm1\.weight")),
        channels=shape(coder, "post_quant_conv.weight")[0],
        attention="encoder.mid.attn_1.norm.weight" in coder,
    )


def plan(source: Source, options: Options) -> Plan:
    """Raises ArmchairError for what does not fit, BadInput where version 2 does not say what it predicts."""
    tensors, dropped = unwrap(source.tensors(single(source)))
    words, read, table = words_config(tensors)
    second = words.pad is not None
    if second and options.prediction is None:
        raise BadInput(
            "a single file of Stable Diffusion 2 does not say what it predicts: --prediction eps for the "
            "models of 512 px, v for those of 768"
        )
    prediction = KINDS.get("eps" if options.prediction is None else options.prediction)
    if prediction is None:
        raise BadInput(f"--prediction {options.prediction} is neither eps nor v")
    unet, coder = inside(tensors, UNET), inside(tensors, CODER)
    autoencoder = autoencoder_config(coder)
    latent = latent_config(unet, words, autoencoder.stride, prediction, 768 if prediction == "v" else 512)
    linear = len(shape(unet, "middle_block.1.proj_in.weight")) == 2
    bpe = tokenizer(source, options, words.text.vocab)
    found = made(
        {
            "autoencoder": (autoencoder, tables.compvis_autoencoder(autoencoder), coder),
            "text_encoder": (words, table, read),
            "latent": (latent, tables.denoiser(tables.compvis_unet(latent.unet, linear), SCALE), unet),
        },
        bpe,
    )
    taken = {id(value) for part in (unet, coder, read) for value in part.values()}
    left = {key: reason(key) for key, value in tensors.items() if id(value) not in taken}
    return replace(found, dropped={**found.dropped, **dropped, **left})


def reason(key: str) -> str:
    """Why a key outside the three networks is left behind."""
    return next(why for start, why in UNREAD.items() if key.startswith(start))


def single(source: Source) -> str:
    names = [name for name, path in source.files.items() if path.suffix in {".safetensors", *TORCH}]
    return names[0] if len(names) == 1 else ""


def matches(source: Source) -> bool:
    """One file of weights, in which there is such a U-Net."""
    name = single(source)
    return bool(name) and not source.has("config.json") and any(UNET in key for key in source.tensors(name))


FORMAT = Format(
    name="Stable Diffusion in one file",
    looks_for=f"one file of weights with keys {UNET}...",
    matches=matches,
    plan=plan,
    takes=frozenset({"merges", "prediction"}),
)
