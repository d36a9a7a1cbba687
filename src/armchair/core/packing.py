"""How a component's tensors lie in safetensors files: precision, 8 and 6 bits with scales, shards, strict
loading.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors.torch
import torch

from armchair.core.errors import BadInput, BundleError
from armchair.core.tensorfile import Lazy, write

if TYPE_CHECKING:
    from torch import Tensor, nn

SHARD_BYTES = 15 * 2**20  # a component over this is cut into NAME-1-of-2.safetensors and so on
STREAM_BYTES = 2 * 2**30  # likewise for one that is written as a stream
MIXED = "mixed"  # a storage: every tensor in the type that it came in
STORAGE = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "int8": torch.float16,
    "int6": torch.float16,
}
LEVELS = {"int8": 127, "int6": 31}  # weights of these are whole numbers from -LEVELS to LEVELS
SCALE = ".scale"
Prepare = Callable[[str, "Tensor"], "Tensor"]  # a floating tensor's name and the tensor -> as it is wanted


def pack(tensors: Mapping[str, Tensor], storage: str, name: str = "") -> dict[str, Tensor]:
    """Tensors as they are stored. Under "int8" a weight of two or more dimensions becomes int8 with one
    float16 scale per output channel (dimension 0) at `NAME.scale`, and everything else float16; under "int6"
    four channels of 6 bits lie in three of uint8; under "mixed" each keeps its type. Integers and bools stay.

    Raises BadInput for an unknown storage and BundleError for a value that the storage cannot hold.
    """
    if storage not in STORAGE and storage != MIXED:
        known = ", ".join([*STORAGE, MIXED, "file"])
        raise BadInput(f"component {name}: storage {storage!r} is not one of {known}")
    packed: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        value = tensor.detach().cpu()
        if not value.is_floating_point():
            packed[key] = value.clone(
                memory_format=torch.contiguous_format
            )  # tied weights must not share memory
        elif storage in LEVELS and value.ndim >= 2:
            if key + SCALE in tensors:
                raise BundleError(f"component {name}: {key + SCALE} is both a tensor and the scale of {key}")
            q, packed[key + SCALE] = quantize(value, LEVELS[storage])
            packed[key] = _four_in_three(q) if storage == "int6" else q
        else:
            dtype = STORAGE.get(storage, value.dtype)
            packed[key] = value.to(dtype, copy=True, memory_format=torch.contiguous_format)
        for stored in (key, key + SCALE):
            if (
                stored in packed
                and packed[stored].is_floating_point()
                and not packed[stored].isfinite().all()
            ):
                raise BundleError(f"component {name}: {key} has values that {storage} cannot hold")
    return packed


def unpack(
    stored: Mapping[str, Tensor],
    dtype: torch.dtype | Prepare = torch.float32,
    converted: Callable[[], None] = lambda: None,
) -> dict[str, Tensor]:
    """Stored tensors in a floating type (integers and bools as they are), int8 and int6 multiplied by its
    scale. What has the type already is not copied.

    dtype: the type, or a function that makes of a tensor of that name what is wanted.  converted: called
    after each tensor that is copied.
    """
    prepare: Prepare = (lambda key, value: value.to(dtype)) if isinstance(dtype, torch.dtype) else dtype
    tensors: dict[str, Tensor] = {}
    for key, value in stored.items():
        if key.endswith(SCALE) and _is_packed(stored, key.removesuffix(SCALE)):
            continue
        if _is_packed(stored, key):
            tensors[key] = prepare(key, dequantize(value, stored[key + SCALE]))
        else:
            tensors[key] = prepare(key, value) if value.is_floating_point() else value
        if tensors[key] is not value:
            converted()
    return tensors


def quantize(weight: Tensor, levels: int = LEVELS["int8"]) -> tuple[Tensor, Tensor]:
    """(C, ...) float -> (C, ...) int8 in -levels..levels and (C, 1, ...) float16, so that q * scale is the
    nearest weight.
    """
    flat = weight.float().flatten(1)  # (C, N)
    largest = flat.abs().amax(1) if flat.shape[1] else flat.new_zeros(len(flat))  # (C,)
    scale = (largest / levels).half().float()
    steps = flat / scale.clamp_min(torch.finfo(torch.float16).tiny / 1024)[:, None]
    q = steps.round().clamp(-levels, levels).to(torch.int8).reshape(weight.shape)
    return q, scale.half().reshape(-1, *[1] * (weight.ndim - 1))


def dequantize(q: Tensor, scale: Tensor) -> Tensor:
    """(C, ...) int8, or uint8 of int6, and (C, 1, ...) float16 -> (C, ...) float32."""
    if q.dtype == torch.uint8:
        q = _three_to_four(q)[: len(scale)]
    return q.float() * scale.float()


def rounded(weight: Tensor, storage: str) -> Tensor:
    """(C, ...) float -> what comes back of it out of "int8" or "int6", in its type and memory order"""
    return torch.empty_like(weight).copy_(dequantize(*quantize(weight, LEVELS[storage])))


def _four_in_three(q: Tensor) -> Tensor:
    """(C, ...) int8 in -32..31 -> (3 ceil(C / 4), ...) uint8"""
    filled = torch.cat([q, q.new_zeros(-len(q) % 4, *q.shape[1:])])
    a, b, c, d = (filled + 32).to(torch.uint8).reshape(len(filled) // 4, 4, *q.shape[1:]).unbind(1)
    three = [a | (b << 6), (b >> 2) | (c << 4), (c >> 4) | (d << 2)]
    return torch.stack(three, dim=1).flatten(0, 1)


def _three_to_four(stored: Tensor) -> Tensor:
    """The inverse, with the channels that were filled up."""
    x, y, z = stored.reshape(len(stored) // 3, 3, *stored.shape[1:]).unbind(1)
    four = [x & 63, (x >> 6) | ((y & 15) << 2), (y >> 4) | ((z & 3) << 4), z >> 2]
    return torch.stack(four, dim=1).flatten(0, 1).to(torch.int8) - 32


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
    names = [f"{name}{_shard(i, len(groups))}.safetensors" for i in range(len(groups))]
    return {file: safetensors.torch.save(group) for file, group in zip(names, groups, strict=True)}


def stream(
    folder: Path, name: str, tensors: Mapping[str, Lazy], limit: int = STREAM_BYTES
) -> list[tuple[str, int, str]]:
    """Write tensors as they are into a folder, one in memory at a time -> (file name, bytes, sha256) of each
    file.
    """
    groups: list[dict[str, Lazy]] = [{}]
    size = 0
    for key in sorted(tensors):
        if groups[-1] and size + tensors[key].bytes > limit:
            groups.append({})
            size = 0
        groups[-1][key] = tensors[key]
        size += tensors[key].bytes
    names = [f"{name}{_shard(i, len(groups))}.safetensors" for i in range(len(groups))]
    return [(file, *write(folder / file, group)) for file, group in zip(names, groups, strict=True)]


def storage_of(tensors: Mapping[str, Lazy]) -> str:
    """The storage of tensors that are kept as they are: their one floating type, or MIXED."""
    types = {tensor.dtype for tensor in tensors.values() if tensor.dtype.is_floating_point}
    names = [name for name, dtype in STORAGE.items() if name not in LEVELS and types == {dtype}]
    return names[0] if names else MIXED


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
    marks = {name: dict(p.__dict__) for name, p in module.named_parameters()}  # such as no_muon
    module.load_state_dict(dict(tensors), assign=True)
    for name, p in module.named_parameters():
        vars(p).update(marks[name])


def grown(module: nn.Module, tensors: Mapping[str, Tensor], fresh: Sequence[str]) -> dict[str, Tensor]:
    """An earlier network's tensors, and the module's own where they are missing and a part of the name is
    among `fresh`: of layers that change nothing untrained.
    """
    own = module.state_dict()
    return {**{name: value for name, value in own.items() if any(p in name for p in fresh)}, **tensors}


def _shard(index: int, total: int) -> str:
    return "" if total == 1 else f"-{index + 1}-of-{total}"


def _is_packed(stored: Mapping[str, Tensor], key: str) -> bool:
    return key in stored and stored[key].dtype in (torch.int8, torch.uint8) and key + SCALE in stored
