"""Karlo's own checkpoints as a dalle2 bundle: prior, decoder, improved super-resolution, CLIP and its
statistics, five files in one folder (arXiv:2204.06125).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase

from armchair.clip.config import HEAD_WIDTH
from armchair.core.bundle import Component
from armchair.core.errors import BadInput
from armchair.core.tensorfile import Lazy
from armchair.dalle2.config import ClipDecoderConfig, PriorConfig
from armchair.nn.unet import LevelSpec, UNetConfig
from armchair.weights.importing.clip import openai_config, openai_table, tokenizer, unwrap
from armchair.weights.importing.plan import Format, Options, Plan
from armchair.weights.importing.source import Source
from armchair.weights.importing.unclip import made, upsampling
from armchair.weights.kinds import network_on_meta
from armchair.weights.tables import unet as unet_tables
from armchair.weights.tables.keys import Unfit, fit

FILES = {  # part -> what its file is called
    "prior": "prior-ckpt*.ckpt",
    "decoder": "decoder-ckpt*.ckpt",
    "super-resolution": "improved-sr-ckpt*.ckpt",
    "CLIP": "ViT-L-14.pt",
    "statistics": "ViT-L-14_stats.th",
}
LICENCE = "CreativeML Open RAIL-M (Kakao Brain, https://github.com/kakaobrain/karlo)"
SIDE = 64  # pixels that its decoder draws, which no shape tells
LIMIT = 10.0  # what its prior keeps scaled embeddings within


def files_of(source: Source) -> dict[str, str]:
    """Part -> file."""
    found = {
        part: next((name for name in source.files if fnmatchcase(name, pattern)), None)
        for part, pattern in FILES.items()
    }
    return {part: name for part, name in found.items() if name is not None}


def adm_config(tensors: Mapping[str, Lazy], start: str, where: str) -> UNetConfig:
    """The sizes of a U-Net in GLIDE's layout; heads are 64 wide. Raises Unfit."""

    def shape(name: str) -> tuple[int, ...]:
        if start + name not in tensors:
            raise Unfit(f"{where} is no U-Net of Karlo's form: there is no {start}{name}")
        return tensors[start + name].shape

    def counted(pattern: str) -> list[int]:
        matches = (re.fullmatch(re.escape(start) + pattern, name) for name in tensors)
        return sorted({int(match[1]) for match in matches if match is not None})

    blocks = counted(r"output_blocks\.(\d+)\.0\.in_layers\.0\.weight")
    ups = counted(r"output_blocks\.(\d+)\.[12]\.in_layers\.0\.weight")
    count = len(ups) + 1  # of levels
    if not blocks or len(blocks) % count:
        raise Unfit(f"{where} is no U-Net of Karlo's form: {len(blocks)} blocks up for {count} levels")
    depth = len(blocks) // count - 1
    attending = counted(r"input_blocks\.(\d+)\.1\.qkv\.weight")
    firsts = [1 + level * (depth + 1) for level in range(count)]
    middle = f"{start}middle_block.1.encoder_kv.weight" in tensors
    return UNetConfig(
        channels_in=shape("input_blocks.0.0.weight")[1],
        channels_out=shape("out.2.weight")[0],
        levels=tuple(
            LevelSpec(
                width=shape(f"input_blocks.{first}.0.in_layers.2.weight")[0],
                depth=depth,
                attention="keys" if first in attending else None,
            )
            for first in firsts
        ),
        middle_attention="keys" if middle else None,
        time_width=shape("time_embed.0.weight")[1],
        context_width=shape("middle_block.1.encoder_kv.weight")[1] if middle else 0,
        head_width=HEAD_WIDTH,
    )


def plan(source: Source, options: Options) -> Plan:
    """Raises ArmchairError for a file that is missing or does not fit."""
    names = files_of(source)
    for part, pattern in FILES.items():
        if part not in names:
            left = source.unfinished(pattern.partition("*")[0])
            raise BadInput(f"{source.name}: Karlo's {part} is missing, a file called {pattern}{left}")
    read = {part: unwrap(source.tensors(name)) for part, name in names.items()}
    dropped = {f"{part}/{key}": why for part, (_, gone) in read.items() for key, why in gone.items()}
    tensors = {part: found for part, (found, _) in read.items()}
    clip = openai_config(tensors["CLIP"], options.activation)
    bpe = tokenizer(source, options, clip.text.vocab)
    prior = prior_config(tensors["prior"], clip.embed)
    unet = adm_config(tensors["decoder"], "model.", "Karlo's decoder")
    decoder = ClipDecoderConfig(
        text_width=clip.text.width,
        image_size=SIDE,
        embed=clip.embed,
        image_tokens=unet_tables.IMAGE_TOKENS,
        context_width=unet.context_width,
        levels=unet.levels,
        time_width=unet.time_width,
        learned_variance=unet.channels_out == 6,
    )
    enlarging = adm_config(tensors["super-resolution"], "model_first_steps.", "Karlo's super-resolution")
    upsampler = upsampling(enlarging, SIDE)
    statistics = {f"stats.{key}": value for key, value in tensors["statistics"].items()}
    rows = {
        "clip": (clip, openai_table(clip), tensors["CLIP"]),
        "prior": (prior, unet_tables.karlo_prior(HEAD_WIDTH), tensors["prior"] | statistics),
        "decoder": (decoder, unet_tables.karlo_decoder(decoder.unet), tensors["decoder"]),
        "upsample_256": (upsampler, unet_tables.karlo_upsampler(enlarging), tensors["super-resolution"]),
    }
    parts = {
        name: (config, fit(table, found, network_on_meta(config).state_dict(), f"Karlo's {name}"))
        for name, (config, table, found) in rows.items()
    }
    text = Component(config={"vocab": bpe.vocab}, file=bpe.save(), storage="file")
    found = made(parts, text, licence=LICENCE)
    return replace(found, dropped={**found.dropped, **dropped})


def prior_config(tensors: Mapping[str, Lazy], embed: int) -> PriorConfig:
    """The sizes that a prior's shapes tell. Raises Unfit."""
    try:
        _, places, width = tensors["model.positional_embedding"].shape
        text_width = tensors["model.text_enc_proj.weight"].shape[1]
    except (KeyError, ValueError) as error:
        raise Unfit(f"this is no prior of Karlo's form: {error}") from error
    blocks = {
        match[1] for key in tensors if (match := re.match(r"model\.transformer\.resblocks\.(\d+)\.", key))
    }
    return PriorConfig(
        embed=embed,
        unit=False,
        words="clip",
        text_width=text_width,
        length=places - 4,
        width=width,
        depth=len(blocks),
        heads=width // HEAD_WIDTH,
        hidden="empty",
        candidates=1,
        limit=LIMIT,
    )


FORMAT = Format(
    name="Karlo",
    looks_for="prior-ckpt*.ckpt, decoder-ckpt*.ckpt, improved-sr-ckpt*.ckpt, ViT-L-14.pt and its statistics",
    matches=lambda source: "decoder" in files_of(source),
    plan=plan,
    takes=frozenset({"merges", "activation"}),
)
