"""Several captions in one run: what a server does with requests that wait together."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from armchair.core.rng import SeedBatch
from armchair.dalle1.config import TransformerConfig
from armchair.dalle1.sampling import Decoder, sample
from armchair.dalle1.transformer import PAD, Dalle1Transformer

WIDE = TransformerConfig(
    text_vocab=50, image_vocab=500, text_length=9, grid=6, width=64, depth=4, heads=2, conv_kernel=5
)


def decoder(config: TransformerConfig = WIDE) -> Decoder:
    """Weights from a fixed seed, large enough that codes depend on every place that is read."""
    torch.manual_seed(0)
    net = Dalle1Transformer(config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(torch.randn(p.shape, generator=generator), alpha=0.2)
    return Decoder(net.eval())


def captions(drawer: Decoder, count: int) -> torch.Tensor:
    """(count, L) of different words and lengths"""
    tokens = torch.arange(count * (drawer.net.text_places - 1)).view(count, -1) % 49 + 1
    for i, row in enumerate(tokens):
        row[2 + i % 4 :] = PAD
    return tokens


@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize("layout", ["start_of_image", "bos"])
@pytest.mark.parametrize("who", [[0, 1], [0, 0, 1, 2], [2, 0, 1, 0, 3, 3, 3, 3]])
def test_codes_are_those_drawn_alone(guidance: float, layout: str, who: list[int]):
    """Other captions beside it, any number of images of each, in any order: bit for bit the same codes. Flat
    distributions over many codes, so that differing last bits would show.
    """
    drawer = decoder(replace(WIDE, layout=layout))
    tokens = captions(drawer, 4)
    settings = {"guidance": guidance, "temperature": 3.0, "top_p": 0.99}
    seeds = list(range(10, 10 + len(who)))
    *_, last = sample(drawer, tokens[who], SeedBatch(seeds), **settings)
    for row, (caption, seed) in enumerate(zip(who, seeds, strict=True)):
        *_, alone = sample(drawer, tokens[caption], SeedBatch([seed]), **settings)
        assert torch.equal(last.x[row], alone.x[0])
    assert len({tuple(x.flatten().tolist()) for x in last.x}) == len(who)


def test_each_caption_is_read_once():
    """And the caption of pads once for all of them."""
    drawer = decoder()
    texts = captions(drawer, 3).unsqueeze(1)
    texts = torch.cat([texts, torch.full_like(texts, PAD)], dim=1)
    drawing = drawer.begin_together(texts, [2, 1, 3])
    for cache in drawing.caches:
        assert len(cache.prefix_k) == 4
        assert cache.rows == 12
    assert drawing.next(None).shape == (2, 6, 500)
