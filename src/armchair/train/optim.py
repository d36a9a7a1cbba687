"""The optimizers, by name, and one object that steps, saves and restores them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from armchair.core import packing
from armchair.core.errors import TrainingError
from armchair.train.recipe import OptimConfig

# the quintic of Keller Jordan's Muon: steepest at zero, takes every singular value to about 0.7 .. 1.2
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised (Jordan 2024), in AdamW's scale (arXiv:2502.16982, equation 4).

    A weight with more than two axes is seen as the matrix (out, everything else) and keeps its shape outside.
    torch.optim.Muon takes matrices alone, one by one and in bfloat16 on every device; here equal shapes go
    together, and in bfloat16 only where the processor multiplies it fast.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        *,
        lr: float,
        weight_decay: float,
        momentum: float,
        iterations: int,
    ):
        defaults = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "iterations": iterations}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:
        """One update. `closure` is there for torch's signature and is not used."""
        assert closure is None
        for group in self.param_groups:
            for same in _by_shape(p for p in group["params"] if p.grad is not None):
                self._step_shape(same, group)

    def _step_shape(self, params: list[nn.Parameter], group: dict[str, Any]) -> None:
        ahead: list[Tensor] = []
        for p in params:
            grad, state = cast(Tensor, p.grad), self.state[p]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(p)
            state["momentum"].lerp_(grad, 1.0 - group["momentum"])
            nesterov = grad.lerp(state["momentum"], group["momentum"])
            ahead.append(nesterov.flatten(1))
        matrices = torch.stack(ahead)  # (N, out, rest)
        # an orthogonal matrix has a root mean square of 1 / sqrt(longer side), AdamW's updates of about 0.2
        scale = 0.2 * math.sqrt(max(matrices.shape[1:]))
        for p, update in zip(params, orthogonal(matrices, group["iterations"]), strict=True):
            p.mul_(1.0 - group["lr"] * group["weight_decay"])
            p.add_(update.view_as(p), alpha=-group["lr"] * scale)


def orthogonal(matrices: Tensor, iterations: int) -> Tensor:
    """(N, rows, columns) -> the same shape and type: each U S V' becomes nearly U V', by Newton-Schulz."""
    a, b, c = NEWTON_SCHULZ
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x.to(torch.bfloat16 if _fast_bfloat16(x.device) else torch.float32)
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp_min(1e-7)
    for _ in range(iterations):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype)


@contextmanager
def stored(params: Sequence[nn.Parameter], storage: str) -> Iterator[None]:
    """Inside, weights of two axes or more are what a bundle of that storage would give back of them;
    afterwards they are as before, bit for bit, with the gradient that was found there (arXiv:1712.05877,
    section 3, with one scale an output channel).
    """
    weights = [p for p in params if p.ndim >= 2]
    before = [p.detach().clone() for p in weights]
    with torch.no_grad():
        for p in weights:
            p.copy_(packing.rounded(p, storage))
    try:
        yield
    finally:
        _put_back(weights, before)


@contextmanager
def ascended(params: Sequence[nn.Parameter], radius: float) -> Iterator[None]:
    """Inside, the weights stand `radius` further up their gradient, and hold no gradient; afterwards they are
    as before, bit for bit, with the gradient that was found there. Sharpness-aware minimisation (Foret et al.
    2020, algorithm 1).
    """
    climbing = [p for p in params if p.grad is not None]
    grads = [cast(Tensor, p.grad) for p in climbing]
    step = radius / (torch.nn.utils.get_total_norm(grads) + 1e-12)
    before = [p.detach().clone() for p in climbing]
    with torch.no_grad():
        for p, grad in zip(climbing, grads, strict=True):
            p.add_(grad * step)
            p.grad = None
    try:
        yield
    finally:
        _put_back(climbing, before)


@torch.no_grad()
def _put_back(params: Sequence[nn.Parameter], before: Sequence[Tensor]) -> None:
    for p, kept in zip(params, before, strict=True):
        p.copy_(kept)


