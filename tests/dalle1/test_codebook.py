"""A codebook from clusters uses all of itself, and is the same function written as logits."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from armchair.dalle1 import codebook
from armchair.dalle1.codebook import fit_codebook, k_means
from armchair.dalle1.dvae import DVAE, map_pixels
from armchair.dalle1.dvae_task import codebook_use
from tests.dalle1.tiny import DVAE_TINY


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def images() -> list[Tensor]:
    """Four batches of sixteen pictures of smooth noise."""
    coarse = torch.rand(4, 16, 3, 8, 8, generator=rng())
    return [torch.nn.functional.interpolate(part, scale_factor=2, mode="bilinear") for part in coarse]


@pytest.fixture
def net() -> DVAE:
    """One whose codebook has collapsed, as those of short runs do."""
    torch.manual_seed(0)
    net = DVAE(DVAE_TINY)
    with torch.no_grad():
        assert net.encoder.head.bias is not None
        net.encoder.head.bias[3] += 50
    return net


def test_nearly_all_codes_come_into_use(net: DVAE, images: list[Tensor]):
    """The reason it exists: from one code in use to nearly all, also on pictures it was not fitted to."""
    assert codebook_use(net.encode(images[3]), 24)[0] < 0.1
    fit_codebook(net, images[:3], rng())
    used, perplexity = codebook_use(net.encode(images[3]), 24)
    assert used > 0.9
    assert perplexity > 12


def test_nearest_centre_is_the_likeliest_code(
    net: DVAE, images: list[Tensor], monkeypatch: pytest.MonkeyPatch
):
    """The logits are distances written as a linear map of the features; and not too sure, not too unsure."""
    kept: list[Tensor] = []

    def watched(points: Tensor, k: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        centres, nearest = k_means(points, k, generator)
        kept.append(centres)
        return centres, nearest

    monkeypatch.setattr(codebook, "k_means", watched)
    fit_codebook(net, images, rng())
    with torch.no_grad():
        features = net.encoder.features(map_pixels(torch.cat(images))).movedim(1, -1).flatten(0, 2)
        q = net.encoder(map_pixels(torch.cat(images))).softmax(1)
    nearest = torch.cdist(features.double(), kept[0].double()).argmin(1)
    assert (net.encode(torch.cat(images)).flatten() == nearest).float().mean() > 0.999, (
        "rounding alone differs"
    )
    entropy = -torch.xlogy(q, q).sum(1).mean().item()
    assert entropy == pytest.approx(codebook.ENTROPY, abs=0.1)
    assert entropy < math.log(24) / 2


def test_decoder_keeps_what_its_codes_meant(net: DVAE, images: list[Tensor]):
    """A code's row is the mean of what the old codebook gave: the mean over all cells stays."""

    @torch.no_grad()
    def mean_lookup(weights: Tensor) -> Tensor:
        return net.decoder.codebook(weights).mean((0, 2, 3))

    x = map_pixels(torch.cat(images))
    with torch.no_grad():
        assert net.encoder.head.bias is not None
        net.encoder.head.bias[3] -= 50
        before = mean_lookup((2 * net.encoder(x)).softmax(1))
    fit_codebook(net, images, rng())
    hard = torch.nn.functional.one_hot(net.encode(torch.cat(images)), 24).movedim(-1, 1).float()
    torch.testing.assert_close(mean_lookup(hard), before, rtol=1e-3, atol=1e-4)


def test_fitting_is_deterministic(net: DVAE, images: list[Tensor]):
    """A run that resumes fits again, and the global generator is nobody's."""
    weights = {name: value.clone() for name, value in net.state_dict().items()}
    fit_codebook(net, images, rng())
    first = net.encoder.head.weight.clone()
    net.load_state_dict(weights)
    torch.rand(3)
    fit_codebook(net, images, rng())
    assert torch.equal(net.encoder.head.weight, first)


def test_k_means_finds_clusters():
    """Four blobs far apart: four centres at their means, each point with its own."""
    means = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    blobs = means.repeat_interleave(50, 0) + 0.1 * torch.randn(200, 2, generator=rng())
    for seed in range(5):  # plain k-means gets stuck for some of these
        centres, nearest = k_means(blobs, 4, torch.Generator().manual_seed(seed))
        if len(set(nearest.tolist())) == 4 and torch.cdist(means, centres).amin(1).max() < 0.2:
            torch.testing.assert_close(
                centres[nearest], blobs.view(4, 50, 2).mean(1).repeat_interleave(50, 0)
            )
            return
    raise AssertionError("no start of five found the four blobs")


def test_k_means_with_few_points():
    """Fewer points than centres: some points serve twice, nothing fails."""
    points = torch.tensor([[0.0], [1.0], [5.0]])
    centres, nearest = k_means(points, 7, rng())
    assert centres.shape == (7, 1) and centres.isfinite().all()
    torch.testing.assert_close(centres[nearest], points)


def test_distances_in_pieces_are_the_same(monkeypatch: pytest.MonkeyPatch):
    """A large codebook's distances do not fit in memory at once."""
    points = torch.randn(300, 5, generator=rng())
    whole = k_means(points, 11, rng())
    monkeypatch.setattr(codebook, "AT_ONCE", 64)
    pieces = k_means(points, 11, rng())
    torch.testing.assert_close(pieces[0], whole[0])
    assert torch.equal(pieces[1], whole[1])
