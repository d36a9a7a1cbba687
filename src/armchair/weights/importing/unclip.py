"""diffusers' UnCLIP folders, from text and from pictures, as a dalle2 bundle: Karlo in its published form
(arXiv:2204.06125).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from armchair.clip.config import ClipConfig, ClipTextConfig
from armchair.core.bundle import Component, Streamed
from armchair.core.config import to_json
from armchair.core.errors import BadInput, Unsupported
from armchair.core.tensorfile import Lazy
from armchair.dalle2.config import ClipDecoderConfig, PriorConfig
from armchair.diffusion.prediction import Kind
from armchair.nn.unet import LevelSpec, UNetConfig
from armchair.upsample.config import UpsamplerConfig
from armchair.weights.importing.clip import hf_config, tokenizer
from armchair.weights.importing.plan import Format, Options, Plan
from armchair.weights.importing.source import Source, open_source
from armchair.weights.importing.stated import check, flag, number, numbers, one_of, real, texts
from armchair.weights.kinds import network_on_meta
from armchair.weights.tables import clip as clip_tables
from armchair.weights.tables import unet as unet_tables
from armchair.weights.tables.keys import Fitted, Table, fit

PIPELINES = ("UnCLIPPipeline", "UnCLIPImageVariationPipeline")
WEIGHTS = ("diffusion_pytorch_model", "model", "pytorch_model")  # stems of a component's files
DEFAULTS: dict[str, Any] = {  # the pipeline's own
    "steps": 25,
    "guidance": 8.0,
    "sampler": "ddpm",
    "prior_steps": 25,
    "prior_guidance": 4.0,
}
UPSAMPLING = "7"  # steps of its upsampler
SCHEDULE = {"beta_schedule": "squaredcos_cap_v2"}
PREDICTIONS: dict[str, Kind] = {"epsilon": "eps", "sample": "x0"}
UNET = {  # of both U-Nets
    "act_fn": "silu",
    "center_input_sample": False,
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-5,
    "resnet_time_scale_shift": "scale_shift",
    "time_embedding_type": "positional",
}
DECODER = {
    **UNET,
    "in_channels": 3,
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "class_embed_type": "identity",
    "addition_embed_type": None,
    "class_embeddings_concat": False,
    "conv_in_kernel": 3,
    "conv_out_kernel": 3,
    "cross_attention_norm": None,
    "dual_cross_attention": False,
    "encoder_hid_dim": None,
    "only_cross_attention": False,
    "resnet_out_scale_factor": 1.0,
    "resnet_skip_time_act": False,
    "time_cond_proj_dim": None,
    "time_embedding_act_fn": None,
    "time_embedding_dim": None,
    "timestep_post_act": None,
}
UPSAMPLER = {
    **UNET,
    "in_channels": 6,
    "out_channels": 3,
    "add_attention": False,
    "class_embed_type": None,
    "downsample_type": "resnet",
    "upsample_type": "resnet",
    "attn_norm_num_groups": None,
}
PRIOR = {
    "additional_embeddings": 4,
    "added_emb_type": "prd",
    "clip_embed_dim": None,
    "embedding_proj_dim": None,
    "embedding_proj_norm_type": None,
    "encoder_hid_proj_type": "linear",
    "norm_in_type": None,
    "time_embed_act_fn": "silu",
    "time_embed_dim": None,
}


def levels_of(config: Mapping[str, Any], where: str) -> tuple[LevelSpec, ...]:
    """Widths, depths and which levels attend. Raises Unsupported for other blocks than these two."""
    widths, depth = numbers(config, "block_out_channels", where), number(config, "layers_per_block", where)
    down, up = (texts(config, f"{way}_block_types", where) for way in ("down", "up"))
    kinds = {"ResnetDownsampleBlock2D": None, "SimpleCrossAttnDownBlock2D": "keys"}
    for kind in down:
        if kind not in kinds:
            raise Unsupported(f"{where} has a block {kind}; {', '.join(kinds)} are supported")
    mirrored = [kind.replace("Downsample", "Upsample").replace("AttnDown", "AttnUp") for kind in down]
    if list(reversed(mirrored)) != list(up) or len(down) != len(widths):
        raise Unsupported(f"{where} has up_block_types {up}, which do not mirror {down}")
    return tuple(
        LevelSpec(width=width, depth=depth, attention=kinds[kind])  # type: ignore[arg-type]
        for width, kind in zip(widths, down, strict=True)
    )


def noise_of(source: Source, name: str, variance: str, limit: float | None) -> tuple[int, Kind, float | None]:
    """A scheduler's number of levels, what is predicted, and what the clean sample stays within. limit: the
    only one that is supported; None: any. Raises Unsupported for another variance or limit.
    """
    where = f"{name} of {source.name}"
    config = source.json(f"{name}/scheduler_config.json")
    check(config, {**SCHEDULE, "variance_type": variance}, where)
    bounded = flag(config, "clip_sample", where, True)
    reach = real(config, "clip_sample_range", where, 1.0) if bounded else None
    if limit is not None and reach != limit:
        raise Unsupported(f"{where} keeps samples within {reach}; {limit} is supported")
    said = one_of(config, "prediction_type", "epsilon", PREDICTIONS, where)
    return number(config, "num_train_timesteps", where, 1000), PREDICTIONS[said], reach


def prior_config(source: Source, text_width: int) -> PriorConfig:
    """prior/config.json with its scheduler's. Raises Unsupported, BadInput."""
    where = f"prior of {source.name}"
    config = source.json("prior/config.json")
    check(config, PRIOR, where)
    steps, predicts, limit = noise_of(source, "prior_scheduler", "fixed_small_log", None)
    if predicts != "x0":
        raise Unsupported(f"the scheduler of {where} has prediction_type 'epsilon'; 'sample' is supported")
    heads = number(config, "num_attention_heads", where)
    return PriorConfig(
        embed=number(config, "embedding_dim", where),
        unit=False,
        words="clip",
        text_width=text_width,
        length=number(config, "num_embeddings", where),
        width=heads * number(config, "attention_head_dim", where),
        depth=number(config, "num_layers", where),
        heads=heads,
        steps=steps,
        hidden="empty",
        candidates=1,
        limit=limit,
    )


