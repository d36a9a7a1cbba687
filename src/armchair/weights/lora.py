"""LoRA files (arXiv:2106.09685) of diffusers, peft and kohya, added to the networks of a bundle as they load.

A file holds pairs of thin matrices by the names of the published network's layers: W becomes
W + strength alpha / rank (up down). The key tables of importing say where such a layer lies in ours.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from armchair.core.bundle import Bundle
from armchair.core.errors import BadInput, Unsupported
from armchair.core.files import sha256
from armchair.core.tensorfile import lazy
from armchair.weights.tables import latent as latent_tables
from armchair.weights.tables import unet as unet_tables
from armchair.weights.tables.keys import Fill, Table, Unfit, patch, revert, under, unpublished

SHOWN = 4  # names that an error lists
SUFFIXES = {  # end of a key, the longest first -> which of the pair it is
    ".lora_A.default.weight": "down",
    ".lora_B.default.weight": "up",
    ".lora_linear_layer.down.weight": "down",
    ".lora_linear_layer.up.weight": "up",
    ".lora_A.weight": "down",
    ".lora_B.weight": "up",
    ".lora.down.weight": "down",
    ".lora.up.weight": "up",
    ".lora_down.weight": "down",
    ".lora_up.weight": "up",
    "_lora.down.weight": "down",
    "_lora.up.weight": "up",
    ".down.weight": "down",
    ".up.weight": "up",
    ".alpha": "alpha",
}
UNKNOWN = ("lora_mid", "hada_", "lokr_", "dora_scale", "lora_magnitude_vector")
FLAT = "flat:"  # stands before a layer's name in which underscores are dots
KOHYA = {"lora_unet_": "unet.", "lora_te_": "text_encoder.", "lora_te1_": "text_encoder."}


@dataclass(frozen=True)
class Target:
    """A network of ours under its published names."""

    start: str  # what stands before its names in a file
    component: str
    table: Table


TARGETS = {  # kind of bundle -> what can be changed
    "dalle2": (
        Target("decoder.", "decoder", unet_tables.DIFFUSERS_UNET),
        Target("unet.", "decoder", unet_tables.DIFFUSERS_UNET),
        Target("prior.", "prior", unet_tables.DIFFUSERS_PRIOR),
    ),
    "dalle3": (
        Target("unet.", "latent", latent_tables.diffusers_unet(linear=True)),
        Target("text_encoder.", "text_encoder", latent_tables.CLIP_WORDS),
    ),
}


@dataclass(frozen=True)
class Change:
    """What is added to one published layer: strength alpha / rank (up down)."""

    up: Tensor  # (out, r) or (out, r, 1, 1)
    down: Tensor  # (r, in) or (r, in, k, k)
    alpha: float | None  # None: the rank

    def added_to(self, weight: Tensor, strength: float) -> Tensor:
        """A layer's weight, linear or a convolution -> the weight with this change. Raises Unfit."""
        rank = self.down.shape[0]
        scale = strength * (1.0 if self.alpha is None else self.alpha / rank)
        delta = self.up.float().flatten(1) @ self.down.float().flatten(1)  # (out, in k k)
        if delta.numel() != weight.numel() or len(delta) != len(weight):
            raise Unfit(f"a change of {list(delta.shape)} does not fit a weight of {list(weight.shape)}")
        return (weight.float() + scale * delta.view(weight.shape)).to(weight.dtype)


@dataclass(frozen=True)
class Lora:
    """An opened file: the name of a layer, with the network's before it -> its change."""

    path: Path
    sha256: str
    changes: Mapping[str, Change]

    @classmethod
    def open(cls, path: str | Path) -> Lora:
        """Raises BadInput for a file that is no LoRA, Unsupported for one of another kind."""
        path = Path(path).expanduser()
        if not path.is_file():
            raise BadInput(f"--lora {path}: no such file")
        if path.suffix != ".safetensors":
            raise BadInput(f"--lora {path}: only .safetensors files are read")
        parts: dict[str, dict[str, Tensor]] = {}
        for key, tensor in lazy(path).items():
            strange = next((word for word in UNKNOWN if word in key), None)
            if strange is not None:
                raise Unsupported(f"{path} has {key}: {strange} is another method than LoRA")
            end = next((end for end in SUFFIXES if key.endswith(end)), None)
            if end is None:
                raise BadInput(f"{path} is no LoRA file: {key} is neither lora_A, lora_B, down, up nor alpha")
            parts.setdefault(_layer(key.removesuffix(end)), {})[SUFFIXES[end]] = tensor.read()
        changes: dict[str, Change] = {}
        for name, part in parts.items():
            if not {"up", "down"} <= part.keys():
                raise BadInput(f"{path}: {name} has {', '.join(part)} and not both of up and down")
            alpha = float(part["alpha"]) if "alpha" in part else None
            changes[name] = Change(part["up"], part["down"], alpha)
        if not changes:
            raise BadInput(f"{path} is no LoRA file: it is empty")
        return cls(path, sha256(path), changes)


