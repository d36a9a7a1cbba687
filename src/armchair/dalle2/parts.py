"""The networks that a DALL·E 2 bundle is made of, and how they get from bundle to bundle.

A stage of training names the others with --using STAGE=BUNDLE; its bundle holds them too, so that it draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from armchair.clip.config import ClipConfig, ClipTextConfig
from armchair.clip.network import Clip, ClipText
from armchair.core.bundle import Bundle, Component, Shared
from armchair.core.device import memory_of
from armchair.core.errors import BadInput, BundleError
from armchair.core.parts import Parts, bytes_of, copied, load_network, variant_of
from armchair.dalle2.ar_prior import ArPrior
from armchair.dalle2.clip_decoder import ClipDecoder
from armchair.dalle2.config import ArPriorConfig, ClipDecoderConfig, DecoderConfig, PriorConfig
from armchair.dalle2.decoder import Decoder
from armchair.dalle2.prior import Prior
from armchair.upsample.config import UpsamplerConfig
from armchair.upsample.network import Upsampler

if TYPE_CHECKING:
    from torch import Tensor

    from armchair.text.tokenizer import AnyBPE

# component -> (class of its config, network), the shipped form first
CLASSES: dict[str, tuple[tuple[type[Any], type[Any]], ...]] = {
    "clip": ((ClipConfig, Clip), (ClipTextConfig, ClipText)),
    "prior": ((PriorConfig, Prior),),
    "ar_prior": ((ArPriorConfig, ArPrior),),
    "decoder": ((DecoderConfig, Decoder), (ClipDecoderConfig, ClipDecoder)),
    "upsample_256": ((UpsamplerConfig, Upsampler),),
    "upsample_1024": ((UpsamplerConfig, Upsampler),),
}
# stage of --using -> the components that it brings
STAGES: dict[str, tuple[str, ...]] = {
    "clip": ("clip", "text"),
    "prior": ("prior",),
    "ar_prior": ("ar_prior", "pca"),
    "decoder": ("decoder",),
    "upsample_256": ("upsample_256",),
    "upsample_1024": ("upsample_1024",),
}
# stage -> the drawing options that go with it; a later one's count where two have the same
OPTIONS: dict[str, tuple[str, ...]] = {
    "decoder": ("steps", "shift", "guidance", "sampler", "prior_weight"),
    "ar_prior": ("prior", "prior_guidance"),
    "prior": ("prior", "prior_steps", "prior_guidance"),
}
EMBEDDING = ("prior", "ar_prior", "decoder")  # components that read or draw CLIP's embeddings
LENGTHS = {True: "of length one", False: "as CLIP gives them"}  # a config's `unit`
PCA = "codes."  # where the principal components lie in the autoregressive prior


def network_of(name: str, config: Any) -> nn.Module:
    """A component's network for its config, of its several forms."""
    return next(network for kind, network in CLASSES[name] if isinstance(config, kind))(config)


def load_part(bundle: Bundle, name: str, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """A network of a bundle, ready to draw. Raises BundleError where it is damaged or does not fit."""
    config, network = variant_of(bundle, name, CLASSES[name])
    more = {PCA + key: value for key, value in bundle.tensors("pca").items()} if name == "ar_prior" else None
    return load_network(bundle, name, lambda: network(config), device, dtype, more)


def parts_of(bundle: Bundle, device: torch.device, dtype: torch.dtype) -> Parts:
    """Raises BundleError for a config that is damaged or a network that is missing, at once."""
    names = [name for name in CLASSES if name in bundle.components]
    for name in ("clip", "decoder"):
        if name not in names:
            raise BundleError(f"{bundle.folder}: a {bundle.kind} bundle without component {name}")
    # CLIP stays in float32: its embeddings say what the others draw
    types = {name: torch.float32 if name == "clip" else dtype for name in names}
    return Parts(
        {name: lambda name=name: load_part(bundle, name, device, types[name]) for name in names},
        {name: variant_of(bundle, name, CLASSES[name])[0] for name in names},
        {name: bytes_of(bundle, name, types[name]) for name in names},
        memory_of(device),
    )


def join_pca(net: Mapping[str, Tensor], pca: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The autoregressive prior's tensors from its two components."""
    return {**net, **{PCA + key: value for key, value in pca.items()}}


def split_pca(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The inverse: edges of buckets need more digits than weights, so they are stored apart."""
    net = {key: value for key, value in tensors.items() if not key.startswith(PCA)}
    return net, {key.removeprefix(PCA): value for key, value in tensors.items() if key.startswith(PCA)}


def check_stages(using: Mapping[str, Bundle], own: str, unit: bool = True) -> None:
    """Raises BadInput for a stage that DALL·E 2 has not, or that is being trained, where `clip` is missing or
    another one than a stage was trained with, and for one whose embeddings are of another length. unit: of
    the network that is being trained.
    """
    others = [stage for stage in STAGES if stage != own]
    for stage, bundle in using.items():
        if stage not in others:
            raise BadInput(f"--using {stage}: {own} builds on {', '.join(others)}")
        for name in STAGES[stage]:
            if name not in bundle.components:
                raise BadInput(f"--using {stage}={bundle.folder}: it has no component {name}")
    if "clip" not in using:
        raise BadInput(f"{own} needs CLIP: --using clip=BUNDLE")
    mine = clip_hash(using["clip"])
    for stage, bundle in using.items():
        if "clip" in bundle.components and clip_hash(bundle) != mine:
            raise BadInput(
                f"--using {stage}={bundle.folder}: trained with another CLIP than {using['clip'].folder}"
            )
        if stage in EMBEDDING and variant_of(bundle, stage, CLASSES[stage])[0].unit != unit:
            raise BadInput(
                f"--using {stage}={bundle.folder}: trained on embeddings {LENGTHS[not unit]}, {own} is on "
                f"those {LENGTHS[unit]}: task.net.unit of a diffusion prior says which, and a decoder's form"
            )


def clip_hash(bundle: Bundle) -> str:
    """What tells one CLIP from another."""
    return bundle.share("clip").sha256


def carried(using: Mapping[str, Bundle]) -> dict[str, Component | Shared]:
    """The components of the other stages, for this stage's bundle."""
    return {name: copied(bundle, name) for stage, bundle in using.items() for name in STAGES[stage]}


def tokenizer(bundle: Bundle) -> AnyBPE:
    """The BPE of a bundle's captions: ours, or that of an imported CLIP."""
    from armchair.text.tokenizer import load_tokenizer

    return load_tokenizer(bundle.bytes("text"))