class Optimizers:
    """One or more torch optimizers over one network, as one: step, save, restore. State is kept by parameter
    name.
    """

    def __init__(self, net: nn.Module, parts: list[torch.optim.Optimizer]):
        self.parts = parts
        self.names: dict[Tensor, str] = {p: name for name, p in net.named_parameters()}
        self.base = [[group["lr"] for group in part.param_groups] for part in parts]

    def step(self, scale: float) -> None:
        """One update at `scale` times the configured learning rates."""
        for part, base in zip(self.parts, self.base, strict=True):
            for group, lr in zip(part.param_groups, base, strict=True):
                group["lr"] = lr * scale
            part.step()

    def zero_grad(self) -> None:
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Tensor]:
        """ "KIND/PARAMETER" -> tensor: exp_avg/blocks.0.weight, step/blocks.0.weight, ..."""
        return {
            f"{kind}/{self.names[p]}": value
            for part in self.parts
            for p, kinds in part.state.items()
            for kind, value in kinds.items()
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave. Raises TrainingError for a parameter that this network lacks or has
        differently.
        """
        owner = {
            self.names[p]: (part, p) for part in self.parts for g in part.param_groups for p in g["params"]
        }
        for part in self.parts:
            part.state.clear()
        for key, value in state.items():
            kind, _, name = key.partition("/")
            if name not in owner:
                raise TrainingError(
                    f"the checkpoint's optimizer knows {name}, which this network does not train"
                )
            part, p = owner[name]
            if value.ndim > 0 and value.shape != p.shape:
                raise TrainingError(
                    f"the checkpoint's optimizer holds {kind} of {name} with shape {tuple(value.shape)}, "
                    f"this network needs {tuple(p.shape)}"
                )
            # in the weight's own memory order: fused steps walk weight and state side by side (channels_last)
            own = (
                torch.empty_like(p, dtype=value.dtype)
                if value.ndim > 0
                else value.new_empty((), device=p.device)
            )
            part.state[p][kind] = own.copy_(value)


def build_optimizers(config: OptimConfig, net: nn.Module) -> Optimizers:
    """The optimizers that `config.name` stands for in OPTIMIZERS, over the network's trainable parameters."""
    return Optimizers(net, OPTIMIZERS[config.name](config, net))


def matrices_and_rest(net: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The trainable parameters: hidden weights of two axes or more, and all others.

    Others are gains and biases (fewer than two axes), embeddings, and what is marked with an attribute
    `no_muon = True` on the parameter, or on a module for everything inside it: unembeddings, learned
    positions, convolutions of single channels.
    """
    matrices: dict[nn.Parameter, None] = {}
    rest: dict[nn.Parameter, None] = {}

    def visit(module: nn.Module, marked: bool) -> None:
        marked = marked or isinstance(module, nn.Embedding) or getattr(module, "no_muon", False)
        for p in module.parameters(recurse=False):
            if p.requires_grad:
                other = marked or p.ndim < 2 or getattr(p, "no_muon", False)
                (rest if other else matrices)[p] = None
        for child in module.children():
            visit(child, marked)

    visit(net, False)
    return [p for p in matrices if p not in rest], list(rest)  # a tied weight that is marked once is marked


def _adamw(config: OptimConfig, net: nn.Module) -> list[torch.optim.Optimizer]:
    return _adamw_over(config, [p for p in net.parameters() if p.requires_grad])


def _adamw_over(config: OptimConfig, params: list[nn.Parameter]) -> list[torch.optim.Optimizer]:
    decayed = [p for p in params if p.ndim >= 2]
    spared = [p for p in params if p.ndim < 2]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if not groups:
        return []
    fused = all(p.device.type in {"cpu", "cuda", "mps"} and p.is_floating_point() for p in params)
    return [torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps, fused=fused)]


def _muon(config: OptimConfig, net: nn.Module) -> list[torch.optim.Optimizer]:
    matrices, rest = matrices_and_rest(net)
    lr = config.lr if config.muon_lr is None else config.muon_lr
    parts = _adamw_over(config, rest)
    if matrices:
        muon = Muon(
            matrices,
            lr=lr,
            weight_decay=config.weight_decay,
            momentum=config.momentum,
            iterations=config.newton_schulz_steps,
        )
        parts.append(muon)
    return parts


OPTIMIZERS: dict[str, Callable[[OptimConfig, nn.Module], list[torch.optim.Optimizer]]] = {
    "adamw": _adamw,
    "muon": _muon,
}


def _by_shape(params: Iterable[nn.Parameter]) -> list[list[nn.Parameter]]:
    found: dict[torch.Size, list[nn.Parameter]] = {}
    for p in params:
        found.setdefault(p.shape, []).append(p)
    return list(found.values())


def _fast_bfloat16(device: torch.device) -> bool:
    if device.type != "cpu":
        return device.type == "cuda"
    read = getattr(torch.cpu, "get_capabilities", None)  # newer than the oldest torch that we allow
    here = {} if read is None else read()
    return bool(here.get("avx512_bf16") or here.get("amx_bf16"))