def decoder_config(source: Source, embed: int, text_width: int) -> ClipDecoderConfig:
    """decoder/config.json with its scheduler's. Raises Unsupported, BadInput."""
    where = f"decoder of {source.name}"
    config = source.json("decoder/config.json")
    check(config, DECODER, where)
    check(
        source.json("text_proj/config.json"),
        {"clip_extra_context_tokens": unet_tables.IMAGE_TOKENS, "clip_embeddings_dim": embed},
        f"text_proj of {source.name}",
    )
    levels = levels_of(config, where)
    if levels[-1].attention is None:
        raise Unsupported(f"{where} attends in the middle and not at its coarsest level")
    learned = config.get("out_channels") == 6
    steps, predicts, _ = noise_of(
        source, "decoder_scheduler", "learned_range" if learned else "fixed_small_log", 1.0
    )
    return ClipDecoderConfig(
        text_width=text_width,
        image_size=number(config, "sample_size", where),
        embed=embed,
        image_tokens=unet_tables.IMAGE_TOKENS,
        context_width=number(config, "cross_attention_dim", where),
        levels=levels,
        time_width=levels[0].width,
        head_width=number(config, "attention_head_dim", where),
        groups=number(config, "norm_num_groups", where, 32),
        steps=steps,
        prediction=predicts,
        learned_variance=learned,
    )


def upsampler_config(source: Source, low: int) -> UpsamplerConfig:
    """super_res_first/config.json with its scheduler's; the last network is its twin. Raises Unsupported."""
    found: list[tuple[int, UNetConfig]] = []
    for name in ("super_res_first", "super_res_last"):
        where, config = f"{name} of {source.name}", source.json(f"{name}/config.json")
        check(config, UPSAMPLER, where)
        levels = levels_of(config, where)
        if any(level.attention for level in levels):
            raise Unsupported(f"{where} attends; convolutions alone are supported")
        unet = UNetConfig(
            channels_in=6,
            channels_out=3,
            levels=levels,
            time_width=levels[0].width,
            groups=number(config, "norm_num_groups", where, 32),
        )
        found.append((number(config, "sample_size", where), unet))
    if found[0] != found[1]:
        raise Unsupported(f"{source.name}: super_res_first and super_res_last have different sizes")
    size, unet = found[0]
    if size != 4 * low:
        raise Unsupported(f"{source.name} enlarges {low} px to {size}; four times is supported")
    steps, predicts, _ = noise_of(source, "super_res_scheduler", "fixed_small_log", 1.0)
    return upsampling(unet, low, steps, predicts)


def upsampling(unet: UNetConfig, low: int, times: int = 1000, predicts: Kind = "eps") -> UpsamplerConfig:
    """How Karlo enlarges."""
    return UpsamplerConfig(
        unet=unet,
        low=low,
        size=4 * low,
        times=times,
        predicts=predicts,
        steps=UPSAMPLING,
        sampler="ddpm",
        kernel="smooth",
        rounded=False,
        last=True,
    )


