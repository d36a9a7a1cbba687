"""The networks that a DALL·E 3 bundle is made of, and how they get from bundle to bundle.

A stage of training names the others with --using STAGE=BUNDLE; its bundle holds them too, so that it draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from armchair.clip.config import ClipConfig, ClipTextConfig
from armchair.core.bundle import Bundle, Component, Shared
from armchair.core.config import from_json, to_json
from armchair.core.device import memory_of
from armchair.core.errors import BadInput, BundleError
from armchair.core.packing import fill_module
from armchair.core.parts import Parts, bytes_of, copied, load_network, ready, variant_of
from armchair.dalle3.config import ClipWordsConfig, ConsistencyConfig, LatentConfig, WordsConfig
from armchair.dalle3.consistency import ConsistencyDecoder
from armchair.dalle3.denoiser import Denoiser
from armchair.dalle3.text_encoder import text_encoder
from armchair.nn.autoencoder import Autoencoder, AutoencoderConfig
from armchair.upsample.config import UpsamplerConfig
from armchair.upsample.network import Upsampler

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

# component -> (its config's class, what makes the network of it)
CLASSES: dict[str, tuple[Any, Callable[[Any], nn.Module]]] = {
    "autoencoder": (AutoencoderConfig, Autoencoder),
    "text_encoder": (WordsConfig, text_encoder),
    "latent": (LatentConfig, Denoiser),
    "consistency": (ConsistencyConfig, ConsistencyDecoder),
    "upsample_256": (UpsamplerConfig, Upsampler),
    "upsample_1024": (UpsamplerConfig, Upsampler),
}
TOWER = "text."  # what the names of CLIP's text tower begin with
NEEDED = ("autoencoder", "text", "text_encoder", "latent")
# stage of --using -> the components that it brings
STAGES: dict[str, tuple[str, ...]] = {
    "autoencoder": ("autoencoder",),
    "text": ("text",),
    "text_encoder": ("text", "text_encoder"),
    "consistency": ("consistency",),
    "upsample_256": ("upsample_256",),
    "upsample_1024": ("upsample_1024",),
}


def load_part(bundle: Bundle, name: str, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """A network of a bundle, ready to draw. Raises BundleError where it is damaged or does not fit."""
    config = part_config(bundle, name)
    if _reads_with_clip(bundle, name):
        net = CLASSES[name][1](config)
        fill_module(net, clip_tower(bundle), f"{bundle.name}/clip")
        return ready(net, device, dtype)
    return load_network(bundle, name, lambda: CLASSES[name][1](config), device, dtype)


def part_config(bundle: Bundle, name: str) -> Any:
    """A component's config. Raises BadInput where it is damaged."""
    if _reads_with_clip(bundle, name):
        clip, _ = variant_of(bundle, "clip", ((ClipConfig, None), (ClipTextConfig, None)))
        # CLIP is trained without a look at what follows the end
        return ClipWordsConfig(text=clip.text, quick_gelu=clip.quick_gelu, masked=True)
    return from_json(CLASSES[name][0], bundle.config(name), f"{bundle.name}/{name}")


def parts_of(bundle: Bundle, device: torch.device, dtype: torch.dtype) -> Parts:
    """Raises BundleError for a config that is damaged or a component that is missing, at once."""
    for name in NEEDED:
        if name not in bundle.components and not _reads_with_clip(bundle, name):
            raise BundleError(f"{bundle.folder}: a {bundle.kind} bundle without component {name}")
    names = [name for name in CLASSES if name in bundle.components or _reads_with_clip(bundle, name)]
    return Parts(
        {name: lambda name=name: load_part(bundle, name, device, dtype) for name in names},
        {name: part_config(bundle, name) for name in names},
        {name: _bytes(bundle, name, dtype) for name in names},
        memory_of(device),
    )


def check_stages(using: Mapping[str, Bundle], needed: tuple[str, ...]) -> None:
    """Raises BadInput for a stage that DALL·E 3 has not or that is missing."""
    for stage, bundle in using.items():
        if stage not in STAGES:
            raise BadInput(f"--using {stage}: the stages of DALL·E 3 are {', '.join(STAGES)}")
        for name in STAGES[stage]:
            if name not in bundle.components and not _reads_with_clip(bundle, name):
                raise BadInput(f"--using {stage}={bundle.folder}: it has no component {name}")
    for stage in needed:
        if stage not in using:
            raise BadInput(f"{stage} is needed: --using {stage}=BUNDLE")


def carried(using: Mapping[str, Bundle]) -> dict[str, Component | Shared]:
    """The components of the other stages, for this stage's bundle."""
    return dict(_carry(bundle, name) for stage, bundle in using.items() for name in STAGES[stage])


def clip_tower(bundle: Bundle) -> dict[str, Tensor]:
    """The text tower of a bundle's `clip` under the names of ClipWords, which projects nothing."""
    tensors = bundle.tensors("clip")
    tower = {key.removeprefix(TOWER): value for key, value in tensors.items() if key.startswith(TOWER)}
    return {key: value for key, value in tower.items() if key != "projection"}


def _carry(bundle: Bundle, name: str) -> tuple[str, Component | Shared]:
    """A component and its name there: a CLIP that ships lends its text tower, of another one it is copied."""
    if not _reads_with_clip(bundle, name):
        return name, copied(bundle, name)
    clip = copied(bundle, "clip")
    if isinstance(clip, Shared):
        return "clip", clip
    config = to_json(part_config(bundle, name))
    return name, Component(config=config, tensors=clip_tower(bundle), storage=clip.storage)


def _bytes(bundle: Bundle, name: str, dtype: torch.dtype) -> int:
    """See `bytes_of`."""
    lent = _reads_with_clip(bundle, name)
    return bytes_of(bundle, "clip" if lent else name, dtype, TOWER if lent else "")


def _reads_with_clip(bundle: Bundle, name: str) -> bool:
    """Whether the text tower of a bundle's CLIP stands in for an encoder of its own."""
    return name == "text_encoder" and name not in bundle.components and "clip" in bundle.components
