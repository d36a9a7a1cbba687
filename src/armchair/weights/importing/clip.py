"""CLIP from OpenAI's files, Hugging Face folders and open_clip's (arXiv:2103.00020)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from armchair.clip.config import HEAD_WIDTH, ClipConfig, ResNetConfig, TextConfig, ViTConfig
from armchair.clip.preprocess import MEAN, STD
from armchair.core.bundle import Component, Streamed
from armchair.core.config import to_json
from armchair.core.errors import BadInput, Unsupported
from armchair.core.tensorfile import Lazy
from armchair.text.clip_bpe import SUFFIX, ClipBPE
from armchair.text.tokenizer import AnyBPE
from armchair.weights.fast import from_fast
from armchair.weights.importing.plan import Format, Options, Plan
from armchair.weights.importing.source import TORCH, Source
from armchair.weights.kinds import network_on_meta
from armchair.weights.tables import clip as tables
from armchair.weights.tables.keys import Table, Unfit, fit

LICENCE = "MIT (OpenAI, https://github.com/openai/CLIP)"
ACTIVATIONS = {"quick_gelu": True, "gelu": False}
OPEN_CLIP = ("open_clip_model", "open_clip_pytorch_model")  # stems of its weights
VIT, TEXT = "visual.transformer.resblocks", "transformer.resblocks"
TRAINING = "state of the training run"


@dataclass(frozen=True)
class Stated:
    """A number or word of a foreign config, and what we can do with."""

    name: str
    value: Any
    supported: Any

    def check(self) -> None:
        if self.value != self.supported:
            raise Unsupported(f"this CLIP has {self.name} {self.value!r}; {self.supported!r} is supported")


# -- Hugging Face ------------------------------------------------------------------------------------------


def hf_config(data: Mapping[str, Any]) -> ClipConfig:
    """A CLIPModel's config.json. Raises Unsupported for a variant, BadInput for a config with gaps."""
    try:
        text, image = data["text_config"], data["vision_config"]
        activation = text.get("hidden_act", "quick_gelu")
        stated = [Stated("vision hidden_act", image.get("hidden_act", "quick_gelu"), activation)]
        for name, tower, default in (("text", text, (512, 8)), ("vision", image, (768, 12))):
            width = tower.get("hidden_size", default[0])
            stated += [
                Stated(
                    f"{name} intermediate_size", tower.get("intermediate_size", 4 * default[0]), 4 * width
                ),
                Stated(f"{name} layer_norm_eps", tower.get("layer_norm_eps", 1e-5), 1e-5),
            ]
        vocab = text.get("vocab_size", 49_408)
        if text.get("eos_token_id", vocab - 1) != 2:  # 2 in old folders, where the largest id ends a text
            stated.append(Stated("eos_token_id", text.get("eos_token_id", vocab - 1), vocab - 1))
        for entry in stated:
            entry.check()
        return ClipConfig(
            image_size=image.get("image_size", 224),
            embed=data.get("projection_dim", 512),
            image=ViTConfig(
                patch=image.get("patch_size", 32),
                width=image.get("hidden_size", 768),
                depth=image.get("num_hidden_layers", 12),
                head_width=image.get("hidden_size", 768) // image.get("num_attention_heads", 12),
            ),
            text=TextConfig(
                vocab=vocab,
                length=text.get("max_position_embeddings", 77),
                width=text.get("hidden_size", 512),
                depth=text.get("num_hidden_layers", 12),
                head_width=text.get("hidden_size", 512) // text.get("num_attention_heads", 8),
            ),
            quick_gelu=_quick(activation),
        )
    except (KeyError, AttributeError, TypeError, ZeroDivisionError) as error:
        raise BadInput(f"config.json of this CLIP is not whole: {error}") from error
    except ValueError as error:
        raise Unsupported(f"this CLIP is not supported: {error}") from error


def hf_plan(source: Source, options: Options) -> Plan:
    config = hf_config(source.json("config.json"))
    if source.has("preprocessor_config.json"):
        shown = source.json("preprocessor_config.json")
        _check_pixels(shown.get("image_mean", MEAN), shown.get("image_std", STD))
    tensors = source.weights("", "model", "pytorch_model")
    return _plan(source, options, config, tensors, tables.HUGGING_FACE, None)


def is_hf(source: Source) -> bool:
    return source.has("config.json") and source.json("config.json").get("model_type") == "clip"


# -- open_clip ---------------------------------------------------------------------------------------------


