"""The networks that a DALL·E 2 bundle is made of, and how they get from bundle to bundle.

A stage of training names the others with --using STAGE=BUNDLE; its bundle holds them too, so that it draws.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn

from armchair.clip.config import ClipConfig
from armchair.clip.network import Clip
from armchair.core.bundle import SHIPPED, Bundle, Component, Shared
from armchair.core.config import from_json
from armchair.core.errors import BadInput, BundleError
from armchair.core.packing import fill_module
from armchair.core.unfilled import Unfilled
from armchair.dalle2.ar_prior import ArPrior
from armchair.dalle2.config import ArPriorConfig, DecoderConfig, PriorConfig
from armchair.dalle2.decoder import Decoder
from armchair.dalle2.prior import Prior
from armchair.upsample.config import UpsamplerConfig
from armchair.upsample.network import Upsampler

if TYPE_CHECKING:
    from torch import Tensor

    from armchair.text.bpe import BPE

Net = TypeVar("Net", bound=nn.Module)

# component -> (class of its config, network)
CLASSES: dict[str, tuple[type[Any], type[Any]]] = {
    "clip": (ClipConfig, Clip),
    "prior": (PriorConfig, Prior),
    "ar_prior": (ArPriorConfig, ArPrior),
    "decoder": (DecoderConfig, Decoder),
    "upsample_256": (UpsamplerConfig, Upsampler),
    "upsample_1024": (UpsamplerConfig, Upsampler),
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
    "decoder": ("steps", "guidance", "sampler"),
    "ar_prior": ("prior", "prior_guidance"),
    "prior": ("prior", "prior_steps", "prior_guidance"),
}
PCA = "codes."  # where the principal components lie in the autoregressive prior


def load_part(bundle: Bundle, name: str, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """A network of a bundle, ready to draw. Raises BundleError where it is damaged or does not fit."""
    config, network = CLASSES[name]
    with Unfilled():
        net = network(from_json(config, bundle.config(name), name))
    tensors = bundle.tensors(name)
    if name == "ar_prior":
        tensors = join_pca(tensors, bundle.tensors("pca"))
    fill_module(net, tensors, f"{bundle.name}/{name}")
    return ready(net, device, dtype)


def join_pca(net: Mapping[str, Tensor], pca: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The autoregressive prior's tensors from its two components."""
    return {**net, **{PCA + key: value for key, value in pca.items()}}


def split_pca(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The inverse: edges of buckets need more digits than weights, so they are stored apart."""
    net = {key: value for key, value in tensors.items() if not key.startswith(PCA)}
    return net, {key.removeprefix(PCA): value for key, value in tensors.items() if key.startswith(PCA)}


def ready(net: Net, device: torch.device, dtype: torch.dtype) -> Net:
    """For drawing: no gradients, no dropout, convolutions channels last; buffers, which hold scales and
    codes, stay in float32.
    """
    net.to(device).eval().requires_grad_(False)
    for p in net.parameters():
        p.data = p.data.to(dtype)
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


class Parts:
    """The networks of a system by component name, each loaded when it is first asked for: the prior is done
    before the decoder's weights are read.
    """

    def __init__(self, loaders: Mapping[str, Callable[[], nn.Module]]):
        self._loaders = dict(loaders)
        self._loaded: dict[str, nn.Module] = {}

    @classmethod
    def from_bundle(cls, bundle: Bundle, device: torch.device, dtype: torch.dtype) -> Parts:
        """Raises BundleError for a config that is damaged or a network that is missing, at once."""
        names = [name for name in CLASSES if name in bundle.components]
        for name in ("clip", "decoder"):
            if name not in names:
                raise BundleError(f"{bundle.folder}: a {bundle.kind} bundle without component {name}")
        for name in names:
            from_json(CLASSES[name][0], bundle.config(name), f"{bundle.name}/{name}")
        # CLIP stays in float32: its embeddings say what the others draw
        precision = {"clip": torch.float32}
        return cls(
            {
                name: lambda name=name: load_part(bundle, name, device, precision.get(name, dtype))
                for name in names
            }
        )

    def add(self, name: str, load: Callable[[], nn.Module]) -> None:
        self._loaders[name] = load

    def __contains__(self, name: str) -> bool:
        return name in self._loaders

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = self._loaders[name]()
        return self._loaded[name]


def check_stages(using: Mapping[str, Bundle], own: str) -> None:
    """Raises BadInput for a stage that DALL·E 2 has not, or that is being trained, and where `clip` is
    missing or another one than a stage was trained with.
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


def clip_hash(bundle: Bundle) -> str:
    """What tells one CLIP from another."""
    return bundle.share("clip").sha256


def carried(using: Mapping[str, Bundle]) -> dict[str, Component | Shared]:
    """The components of the other stages, for this stage's bundle."""
    return {name: copied(bundle, name) for stage, bundle in using.items() for name in STAGES[stage]}


def copied(bundle: Bundle, name: str) -> Component | Shared:
    """A component as another bundle stores it: pointed at where it ships, else copied as it is stored."""
    home, inner, entry = bundle.home(name)
    if home.folder.resolve().parent == SHIPPED.resolve():
        return bundle.share(name)
    if entry.storage == "file":
        return Component(config=entry.config, file=home.bytes(inner), storage="file")
    return Component(config=entry.config, tensors=home.tensors(inner), storage=entry.storage)


def tokenizer(bundle: Bundle) -> BPE:
    """The BPE of a bundle's captions."""
    from armchair.text.bpe import BPE

    return BPE.load(bundle.bytes("text"))
