"""How a component's tensors lie in safetensors files: precision, int8 with scales, shards, strict loading."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import safetensors.torch
import torch

from armchair.core.errors import BadInput, BundleError

if TYPE_CHECKING:
    from torch import Tensor, nn

SHARD_BYTES = 15 * 2**20  # a component over this is cut into NAME-1-of-2.safetensors and so on
STORAGE = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "int8": torch.float16,
}
SCALE = ".scale"


def pack(tensors: Mapping[str, Tensor], storage: str, name: str = "") -> dict[str, Tensor]:
    """Tensors as they are stored. Under "int8" a weight of two or more dimensions becomes int8 with one
    float16 scale per output channel (dimension 0) at `NAME.scale`, and everything else float16. Integers and
    bools stay.

    Raises BadInput for an unknown storage and BundleError for a value that the storage cannot hold.
    """
    if storage not in STORAGE:
        raise BadInput(f"component {name}: storage {storage!r} is not one of {', '.join(STORAGE)}, file")
    packed: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        value = tensor.detach().cpu()
        if not value.is_floating_point():
            packed[key] = value.clone(
                memory_format=torch.contiguous_format
            )  # tied weights must not share memory
        elif storage == "int8" and value.ndim >= 2:
            if key + SCALE in tensors:
                raise BundleError(f"component {name}: {key + SCALE} is both a tensor and the scale of {key}")
            packed[key], packed[key + SCALE] = quantize(value)
        else:
            packed[key] = value.to(STORAGE[storage], copy=True, memory_format=torch.contiguous_format)
        for stored in (key, key + SCALE):
            if (
                stored in packed
                and packed[stored].is_floating_point()
                and not packed[stored].isfinite().all()
            ):
                raise BundleError(f"component {name}: {key} has values that {storage} cannot hold")
    return packed


def unpack(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Stored tensors as float32 (integers and bools as they are), int8 multiplied by its scale."""
    tensors: dict[str, Tensor] = {}
    for key, value in stored.items():
        if key.endswith(SCALE) and _is_packed(stored, key.removesuffix(SCALE)):
            continue
        if _is_packed(stored, key):
            tensors[key] = dequantize(value, stored[key + SCALE])
        else:
            tensors[key] = value.float() if value.is_floating_point() else value
    return tensors


def quantize(weight: Tensor) -> tuple[Tensor, Tensor]:
    """(C, ...) float -> (C, ...) int8 in -127..127 and (C, 1, ...) float16, so that q * scale is the nearest
    weight.
    """
    flat = weight.float().flatten(1)  # (C, N)
    scale = (flat.abs().amax(1) / 127).half().float() if flat.shape[1] else flat.new_zeros(len(flat))  # (C,)
    steps = flat / scale.clamp_min(torch.finfo(torch.float16).tiny / 1024)[:, None]
    q = steps.round().clamp(-127, 127).to(torch.int8).reshape(weight.shape)
    return q, scale.half().reshape(-1, *[1] * (weight.ndim - 1))


def dequantize(q: Tensor, scale: Tensor) -> Tensor:
    """(C, ...) int8 and (C, 1, ...) float16 -> (C, ...) float32."""
    return q.float() * scale.float()


def shards(name: str, packed: Mapping[str, Tensor], limit: int = SHARD_BYTES) -> dict[str, bytes]:
    """File name -> the bytes of a safetensors file, in name order; a tensor's scale lies in its tensor's
    file.
    """
    groups: list[dict[str, Tensor]] = [{}]
    size = 0
    for key in sorted(packed):
        if key.endswith(SCALE) and _is_packed(packed, key.removesuffix(SCALE)):
            continue
        pair = {k: packed[k] for k in ((key, key + SCALE) if _is_packed(packed, key) else (key,))}
        cost = sum(t.numel() * t.element_size() for t in pair.values())
        if groups[-1] and size + cost > limit:
            groups.append({})
            size = 0
        groups[-1].update(pair)
        size += cost
    total = len(groups)
    names = (
        [f"{name}.safetensors"]
        if total == 1
        else [f"{name}-{i + 1}-of-{total}.safetensors" for i in range(total)]
    )
    return {file: safetensors.torch.save(group) for file, group in zip(names, groups, strict=True)}


def read(data: bytes) -> dict[str, Tensor]:
    return safetensors.torch.load(data)


def fill_module(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Copy tensors into a network strictly. Raises BundleError naming the first tensor that is missing,
    unexpected or of another shape. where: the component, for the message.
    """
    wanted = module.state_dict()
    for key, value in wanted.items():
        if key not in tensors:
            raise BundleError(f"{where}: tensor {key} is missing")
        if tensors[key].shape != value.shape:
            raise BundleError(
                f"{where}: tensor {key} is {list(tensors[key].shape)}, the config says {list(value.shape)}"
            )
    extra = sorted(set(tensors) - set(wanted))
    if extra:
        raise BundleError(f"{where}: tensor {extra[0]} has no place in the network ({len(extra)} such)")
    module.load_state_dict(dict(tensors), assign=True)


def _is_packed(stored: Mapping[str, Tensor], key: str) -> bool:
    return key in stored and stored[key].dtype == torch.int8 and key + SCALE in stored
