"""The networks of a system, each loaded when it is first asked for, and components on their way to another
bundle.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from armchair.core.bundle import SHIPPED, Bundle, Component, Shared
from armchair.core.config import from_json
from armchair.core.packing import fill_module
from armchair.core.unfilled import Unfilled

Net = TypeVar("Net", bound=nn.Module)


class Parts:
    """Networks by component name, each loaded when it is first asked for: what is done first need not wait
    for the weights of what comes after it. Where they do not fit into `budget` bytes together, those that
    were asked for longest ago are let go.
    """

    def __init__(
        self,
        loaders: Mapping[str, Callable[[], nn.Module]],
        configs: Mapping[str, Any] | None = None,
        sizes: Mapping[str, int] | None = None,
        budget: int | None = None,
    ):
        """configs: of those networks whose config can be read alone.  sizes: bytes of each; those that are
        not named count nothing.
        """
        self.budget = budget
        self._loaders = dict(loaders)
        self._configs = {} if configs is None else dict(configs)
        self._sizes = {} if sizes is None else dict(sizes)
        self._loaded: dict[str, nn.Module] = {}  # the one that was asked for last at the end

    def add(self, name: str, load: Callable[[], nn.Module]) -> None:
        self._loaders[name] = load

    def change(self, name: str, how: Callable[[nn.Module], nn.Module]) -> None:
        """Let a network pass through a function whenever it is loaded."""
        load = self._loaders[name]
        self._loaders[name] = lambda: how(load())
        self._loaded.pop(name, None)

    def __contains__(self, name: str) -> bool:
        return name in self._loaders

    def __getitem__(self, name: str) -> Any:
        net = self._loaded.pop(name, None)
        if net is None:
            self._make_room(self._sizes.get(name, 0))
            net = self._loaders[name]()
        self._loaded[name] = net
        return net

    def config(self, name: str) -> Any:
        """A network's config; the network need not be in memory for it."""
        return self._configs[name] if name in self._configs else self[name].config

    def _make_room(self, size: int) -> None:
        if self.budget is None:
            return
        while self._loaded and size + sum(self._sizes.get(name, 0) for name in self._loaded) > self.budget:
            del self._loaded[next(iter(self._loaded))]


def load_network(
    bundle: Bundle,
    name: str,
    build: Callable[[], nn.Module],
    device: torch.device,
    dtype: torch.dtype,
    more: Mapping[str, Tensor] | None = None,
) -> nn.Module:
    """A network of a bundle, ready to draw as `ready` makes one; a tensor at a time, so that memory never
    holds much more than the network. more: tensors that lie in another component.

    Raises BundleError where it is damaged or does not fit.
    """
    with Unfilled(), torch.device("meta"):
        net = build()
    exact = {key for key, _ in net.named_buffers()}

    def prepare(key: str, value: Tensor) -> Tensor:
        form = torch.channels_last if value.ndim == 4 else torch.contiguous_format
        return value.to(device, torch.float32 if key in exact else dtype, memory_format=form)

    tensors = {**bundle.tensors(name, prepare), **({} if more is None else more)}
    fill_module(net, tensors, f"{bundle.name}/{name}")
    return net.to(device).eval().requires_grad_(False)


def bytes_of(bundle: Bundle, name: str, dtype: torch.dtype, prefix: str = "") -> int:
    """What a component's tensors take in memory, those whose names begin so."""
    shapes = [shape for key, shape in bundle.home(name)[2].tensors.items() if key.startswith(prefix)]
    return dtype.itemsize * sum(math.prod(shape) for shape in shapes)


def variant_of(bundle: Bundle, name: str, variants: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
    """The config of a component and its network, of several (config class, network) the one whose fields are
    nearest to those that are there. Raises BadInput for a config that is damaged.
    """
    data = bundle.config(name)

    def apart(pair: tuple[Any, Any]) -> int:
        return len({field.name for field in dataclasses.fields(pair[0])} ^ data.keys())

    config, network = min(variants, key=apart)
    return from_json(config, data, f"{bundle.name}/{name}"), network


def ready(net: Net, device: torch.device, dtype: torch.dtype) -> Net:
    """For drawing: no gradients, no dropout, convolutions channels last; buffers, which hold scales and
    codes, stay in float32.
    """
    net.to(device).eval().requires_grad_(False)
    for p in net.parameters():
        p.data = p.data.to(dtype)
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def copied(bundle: Bundle, name: str) -> Component | Shared:
    """A component as another bundle stores it: pointed at where it ships, else copied as it is stored."""
    home, inner, entry = bundle.home(name)
    if home.folder.resolve().parent == SHIPPED.resolve():
        return bundle.share(name)
    if entry.storage == "file":
        return Component(config=entry.config, file=home.bytes(inner), storage="file")
    tensors = home.tensors(inner, lambda key, value: value)  # in the types that they have
    return Component(config=entry.config, tensors=tensors, storage=entry.storage)
