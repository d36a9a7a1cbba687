"""Stable Diffusion 1 and 2 as a dalle3 bundle, from diffusers' folder (arXiv:2112.10752); its autoencoder,
the consistency decoder and T5's encoders by themselves.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Literal, cast

import torch
from torch import nn

from armchair.core.bundle import Component, Streamed
from armchair.core.config import to_json
from armchair.core.errors import BadInput, Unsupported
from armchair.core.tensorfile import Lazy
from armchair.dalle3.config import ClipWordsConfig, ConsistencyConfig, LatentConfig, T5Config
from armchair.dalle3.parts import CLASSES
from armchair.diffusion.prediction import Kind
from armchair.nn.autoencoder import AutoencoderConfig
from armchair.nn.unet import AttentionKind, LevelSpec
from armchair.text.clip_bpe import END, ClipBPE
from armchair.text.t5 import T5Tokenizer
from armchair.text.tokenizer import AnyBPE
from armchair.weights.importing.clip import hf_config, tokenizer
from armchair.weights.importing.plan import Format, Options, Plan
from armchair.weights.importing.source import Source
from armchair.weights.importing.stated import check, flag, number, numbers, one_of, real, texts
from armchair.weights.importing.unclip import UNET, WEIGHTS
from armchair.weights.tables import latent as tables
from armchair.weights.tables.keys import Fitted, Table, fit

PIPELINES = ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline")
SCALE = 0.18215  # of Stable Diffusion's latents
SCHEDULE = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "trained_betas": None,
    "rescale_betas_zero_snr": False,
}
PREDICTIONS: dict[str, Kind] = {"epsilon": "eps", "v_prediction": "v"}
Spacing = Literal["even", "trailing", "leading"]
SPACINGS: dict[str, Spacing] = {"linspace": "even", "trailing": "trailing", "leading": "leading"}
# scheduler -> its spacing and whether it ends at the clean latent, where its config does not say; all others
# space evenly and end there. PNDM's levels are visited by our samplers
SCHEDULERS = {
    "DDIMScheduler": ("leading", True),
    "PNDMScheduler": ("leading", False),
    "DDPMScheduler": ("leading", True),
}
LATENT_UNET = {
    **{name: value for name, value in UNET.items() if name != "resnet_time_scale_shift"},
    "resnet_time_scale_shift": "default",
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "class_embed_type": None,
    "addition_embed_type": None,
    "conv_in_kernel": 3,
    "conv_out_kernel": 3,
    "dual_cross_attention": False,
    "encoder_hid_dim": None,
    "only_cross_attention": False,
    "resnet_out_scale_factor": 1.0,
    "resnet_skip_time_act": False,
    "time_cond_proj_dim": None,
    "time_embedding_act_fn": None,
    "time_embedding_dim": None,
    "timestep_post_act": None,
    "reverse_transformer_layers_per_block": None,
    "transformer_layers_per_block": 1,
}
AUTOENCODER = {
    "act_fn": "silu",
    "in_channels": 3,
    "out_channels": 3,
    "shift_factor": None,
    "use_quant_conv": True,
    "use_post_quant_conv": True,
}
T5 = {
    "feed_forward_proj": "gated-gelu",
    "is_gated_act": True,
    "layer_norm_epsilon": 1e-6,
}
CONSISTENCY = {
    "decoder_add_attention": False,
    "decoder_downsample_padding": 1,
    "decoder_norm_eps": 1e-5,
    "decoder_out_channels": 6,
    "decoder_resnet_time_scale_shift": "scale_shift",
    "decoder_time_embedding_type": "learned",
}


def levels_of(config: Mapping[str, Any], where: str) -> tuple[LevelSpec, ...]:
    """Widths, depths and which levels attend. Raises Unsupported for other blocks than these two."""
    widths, depth = numbers(config, "block_out_channels", where), number(config, "layers_per_block", where)
    down, up = (texts(config, f"{way}_block_types", where) for way in ("down", "up"))
    kinds: dict[str, AttentionKind | None] = {"DownBlock2D": None, "CrossAttnDownBlock2D": "cross"}
    for kind in down:
        if kind not in kinds:
            raise Unsupported(f"{where} has a block {kind}; {', '.join(kinds)} are supported")
    if [kind.replace("Down", "Up") for kind in reversed(down)] != list(up) or len(down) != len(widths):
        raise Unsupported(f"{where} has up_block_types {up}, which do not mirror {down}")
    return tuple(
        LevelSpec(width=width, depth=depth, attention=kinds[kind])
        for width, kind in zip(widths, down, strict=True)
    )


def heads_of(config: Mapping[str, Any], widths: tuple[int, ...], where: str) -> tuple[int, int]:
    """`heads` of every level and `head_width`, one of which counts: what the config calls attention_head_dim
    are heads.
    """
    name = "attention_head_dim" if config.get("num_attention_heads") is None else "num_attention_heads"
    if not isinstance(config.get(name), list):
        return number(config, name, where, 8), 64
    said = numbers(config, name, where)
    per_level = {width // count for width, count in zip(widths, said, strict=False)}
    if len(per_level) != 1 or len(said) != len(widths):
        raise Unsupported(f"{where} has {said} heads: heads of one width at every level are supported")
    return 0, per_level.pop()


def latent_config(source: Source, words: ClipWordsConfig, stride: int) -> tuple[LatentConfig, bool]:
    """unet/config.json with its scheduler's; and whether its transformers' ends are linear layers."""
    where, config = f"unet of {source.name}", source.json("unet/config.json")
    check(config, LATENT_UNET, where)
    shown = source.json("scheduler/scheduler_config.json")
    check(shown, SCHEDULE, f"scheduler of {source.name}")
    said = one_of(shown, "prediction_type", "epsilon", PREDICTIONS, f"scheduler of {source.name}")
    spacing, clean = SCHEDULERS.get(shown.get("_class_name", ""), ("linspace", True))
    spacing = one_of(shown, "timestep_spacing", spacing, SPACINGS, f"scheduler of {source.name}")
    levels = levels_of(config, where)
    channels = number(config, "in_channels", where)
    if config.get("out_channels") != channels:
        raise Unsupported(
            f"{where} has {channels} channels in and {config.get('out_channels')} out, as one for inpainting "
            "has; text-to-image models are supported"
        )
    check(config, {"cross_attention_dim": words.width}, where)
    heads, head_width = heads_of(config, tuple(level.width for level in levels), where)
    found = LatentConfig(
        side=stride * number(config, "sample_size", where),
        stride=stride,
        channels=channels,
        ratios=("1:1",),
        words=words,
        levels=levels,
        middle_attention="cross",
        time_width=levels[0].width,
        modulation="add",
        resample="conv",
        groups=number(config, "norm_num_groups", where, 32),
        inpaints=False,
        prediction=PREDICTIONS[said],
        steps=number(shown, "num_train_timesteps", f"scheduler of {source.name}", 1000),
        schedule="scaled_linear",
        spacing=SPACINGS[spacing],
        residue=not flag(shown, "set_alpha_to_one", f"scheduler of {source.name}", clean),
        heads=heads,
        head_width=head_width,
    )
    return found, flag(config, "use_linear_projection", where, False)


def autoencoder_config(config: Mapping[str, Any], where: str) -> tuple[AutoencoderConfig, float]:
    """An AutoencoderKL's config.json, and what its latents are multiplied by."""
    check(config, AUTOENCODER, where)
    widths = numbers(config, "block_out_channels", where)
    for key, kind in (
        ("down_block_types", "DownEncoderBlock2D"),
        ("up_block_types", "UpDecoderBlock2D"),
    ):
        check(config, {key: [kind] * len(widths)}, where)
    stride = 2 ** (len(widths) - 1)
    return AutoencoderConfig(
        image_size=max(stride, number(config, "sample_size", where, 256) // stride * stride),
        widths=widths,
        depth=number(config, "layers_per_block", where),
        channels=number(config, "latent_channels", where),
        attention=flag(config, "mid_block_add_attention", where, True),
        groups=number(config, "norm_num_groups", where, 32),
    ), real(config, "scaling_factor", where, SCALE)


def autoencoder_table(tensors: Mapping[str, Lazy]) -> Table:
    return tables.diffusers_autoencoder(old=any(".attentions.0.query." in name for name in tensors))


def words_config(text: Mapping[str, Any], pad: int | None) -> ClipWordsConfig:
    """text_encoder/config.json. pad: the id that fills a row."""
    alike = {"hidden_act": text.get("hidden_act", "quick_gelu")}
    whole = hf_config({"text_config": text, "vision_config": alike, "projection_dim": 512})
    return ClipWordsConfig(text=whole.text, quick_gelu=whole.quick_gelu, pad=pad)


def padding(source: Source, bpe: AnyBPE) -> int | None:
    """The id that fills a row, None where it is the end's. Raises Unsupported for a piece of words."""
    name = "tokenizer/tokenizer_config.json"
    told: Any = source.json(name).get("pad_token") if source.has(name) else None
    said: str | None = cast(dict[str, Any], told).get("content") if isinstance(told, dict) else told
    if said is None or said == END:
        return None
    ids: dict[str, int] = json.loads(bpe.files()[0]) if isinstance(bpe, ClipBPE) else {}
    if said not in ids:
        raise Unsupported(f"tokenizer of {source.name} fills rows with {said!r}, which is no piece of it")
    return ids[said]


def network(name: str, config: Any) -> nn.Module:
    """A component's network, without memory for its weights."""
    with torch.device("meta"):
        return CLASSES[name][1](config)


def fitted(table: Table, tensors: Mapping[str, Lazy], name: str, config: Any) -> Fitted:
    return fit(table, tensors, network(name, config).state_dict(), f"the {name.replace('_', ' ')}")


def exact_of(name: str, config: Any) -> frozenset[str]:
    """Buffers, which hold scales: they keep their type."""
    return frozenset(f"{name}/{key}" for key, _ in network(name, config).named_buffers())


def plan(source: Source, options: Options) -> Plan:
    """Raises ArmchairError for a folder that is not whole, and for a variant."""
    text = source.json("text_encoder/config.json")
    bpe = tokenizer(source, options, text.get("vocab_size", 49_408), "tokenizer")
    words = words_config(text, padding(source, bpe))
    coder, scale = autoencoder_config(source.json("vae/config.json"), f"vae of {source.name}")
    config, linear = latent_config(source, words, coder.stride)
    tensors = {name: source.weights(name, *WEIGHTS) for name in ("text_encoder", "unet", "vae")}
    return made(
        {
            "autoencoder": (coder, autoencoder_table(tensors["vae"]), tensors["vae"]),
            "text_encoder": (words, tables.CLIP_WORDS, bare(tensors["text_encoder"])),
            "latent": (config, tables.denoiser(tables.diffusers_unet(linear), scale), tensors["unet"]),
        },
        bpe,
    )


def bare(tensors: Mapping[str, Lazy]) -> dict[str, Lazy]:
    """A text tower's tensors without what transformers 4 wrote before their names."""
    return {key.removeprefix("text_model."): value for key, value in tensors.items()}


def made(parts: Mapping[str, tuple[Any, Table, Mapping[str, Lazy]]], bpe: AnyBPE) -> Plan:
    """The bundle: component -> its config, the table and the tensors; and the tokenizer."""
    fits = {name: fitted(table, found, name, config) for name, (config, table, found) in parts.items()}
    return Plan(
        kind="dalle3",
        components={
            **{
                name: Streamed(config=to_json(parts[name][0]), tensors=part.tensors)
                for name, part in fits.items()
            },
            "text": Component(config={"vocab": bpe.vocab}, file=bpe.save(), storage="file"),
        },
        dropped={f"{name}/{key}": why for name, part in fits.items() for key, why in part.dropped.items()},
        languages=("en",),
        exact=frozenset(key for name in parts for key in exact_of(name, parts[name][0])),
    )


def one(kind: str, name: str, config: Any, part: Fitted, more: Mapping[str, Component] | None = None) -> Plan:
    """A bundle of one network, which a stage of training or another bundle takes."""
    return Plan(
        kind=kind,
        components={
            name: Streamed(config=to_json(config), tensors=part.tensors),
            **({} if more is None else more),
        },
        dropped=part.dropped,
        exact=exact_of(name, config),
    )


def autoencoder_plan(source: Source, options: Options) -> Plan:
    config, _ = autoencoder_config(source.json("config.json"), source.name)
    tensors = source.weights("", *WEIGHTS)
    part = fitted(autoencoder_table(tensors), tensors, "autoencoder", config)
    return one("autoencoder", "autoencoder", config, part)


def consistency_plan(source: Source, options: Options) -> Plan:
    shown = source.json("config.json")
    check(shown, CONSISTENCY, source.name)
    widths = numbers(shown, "decoder_block_out_channels", source.name)
    depth = number(shown, "decoder_layers_per_block", source.name)
    channels = number(shown, "latent_channels", source.name)
    check(shown, {"decoder_in_channels": 3 + channels}, source.name)
    for way in ("down", "up"):
        kinds = [f"Resnet{way.capitalize()}sampleBlock2D"] * len(widths)
        check(shown, {f"decoder_{way}_block_types": kinds}, source.name)
    config = ConsistencyConfig(
        channels=channels,
        stride=2 ** (len(numbers(shown, "encoder_block_out_channels", source.name)) - 1),
        levels=tuple(LevelSpec(width=width, depth=depth) for width in widths),
        time_width=widths[0],
        groups=number(shown, "decoder_norm_num_groups", source.name, 32),
        steps=number(shown, "decoder_num_train_timesteps", source.name, 1024),
    )
    tensors = source.weights("", *WEIGHTS)
    scale = real(shown, "scaling_factor", source.name, SCALE)
    part = fitted(tables.consistency(scale), tensors, "consistency", config)
    return one("consistency", "consistency", config, part)


def t5_plan(source: Source, options: Options) -> Plan:
    shown, where = source.json("config.json"), source.name
    check(shown, T5, where)
    config = T5Config(
        vocab=number(shown, "vocab_size", where),
        width=number(shown, "d_model", where),
        depth=number(shown, "num_layers", where),
        heads=number(shown, "num_heads", where),
        head_width=number(shown, "d_kv", where),
        hidden=number(shown, "d_ff", where),
        buckets=number(shown, "relative_attention_num_buckets", where, 32),
        max_distance=number(shown, "relative_attention_max_distance", where, 128),
        pad=shown.get("pad_token_id", 0),
        end=shown.get("eos_token_id", 1),
    )
    tensors = source.weights("", *WEIGHTS)
    if "shared.weight" not in tensors and "encoder.embed_tokens.weight" in tensors:
        tensors = {**tensors, "shared.weight": tensors["encoder.embed_tokens.weight"]}
    part = fitted(tables.T5, tensors, "text_encoder", config)
    if source.has("spiece.model"):
        bpe = T5Tokenizer.from_spiece(source.bytes("spiece.model"))
    elif source.has("tokenizer.json"):
        bpe = T5Tokenizer.from_json(source.bytes("tokenizer.json"))
    else:
        raise BadInput(f"{source.name} has no tokenizer: spiece.model or tokenizer.json is looked for")
    text = Component(config={"vocab": bpe.vocab}, file=bpe.save(), storage="file")
    return one("text_encoder", "text_encoder", config, part, {"text": text})


def called(*names: str, key: str = "_class_name", file: str = "config.json") -> Callable[[Source], bool]:
    """Whether a JSON file of a source names one of these classes."""

    def matches(source: Source) -> bool:
        return source.has(file) and source.json(file).get(key) in names

    return matches


FORMATS = (
    Format(
        name="diffusers Stable Diffusion",
        looks_for=f"model_index.json of a {PIPELINES[0]}",
        matches=lambda source: (
            source.has("model_index.json") and source.json("model_index.json").get("_class_name") in PIPELINES
        ),
        plan=plan,
        takes=frozenset({"merges"}),
    ),
    Format(
        name="diffusers AutoencoderKL",
        looks_for="config.json of an AutoencoderKL",
        matches=called("AutoencoderKL"),
        plan=autoencoder_plan,
    ),
    Format(
        name="consistency decoder",
        looks_for="config.json of a ConsistencyDecoderVAE",
        matches=called("ConsistencyDecoderVAE"),
        plan=consistency_plan,
    ),
    Format(
        name="T5 encoder",
        looks_for='config.json with model_type "t5"',
        matches=called("t5", key="model_type"),
        plan=t5_plan,
    ),
)
