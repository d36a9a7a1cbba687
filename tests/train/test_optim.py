"""The optimizers: which parameter goes where, that Muon is Muon, and that their state survives."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, nn

from armchair.core.errors import TrainingError
from armchair.train.optim import Muon, build_optimizers, matrices_and_rest, orthogonal
from armchair.train.recipe import OptimConfig


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(7, 8)
        self.conv = nn.Conv2d(3, 8, 3).to(memory_format=torch.channels_last)
        self.norm = nn.LayerNorm(8)
        self.mix = nn.Linear(8, 8)
        self.positions = nn.Parameter(torch.randn(1, 5, 8))
        self.positions.no_muon = True
        self.say = nn.Linear(8, 7, bias=False)
        self.say.no_muon = True
        self.frozen = nn.Linear(8, 8).requires_grad_(False)


def names(net: nn.Module, params: Iterable[Tensor]) -> set[str]:
    known = {p: name for name, p in net.named_parameters()}
    return {known[p] for p in params}


def random_gradients(net: nn.Module, seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    for p in net.parameters():
        p.grad = torch.randn(p.shape, generator=rng) if p.requires_grad else None


def test_muon_takes_hidden_matrices_alone():
    """Orthogonalised embeddings or gains train badly; a frozen weight must not be touched by anyone."""
    net = Net()
    matrices, rest = matrices_and_rest(net)
    assert names(net, matrices) == {"conv.weight", "mix.weight"}
    assert names(net, rest) == {
        "words.weight",
        "conv.bias",
        "norm.weight",
        "norm.bias",
        "mix.bias",
        "positions",
        "say.weight",
    }


def test_mark_reaches_inside_and_tied_weights():
    """A mark on a module holds for what it contains, and a weight used twice is marked if either place is."""
    net = nn.Module()
    net.inner = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    net.inner.no_muon = True
    net.outer = nn.Linear(4, 4)
    net.words = nn.Embedding(4, 4)
    net.say = nn.Linear(4, 4, bias=False)
    net.say.weight = net.words.weight
    matrices, rest = matrices_and_rest(net)
    assert names(net, matrices) == {"outer.weight"}
    assert len(rest) == len(set(rest)) == 6


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 8, 40), (2, 40, 8), (1, 1, 9)])
def test_orthogonal_against_svd(shape: tuple[int, ...]):
    """The oracle is U V' of the singular value decomposition: same directions, all singular values near 1."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    y = orthogonal(x, 5)
    u, _, v = torch.linalg.svd(x, full_matrices=False)
    values = torch.linalg.svdvals(y)
    assert values.max() < 1.3
    assert values.median() > 0.6
    inside = u.mT @ y @ v.mT  # diagonal where the directions are kept
    off = inside - torch.diag_embed(torch.diagonal(inside, dim1=1, dim2=2))
    assert off.abs().max() < 0.15
    assert y.dtype == x.dtype and y.shape == x.shape


def test_muon_against_torch():
    """torch.optim.Muon is the reference for matrices; it multiplies in bfloat16, hence the tolerance."""
    ours, theirs = (nn.Parameter(torch.full((6, 10), 0.5)) for _ in range(2))
    a = Muon([ours], lr=0.1, weight_decay=0.2, momentum=0.9, iterations=5)
    b = torch.optim.Muon([theirs], lr=0.1, weight_decay=0.2, momentum=0.9, adjust_lr_fn="match_rms_adamw")
    for seed in range(4):
        ours.grad = torch.randn(6, 10, generator=torch.Generator().manual_seed(seed))
        theirs.grad = ours.grad.clone()
        a.step()
        b.step()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0.01)  # the weights have moved by 0.2
    assert (ours - 0.5).abs().mean() > 0.05


def test_muon_flattens_convolutions():
    """A convolution keeps its four axes and moves as the matrix (out, in * k * k) would."""
    conv = nn.Parameter(torch.randn(8, 3, 3, 3, generator=torch.Generator().manual_seed(0)))
    flat = nn.Parameter(conv.detach().flatten(1).clone())
    a, b = (Muon([p], lr=0.1, weight_decay=0.1, momentum=0.9, iterations=5) for p in (conv, flat))
    for seed in range(3):
        conv.grad = torch.randn(conv.shape, generator=torch.Generator().manual_seed(seed))
        flat.grad = conv.grad.flatten(1)
        a.step()
        b.step()
    assert conv.shape == (8, 3, 3, 3)
    assert torch.equal(conv.flatten(1), flat)


@pytest.mark.parametrize("shape", [(64, 64), (32, 128), (128, 16, 3, 3)])
def test_muon_update_has_the_scale_of_adamw(shape: tuple[int, ...]):
    """One learning rate serves both: an update's root mean square is about 0.2 lr, whatever the shape."""
    p = nn.Parameter(torch.zeros(shape))
    p.grad = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    Muon([p], lr=1.0, weight_decay=0.0, momentum=0.95, iterations=5).step()
    assert 0.15 < p.detach().square().mean().sqrt() < 0.25


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_state_survives(name: str):
    """Three steps, then save, load into a fresh optimizer, three more: equal to six steps, bit for bit. One
    weight is channels_last: a state that came back in another memory order was silently mixed up by the fused
    step.
    """
    config = OptimConfig(name=name, lr=0.01)
    nets = [Net(), Net()]
    for index, net in enumerate(nets):
        optimizers = build_optimizers(config, net)
        for seed in range(6):
            random_gradients(net, seed)
            if index == 1 and seed == 3:
                kept = {key: value.clone().contiguous() for key, value in optimizers.state().items()}
                optimizers = build_optimizers(config, net)
                optimizers.load(kept)
            optimizers.step(0.5)
    for (label, one), other in zip(nets[0].named_parameters(), nets[1].parameters(), strict=True):
        assert torch.equal(one, other), label
        if one.requires_grad:
            assert not torch.equal(one, dict(Net().named_parameters())[label]), f"{label} did not move"


def test_gains_and_biases_are_not_decayed():
    """With no gradient at all, decay is the only thing that moves a weight."""
    net = Net()
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    optimizers = build_optimizers(OptimConfig(lr=0.1, weight_decay=0.5), net)
    for p in net.parameters():
        p.grad = torch.zeros_like(p)
    optimizers.step(1.0)
    moved = {name for name, p in net.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {"words.weight", "conv.weight", "mix.weight", "positions", "say.weight"}


def test_scale_is_the_learning_rate_of_all():
    net = Net()
    optimizers = build_optimizers(OptimConfig(name="muon", lr=0.1, muon_lr=0.3), net)
    random_gradients(net, 0)
    optimizers.step(0.5)
    rates = sorted({group["lr"] for part in optimizers.parts for group in part.param_groups})
    assert rates == pytest.approx([0.05, 0.15])


def test_foreign_state_is_refused():
    """A checkpoint of another network names what differs instead of training on."""
    net = Net()
    optimizers = build_optimizers(OptimConfig(), net)
    with pytest.raises(
        TrainingError, match="exp_avg of mix.weight with shape .2, 2., this network needs .8, 8."
    ):
        optimizers.load({"exp_avg/mix.weight": torch.zeros(2, 2)})
    with pytest.raises(TrainingError, match="knows gone.weight"):
        optimizers.load({"exp_avg/gone.weight": torch.zeros(2)})
