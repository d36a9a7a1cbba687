"""Networks whose weights come from a bundle."""

from __future__ import annotations

from typing import Any

from torch.overrides import TorchFunctionMode


class Unfilled(TorchFunctionMode):
    """Networks made here skip their random weights, which a bundle's replace: faster, and torch's global
    generator is left alone.
    """

    RANDOM = frozenset({"normal_", "uniform_", "kaiming_uniform_"})

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = {} if kwargs is None else kwargs
        if func.__name__ in self.RANDOM:
            return args[0] if args else given["tensor"]
        return func(*args, **given)