def _layer(name: str) -> str:
    """The published name of a layer: without what old files put before and between. Kohya's stay flat."""
    for start, network in KOHYA.items():
        if name.startswith(start):
            return f"{network}{FLAT}{name.removeprefix(start)}"
    name = name.replace("base_model.model.", "").replace(".processor.", ".").replace("text_model.", "")
    name = re.sub(r"\.to_out$", ".to_out.0", name)
    return name if name.startswith(("unet.", "text_encoder.", "decoder.", "prior.")) else f"unet.{name}"


def apply(pipeline: Any, bundle: Bundle, lora: Lora, strength: float = 1.0) -> None:
    """Let a pipeline's networks take up the changes when they are loaded, or at once.

    Raises BadInput for a strength that is no number, Unsupported for a bundle that takes none, Unfit for a
    file whose layers are not those of the bundle's networks.
    """
    if not math.isfinite(strength):
        raise BadInput(f"--lora {lora.path}: the strength {strength} is no number, as 0.8 is")
    targets = TARGETS.get(bundle.kind, ())
    held = [target for target in targets if target.component in bundle.components]
    if not held:
        raise Unsupported(f"a {bundle.kind} bundle takes no LoRA; bundles of kind {', '.join(TARGETS)} do")
    left = dict(lora.changes)
    for target in held:
        own = [layer for layer in left if layer.startswith(target.start)]
        names = _names(target, bundle) if own else {}
        found: dict[str, Change] = {}
        for layer in own:
            inner = layer.removeprefix(target.start)
            if inner.startswith(FLAT):
                inner = inner.removeprefix(FLAT).removeprefix("text_model_")
            key = names.get(inner)
            if key is not None:
                found[key] = left.pop(layer)
        if found:
            pipeline.parts.change(target.component, _changer(target, found, strength, lora.path))
    if left:
        more = f" and {len(left) - SHOWN} more" if len(left) > SHOWN else ""
        raise Unfit(
            f"{lora.path} is for other networks than {bundle.name}'s. Layers without a place: "
            f"{', '.join(sorted(left)[:SHOWN])}{more}"
        )


def _names(target: Target, bundle: Bundle) -> dict[str, str]:
    """A published layer's name, and the same with underscores in place of dots -> the key of its weight.
    Raises Unsupported for a network that is not of the published form.
    """
    shapes = bundle.home(target.component)[2].tensors
    start = _inside(target)
    own = {
        name.removeprefix(start): torch.empty(shape, device="meta")
        for name, shape in shapes.items()
        if name.startswith(start)
    }
    wanted = {name: value for name, value in own.items() if not _filled(target.table, name)}
    strange = unpublished(target.table, wanted)
    if strange is not None:
        raise Unsupported(
            f"LoRA files are for networks of published forms, and {bundle.name}'s {target.component} has "
            f"{start}{strange}, which they have not: take an imported model"
        )
    keys = [key for key in revert(target.table, wanted) if key.endswith(".weight")]
    layers = {key.removesuffix(".weight"): key for key in keys}
    return {**{layer.replace(".", "_"): key for layer, key in layers.items()}, **layers}


def _inside(target: Target) -> str:
    """What stands before a network's names in its component: the U-Nets lie within others."""
    return "unet." if target.component in ("decoder", "latent") else ""


def _filled(table: Table, name: str) -> bool:
    """Whether a tensor of ours is one that published networks do not have."""
    return any(isinstance(entry, Fill) and entry.ours == name for entry in table)


def _changer(target: Target, changes: Mapping[str, Change], strength: float, path: Path) -> Any:
    """A function that adds the changes to a loaded network."""
    start = _inside(target)
    table = under(target.table, "", start)

    def change(net: nn.Module) -> nn.Module:
        state = net.state_dict()
        try:
            made = patch(
                table,
                state,
                {key: lambda weight, key=key: changes[key].added_to(weight, strength) for key in changes},
            )
        except Unfit as error:
            raise Unfit(f"{path} does not fit: {error}") from error
        for name, value in made.items():
            old = net.get_parameter(name)
            form = torch.channels_last if value.ndim == 4 else torch.contiguous_format
            old.data = value.to(old.dtype).contiguous(memory_format=form)
        return net

    return change