def open_clip_config(data: Mapping[str, Any]) -> ClipConfig:
    """open_clip_config.json's model_cfg. Raises Unsupported for a variant, BadInput for what is not whole."""
    try:
        text, image = data["text_cfg"], data["vision_cfg"]
        for name, tower, known in (
            ("text_cfg", text, {"context_length", "vocab_size", "width", "heads", "layers"}),
            ("vision_cfg", image, {"image_size", "layers", "width", "patch_size", "head_width", "mlp_ratio"}),
        ):
            strange = sorted(set(tower) - known)
            if strange:
                value = tower[strange[0]]
                raise Unsupported(
                    f"this CLIP's {name} has {strange[0]}={value!r}; {', '.join(sorted(known))} are supported"
                )
        resnet = isinstance(image["layers"], list)
        width = text.get("width", 512)
        Stated("vision_cfg mlp_ratio", image.get("mlp_ratio", 4.0), 4.0).check()
        if resnet:
            Stated("vision_cfg head_width", image.get("head_width", HEAD_WIDTH), HEAD_WIDTH).check()
        return ClipConfig(
            image_size=image.get("image_size", 224),
            embed=data["embed_dim"],
            image=ResNetConfig(layers=tuple(image["layers"]), width=image.get("width", 64))
            if resnet
            else ViTConfig(
                patch=image.get("patch_size", 16),
                width=image.get("width", 768),
                depth=image["layers"],
                head_width=image.get("head_width", HEAD_WIDTH),
            ),
            text=TextConfig(
                vocab=text.get("vocab_size", 49_408),
                length=text.get("context_length", 77),
                width=width,
                depth=text.get("layers", 12),
                head_width=width // text.get("heads", 8),
            ),
            quick_gelu=bool(data.get("quick_gelu", False)),
        )
    except (KeyError, AttributeError, TypeError, ZeroDivisionError) as error:
        raise BadInput(f"open_clip_config.json is not whole: {error}") from error
    except ValueError as error:
        raise Unsupported(f"this CLIP is not supported: {error}") from error


def open_clip_plan(source: Source, options: Options) -> Plan:
    data = source.json("open_clip_config.json")
    config = open_clip_config(data.get("model_cfg", data))
    pixels = data.get("preprocess_cfg", {})
    _check_pixels(pixels.get("mean", MEAN), pixels.get("std", STD))
    tensors, dropped = unwrap(source.weights("", *OPEN_CLIP))
    return _plan(source, options, config, tensors, openai_table(config), None, dropped)


# -- OpenAI ------------------------------------------------------------------------------------------------


def openai_config(tensors: Mapping[str, Lazy], activation: str | None) -> ClipConfig:
    """The sizes that OpenAI's names and shapes tell. Raises BadInput where the activation is not known,
    Unfit for tensors that are no CLIP's.
    """
    archive = {"input_resolution", "context_length", "vocab_size"} <= set(tensors)  # its TorchScript files
    if activation is None and not archive:
        raise BadInput(
            "a state dict does not say its activation: --activation quick_gelu (OpenAI's weights) or gelu "
            "(most of open_clip's), heads of width 64; open_clip_config.json in the same folder says it too"
        )
    try:
        vocab, width = tensors["token_embedding.weight"].shape
        stem = tensors["visual.conv1.weight"].shape
        text = TextConfig(
            vocab=vocab,
            length=tensors["positional_embedding"].shape[0],
            width=width,
            depth=_count(tensors, rf"{TEXT}\.(\d+)\.ln_1\.weight"),
        )
        if "visual.proj" in tensors:
            places = tensors["visual.positional_embedding"].shape[0]
            depth = _count(tensors, rf"{VIT}\.(\d+)\.ln_1\.weight")
            image: ViTConfig | ResNetConfig = ViTConfig(patch=stem[-1], width=stem[0], depth=depth)
            size = stem[-1] * round((places - 1) ** 0.5)
        else:
            layers = [_count(tensors, rf"visual\.layer{i}\.(\d+)\.conv1\.weight") for i in (1, 2, 3, 4)]
            places = tensors["visual.attnpool.positional_embedding"].shape[0]
            image = ResNetConfig(
                layers=(layers[0], layers[1], layers[2], layers[3]),
                width=tensors["visual.layer1.0.conv1.weight"].shape[0],
            )
            size = image.stride * round((places - 1) ** 0.5)
        return ClipConfig(
            image_size=size,
            embed=tensors["text_projection"].shape[1],
            image=image,
            text=text,
            quick_gelu=True if activation is None else _quick(activation),
        )
    except KeyError as error:
        raise Unfit(f"this is no CLIP of OpenAI's form: there is no {error.args[0]}") from error
    except (IndexError, ValueError) as error:
        raise Unfit(f"this CLIP is not supported: {error}") from error


def openai_table(config: ClipConfig) -> Table:
    return tables.OPENAI_VIT if isinstance(config.image, ViTConfig) else tables.OPENAI_RESNET


def openai_plan(source: Source, options: Options) -> Plan:
    tensors, dropped = unwrap(source.tensors(_single(source)))
    config = openai_config(tensors, options.activation)
    licence = LICENCE if options.activation is None else None
    return _plan(source, options, config, tensors, openai_table(config), licence, dropped)


