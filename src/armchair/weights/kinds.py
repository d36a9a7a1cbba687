"""Bundle kind -> pipeline class, network config -> network: imported only when they are asked for."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

from armchair.core.errors import Unsupported

if TYPE_CHECKING:
    import torch
    from PIL import Image
    from torch import Tensor, nn

    from armchair.core.bundle import Bundle
    from armchair.core.step import Preview

PIPELINES = {
    "dalle1": "armchair.dalle1.pipeline:Dalle1",
    "dalle2": "armchair.dalle2.pipeline:Dalle2",
    "dalle3": "armchair.dalle3.pipeline:Dalle3",
}

NETWORKS = {  # the class of a network's config -> the network
    "armchair.clip.config:ClipConfig": "armchair.clip.network:Clip",
    "armchair.clip.config:ClipTextConfig": "armchair.clip.network:ClipText",
    "armchair.dalle1.config:DVAEConfig": "armchair.dalle1.dvae:DVAE",
    "armchair.dalle1.config:TransformerConfig": "armchair.dalle1.transformer:Dalle1Transformer",
    "armchair.dalle2.config:ArPriorConfig": "armchair.dalle2.ar_prior:ArPrior",
    "armchair.dalle2.config:ClipDecoderConfig": "armchair.dalle2.clip_decoder:ClipDecoder",
    "armchair.dalle2.config:DecoderConfig": "armchair.dalle2.decoder:Decoder",
    "armchair.dalle2.config:PriorConfig": "armchair.dalle2.prior:Prior",
    "armchair.dalle3.captioner_config:CaptionerConfig": "armchair.dalle3.captioner:Captioner",
    "armchair.dalle3.config:ConsistencyConfig": "armchair.dalle3.consistency:ConsistencyDecoder",
    "armchair.dalle3.config:LatentConfig": "armchair.dalle3.denoiser:LatentNet",
    "armchair.judge.config:JudgeConfig": "armchair.judge.network:Judge",
    "armchair.nn.autoencoder:AutoencoderConfig": "armchair.nn.autoencoder:Autoencoder",
    "armchair.upsample.config:UpsamplerConfig": "armchair.upsample.network:Upsampler",
    "armchair.writer.config:WriterConfig": "armchair.writer.network:Writer",
}


class Pipeline(Protocol):
    """A system with its weights loaded. What it returns depends on its arguments alone."""

    kind: str
    operations: frozenset[str]  # names of Artist's methods: generate, complete, variations ...
    sizes: Sequence[str]  # what it draws, "64x64"; the first is the default
    languages: Sequence[str]
    defaults: Mapping[str, Any]  # every option that it takes, with the value used when none is given
    lacking: Mapping[str, str]  # where a bundle can do less than its kind: operation -> why
    together: bool  # `stream` also takes a prompt a picture, each then being what it is alone
    expands: bool  # trained on long captions: a conversation writes prompts out unless told otherwise

    @classmethod
    def from_bundle(cls, bundle: Bundle, device: torch.device, dtype: torch.dtype) -> Pipeline: ...

    def stream(
        self, prompt: str | Sequence[str], seeds: Sequence[int], size: str, **options: Any
    ) -> Iterator[Preview]:
        """Previews of all pictures, one a seed; the last preview is the pictures."""
        ...

    def complete(
        self,
        image: Image.Image,
        prompt: str,
        seeds: Sequence[int],
        keep_rows: int | None = None,
        **options: Any,
    ) -> Iterator[Preview]:
        """Go on from the top rows of an RGB picture. Only where operations has "complete"."""
        ...


class Editor(Pipeline, Protocol):
    """A system that starts from pictures as well. It has those of these methods that `operations` names;
    outpainting is inpainting on a larger canvas. Every one yields previews of all its pictures, the last
    preview being the pictures.
    """

    operation_defaults: Mapping[str, Mapping[str, Any]]  # operation -> its own table, as `defaults` is

    def variations(
        self, image: Image.Image, seeds: Sequence[int], size: str, **options: Any
    ) -> Iterator[Preview]: ...

    def interpolate(
        self,
        a: Image.Image,
        b: Image.Image,
        frames: Sequence[int],  # those that are drawn, of 0 .. count - 1
        count: int,
        seed: int,
        size: str,
        **options: Any,
    ) -> Iterator[Preview]: ...

    def text_diff(
        self,
        image: Image.Image,
        source: str,
        target: str,
        frames: Sequence[int],
        count: int,
        seed: int,
        size: str,
        **options: Any,
    ) -> Iterator[Preview]: ...

    def probe(
        self, image: Image.Image, components: Sequence[int], seed: int, size: str, **options: Any
    ) -> Iterator[Preview]: ...

    def inpaint(
        self,
        image: Image.Image,
        keep: Tensor,  # (H, W) bool, True = stays
        prompt: str,
        seeds: Sequence[int],
        size: str,
        **options: Any,
    ) -> Iterator[Preview]: ...


def pipeline_class(kind: str) -> type[Pipeline]:
    """The class that draws with bundles of this kind. Raises Unsupported for a kind that does not draw by
    itself.
    """
    if kind not in PIPELINES:
        raise Unsupported(
            f"a bundle of kind {kind} does not draw by itself; those of kind {', '.join(PIPELINES)} do"
        )
    module, _, name = PIPELINES[kind].partition(":")
    return cast("type[Pipeline]", getattr(importlib.import_module(module), name))


def kinds_that(operation: str) -> list[str]:
    """The kinds whose pipeline has an operation."""
    return [kind for kind in PIPELINES if operation in pipeline_class(kind).operations]


def network_class(config: Any) -> Any:
    """The network's class for a network's config; None for another config."""
    name = NETWORKS.get(f"{type(config).__module__}:{type(config).__qualname__}")
    if name is None:
        return None
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def network_on_meta(config: Any) -> nn.Module:
    """The network of a config, of any size, without memory for its weights."""
    import torch

    cls = network_class(config)
    assert cls is not None, f"{type(config).__name__} is not in NETWORKS"
    with torch.device("meta"):
        return cls(config)