def towers(source: Source, options: Options) -> tuple[ClipConfig | ClipTextConfig, Fitted, Source | None]:
    """CLIP: the text tower, and the image tower where this folder or the one of --clip has it; and that other
    folder.
    """
    text = source.json("text_encoder/config.json")
    other = None if options.clip is None else open_source(str(options.clip))
    home = source if options.clip is None else other
    assert home is not None
    tensors = source.weights("text_encoder", *WEIGHTS)
    table: Table = (*clip_tables.HUGGING_FACE, clip_tables.NO_SCALE)
    at = next((name for name in ("image_encoder", "") if home.has(f"{name}/config.json".lstrip("/"))), None)
    if at is None or (home is source and at != "image_encoder"):
        if options.clip is not None:
            raise BadInput(
                f"--clip {options.clip}: neither image_encoder/config.json nor config.json of a CLIP in it"
            )
        alike = {"hidden_act": text.get("hidden_act", "quick_gelu")}
        whole = hf_config({"text_config": text, "vision_config": alike, "projection_dim": _embed(text)})
        config = ClipTextConfig(embed=whole.embed, text=whole.text, quick_gelu=whole.quick_gelu)
        return config, _fitted(table, tensors, config, "text_encoder"), other
    vision = home.json(f"{at}/config.json".lstrip("/"))
    vision = vision.get("vision_config", vision)
    seen = home.weights(at, *WEIGHTS)
    tensors |= {key: value for key, value in seen.items() if key.startswith(("vision_model.", "visual_"))}
    config = hf_config({"text_config": text, "vision_config": vision, "projection_dim": _embed(text)})
    return config, _fitted(table, tensors, config, "CLIP"), other


def _embed(text: Mapping[str, Any]) -> int:
    return text.get("projection_dim", 512)


def _fitted(table: Table, tensors: Mapping[str, Lazy], config: Any, where: str) -> Fitted:
    return fit(table, tensors, network_on_meta(config).state_dict(), where)


def exact_of(name: str, config: Any) -> frozenset[str]:
    """Buffers, which hold scales: they keep their type."""
    return frozenset(f"{name}/{key}" for key, _ in network_on_meta(config).named_buffers())


def plan(source: Source, options: Options) -> Plan:
    """Raises ArmchairError for a folder that is not whole, and for a variant."""
    shown = source.json("model_index.json")
    clip, clip_tensors, other = towers(source, options)
    parts: dict[str, tuple[Any, Fitted]] = {"clip": (clip, clip_tensors)}
    bpe = tokenizer(source, options, clip.text.vocab, "tokenizer")
    decoder = decoder_config(source, clip.embed, clip.text.width)
    if "prior" in shown:
        prior = prior_config(source, clip.text.width)
        parts["prior"] = (
            prior,
            _fitted(unet_tables.DIFFUSERS_PRIOR, source.weights("prior", *WEIGHTS), prior, "the prior"),
        )
    upsampler = upsampler_config(source, decoder.image_size)
    for name, config, table, folders in (
        ("decoder", decoder, unet_tables.DIFFUSERS_DECODER, ("decoder", "text_proj")),
        ("upsample_256", upsampler, unet_tables.DIFFUSERS_UPSAMPLER, ("super_res_first", "super_res_last")),
    ):
        tensors = {
            f"{folder}.{key}": value
            for folder in folders
            for key, value in source.weights(folder, *WEIGHTS).items()
        }
        parts[name] = (config, _fitted(table, tensors, config, f"the {name.replace('_', ' ')}"))
    return made(parts, Component(config={"vocab": bpe.vocab}, file=bpe.save(), storage="file"), other=other)


def made(
    parts: Mapping[str, tuple[Any, Fitted]],
    text: Component,
    *,
    other: Source | None = None,
    licence: str | None = None,
) -> Plan:
    """The bundle of a system like Karlo: component -> its config and tensors, and the tokenizer."""
    return Plan(
        kind="dalle2",
        components={
            **{
                name: Streamed(config=to_json(config), tensors=fitted.tensors)
                for name, (config, fitted) in parts.items()
            },
            "text": text,
        },
        dropped={
            f"{name}/{key}": why for name, (_, fitted) in parts.items() for key, why in fitted.dropped.items()
        },
        languages=("en",),
        defaults=DEFAULTS if "prior" in parts else {k: v for k, v in DEFAULTS.items() if "prior" not in k},
        licence=licence,
        exact=frozenset(key for name, (config, _) in parts.items() for key in exact_of(name, config)),
        others={} if other is None else {"clip": other.origin()},
    )


def matches(source: Source) -> bool:
    return source.has("model_index.json") and source.json("model_index.json").get("_class_name") in PIPELINES


FORMAT = Format(
    name="diffusers UnCLIP",
    looks_for=f"model_index.json of an {PIPELINES[0]} or {PIPELINES[1]}",
    matches=matches,
    plan=plan,
    takes=frozenset({"merges", "clip"}),
)