def unwrap(tensors: Mapping[str, Lazy]) -> tuple[dict[str, Lazy], dict[str, str]]:
    """The weights of a training checkpoint without what stands around and before their names; the rest with
    the reason why it is dropped.
    """
    found, dropped = dict(tensors), dict[str, str]()
    for start in ("state_dict.", "module."):
        inside = {key.removeprefix(start): value for key, value in found.items() if key.startswith(start)}
        if inside:
            dropped |= {key: TRAINING for key in found if not key.startswith(start)}
            found = inside
    return found, dropped


def _single(source: Source) -> str:
    """The one file of weights of a source. Raises BadInput."""
    names = [name for name, path in source.files.items() if path.suffix in {".safetensors", *TORCH}]
    if len(names) != 1:
        raise BadInput(f"{source.name} has {len(names)} files of weights ({', '.join(names[:4])}): name one")
    return names[0]


def is_single(source: Source) -> bool:
    """One file of weights, in which there is an image tower of either kind."""
    names = [name for name, path in source.files.items() if path.suffix in {".safetensors", *TORCH}]
    if len(names) != 1 or source.has("config.json"):
        return False
    return any(key.endswith("visual.conv1.weight") for key in source.tensors(names[0]))


# -- all three ---------------------------------------------------------------------------------------------


def tokenizer(source: Source, options: Options, vocab: int, folder: str = "") -> AnyBPE:
    """From the person's file of merges, else from the source, where it lies in `folder`. Raises BadInput
    where there is neither.
    """
    start = f"{folder}/" if folder else ""
    files = [f"{start}vocab.json", f"{start}merges.txt"]
    if options.merges is not None:
        try:
            data = options.merges.read_bytes()
        except OSError as error:
            raise BadInput(f"--merges {options.merges}: {error.strerror}") from error
        return ClipBPE.from_merges(data, vocab)
    if source.has(*files):
        found = ClipBPE.from_files(*(source.bytes(name) for name in files))
    elif source.has(f"{start}tokenizer.json"):
        data = source.json(f"{start}tokenizer.json")
        own, model = from_fast(data, vocab), data.get("model", {})
        if own is not None:
            return own
        if model.get("end_of_word_suffix") != SUFFIX:
            raise Unsupported(f"{source.name}: tokenizer.json is neither CLIP's kind of tokenizer nor ours")
        pairs = [pair if isinstance(pair, str) else " ".join(pair) for pair in model.get("merges", [])]
        found = ClipBPE.from_files(json.dumps(model.get("vocab")).encode(), "\n".join(pairs).encode())
    else:
        raise BadInput(
            f"{source.name} has no tokenizer: --merges FILE, bpe_simple_vocab_16e6.txt.gz of OpenAI's CLIP "
            "repository"
        )
    if found.vocab + 2 != vocab:
        raise Unfit(f"{source.name}: its tokenizer has {found.vocab + 2:,} tokens, its text tower {vocab:,}")
    return found


def _plan(
    source: Source,
    options: Options,
    config: ClipConfig,
    tensors: Mapping[str, Lazy],
    table: Table,
    licence: str | None,
    dropped: Mapping[str, str] | None = None,
) -> Plan:
    fitted = fit(table, tensors, network_on_meta(config).state_dict(), "this CLIP")
    bpe = tokenizer(source, options, config.text.vocab)
    return Plan(
        kind="clip",
        components={
            "clip": Streamed(config=to_json(config), tensors=fitted.tensors),
            "text": Component(config={"vocab": bpe.vocab}, file=bpe.save(), storage="file"),
        },
        dropped={**fitted.dropped, **({} if dropped is None else dropped)},
        licence=licence,
        languages=("en",),
    )


def _quick(activation: str) -> bool:
    if activation not in ACTIVATIONS:
        raise Unsupported(f"activation {activation!r} is not one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[activation]


def _check_pixels(mean: Any, std: Any) -> None:
    for name, values, known in (("mean", mean, MEAN), ("std", std, STD)):
        if len(values) != 3 or any(abs(a - b) > 1e-4 for a, b in zip(values, known, strict=True)):
            raise Unsupported(f"this CLIP normalises pixels with {name} {list(values)}, not {list(known)}")


def _count(tensors: Mapping[str, Lazy], pattern: str) -> int:
    return len({match[1] for key in tensors if (match := re.fullmatch(pattern, key)) is not None})


FORMATS = (
    Format(
        name="Hugging Face CLIPModel",
        looks_for='config.json with model_type "clip"',
        matches=is_hf,
        plan=hf_plan,
        takes=frozenset({"merges"}),
    ),
    Format(
        name="open_clip",
        looks_for="open_clip_config.json with open_clip_model.safetensors",
        matches=lambda source: source.has("open_clip_config.json"),
        plan=open_clip_plan,
        takes=frozenset({"merges"}),
    ),
    Format(
        name="OpenAI's CLIP",
        looks_for="one file of CLIP's weights (.pt, .safetensors)",
        matches=is_single,
        plan=openai_plan,
        takes=frozenset({"merges", "activation"}),
    ),
)
