"""Drawing image codes one after another: keys cached, attention sparse, a text read once for all images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from armchair.core.errors import BadInput
from armchair.core.rng import SeedBatch
from armchair.core.step import Step
from armchair.dalle1.transformer import PAD, Dalle1Transformer
from armchair.nn.decode import LayerCache, PackedBlock, PackedLinear, PackedNorm, padded
from armchair.nn.sparse import Places
from armchair.nn.tokens import choose
from armchair.nn.transformer import Block


def sample(
    decoder: Decoder,
    tokens: Tensor,
    seeds: SeedBatch,
    *,
    start: Tensor | None = None,
    guidance: float = 1.0,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Iterator[Step]:
    """Draw one picture a seed for a caption, row by row; what is not drawn yet is -1.

    tokens (text_places - 1,) ids, PAD after the last, or (B, text_places - 1) a caption each; start (rows, W)
    the codes of the top rows, for one caption alone, None: draw all. guidance: logits are
    uncond + guidance * (cond - uncond), uncond the caption of pads; 1 costs no second row. temperature 0
    takes the likeliest code. top_k: of the k likeliest codes; top_p: of the fewest likely ones that hold this
    share of the probability, after temperature and top_k. x and x0 are the codes (B, H, W) int64.

    In fp32 on a CPU the same seed gives the same codes in any batch, beside any captions. Raises BadInput for
    a setting out of range.
    """
    config = decoder.config
    _check(decoder, tokens, start, guidance, temperature, top_k, top_p)
    grid, total = config.grid, config.image_length
    kept = torch.empty(0, dtype=torch.int64) if start is None else start.flatten().to("cpu", torch.int64)
    codes = torch.full((len(seeds), total), -1)
    codes[:, : len(kept)] = kept
    noise = seeds.uniform(total)  # (B, N): a cell's number does not depend on how many rows were kept
    captions, counts = torch.unique_consecutive(tokens.view(-1, tokens.shape[-1]), dim=0, return_counts=True)
    texts = captions.unsqueeze(1)  # (P, 1, L)
    if guidance != 1.0:
        texts = torch.cat([texts, torch.full_like(texts, PAD)], dim=1)  # (P, 2, L)
    if len(texts) == 1:
        drawing = decoder.begin(texts[0], kept, len(seeds))
    else:
        drawing = decoder.begin_together(texts, counts.tolist())
    for cell in range(len(kept), total):
        logits = drawing.next(codes[:, cell - 1] if cell > 0 else None)
        chosen = choose(guided(logits, guidance), noise[:, cell], temperature, top_k, top_p)
        codes[:, cell] = chosen
        if (cell + 1) % grid == 0:
            x = codes.view(-1, grid, grid).clone()
            yield Step((cell - len(kept)) // grid, (total - len(kept)) // grid, x, x)


def guided(logits: Tensor, guidance: float) -> Tensor:
    """logits (G, B, K), of the caption and, where G is 2, of no caption -> (B, K)"""
    if len(logits) == 1:
        return logits[0]
    cond, uncond = logits
    return (cond - uncond).mul_(guidance).add_(uncond)


class Decoder:
    """The transformer, packed once for drawing; later changes of the network's weights do not reach it.

    Products run in the precision of the network's parameters, all else in fp32. G texts (2 under guidance), B
    images of each, P = G * B rows and the idle ones that products need, N cells, D width, K codes.
    """

    @torch.no_grad()
    def __init__(self, net: Dalle1Transformer):
        self.net = net  # reads the texts and the codes that are given
        self.config = net.config
        self.device = net.image_head.weight.device
        self.blocks = [PackedBlock(cast(Block, block)) for block in net.blocks]
        self.norm, self.head = PackedNorm(net.norm), PackedLinear(net.image_head)
        self.multiple = max(part.multiple for part in (self.head, *self.blocks))
        cell = torch.arange(net.config.image_length, device=self.device)
        rows, columns = net.row_embedding.weight, net.column_embedding.weight
        self.cells = (rows[cell // net.config.grid] + columns[cell % net.config.grid]).detach()  # (N, D)
        self.codes = net.image_embedding.weight.detach()  # (K, D)
        self.start_of_image = None if net.start_of_image is None else net.start_of_image.detach()
        self.shift = 1 if self.start_of_image is None else 0  # image place i predicts cell i + shift

    @torch.no_grad()
    def begin(self, tokens: Tensor, kept: Tensor, images: int) -> Drawing:
        """Read texts (G, text_places - 1), and all but the last of the kept codes (n,), which all share."""
        last, before = self._read(tokens, kept)
        return self._drawing(last.unsqueeze(1), before, images, [images] * len(tokens), len(kept))

    @torch.no_grad()
    def begin_together(self, tokens: Tensor, images: Sequence[int]) -> Drawing:
        """Read captions (P, G, text_places - 1), each as if it were alone, for so many images of each. Under
        guidance (G is 2) the second text is the same for all.
        """
        nothing = torch.empty(0, dtype=torch.int64)
        read = [self._read(texts, nothing) for texts in tokens]
        texts = [(p, 0) for p in range(len(read))] + [(0, 1)] * (tokens.shape[1] - 1)
        before = [
            torch.stack([read[p][1][layer][:, g] for p, g in texts], dim=1)
            for layer in range(len(self.blocks))
        ]
        last = [
            torch.cat([h[g].expand(n, -1) for (h, _), n in zip(read, images, strict=True)])
            for g in range(tokens.shape[1])
        ]
        total = sum(images)
        return self._drawing(torch.stack(last), before, total, [*images, total][: len(texts)], 0)

    def _read(self, tokens: Tensor, kept: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Texts and codes -> the stream at the last place (G, D), and each layer's keys and values"""
        h = self.net.embed_text(tokens.to(self.device))
        if len(kept) > 0:
            known = kept[:-1].to(self.device).expand(len(tokens), -1)
            h = torch.cat([h, self.net.embed_image(known)], dim=1)
        h, before = h.float(), list[Tensor]()
        for block, places in zip(self.blocks, self._places(), strict=True):
            look = places.mask()[: h.shape[1], : h.shape[1]]
            h, kv = block.prefill(h, look.to(self.device))
            before.append(kv)
        return h[:, -1], before

    def _drawing(
        self, last: Tensor, before: list[Tensor], images: int, rows: Sequence[int], cell: int
    ) -> Drawing:
        """rows: of each text that `before` holds"""
        caches = [LayerCache(places, kv, rows) for places, kv in zip(self._places(), before, strict=True)]
        return Drawing(self, caches, images, last, cell)

    def _places(self) -> list[Places]:
        return self.net.places(len(self.cells) - self.shift)


class Drawing:
    """Pictures that are being drawn: the caches, and the cell that comes next."""

    def __init__(self, decoder: Decoder, caches: list[LayerCache], images: int, last: Tensor, cell: int):
        """last: (G, 1, D), or (G, B, D) of images of several captions: the stream at the last place read"""
        self.decoder, self.caches, self.images, self.last, self.cell = decoder, caches, images, last, cell
        self.texts = len(last)

    @torch.no_grad()
    def next(self, code: Tensor | None) -> Tensor:
        """code (B,) of the cell before, None for the first -> logits of the next cell (G, B, K) fp32"""
        decoder, rows = self.decoder, self.texts * self.images
        place = self.cell - decoder.shift
        x = self.last.new_zeros(padded(rows, decoder.multiple), self.last.shape[-1])  # (P, D)
        x[:rows].view(self.texts, self.images, -1)[:] = self._embed(place, code)
        if place >= 0:
            for block, cache in zip(decoder.blocks, self.caches, strict=True):
                x = block.step(x, cache, place)
        self.cell += 1
        return decoder.head(decoder.norm(x))[:rows].float().unflatten(0, (self.texts, self.images))

    def _embed(self, place: int, code: Tensor | None) -> Tensor:
        """What goes in at an image place: (B, D), or what all images share"""
        decoder = self.decoder
        if code is not None:
            return F.embedding(code.to(decoder.device), decoder.codes) + decoder.cells[place]
        if decoder.start_of_image is not None:
            return decoder.start_of_image + decoder.cells[place]
        return self.last  # `bos`: the last text place predicts the first cell


def _check(
    decoder: Decoder,
    tokens: Tensor,
    start: Tensor | None,
    guidance: float,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
) -> None:
    config = decoder.config
    assert tokens.ndim <= 2 and tokens.shape[-1] == decoder.net.text_places - 1, tokens.shape
    assert tokens.ndim == 1 or start is None
    if not math.isfinite(guidance):
        raise BadInput(f"guidance {guidance}: a number, 1 is off")
    if not 0 <= temperature < math.inf:
        raise BadInput(
            f"temperature {temperature}: 0 (always the likeliest code) or more, 1 is the model's own"
        )
    if top_k is not None and top_k < 1:
        raise BadInput(f"top_k {top_k}: at least 1 code to choose from, at most {config.image_vocab}")
    if top_p is not None and not 0 < top_p <= 1:
        raise BadInput(f"top_p {top_p}: a share of the probability, above 0 and at most 1")
    if start is not None:
        assert start.ndim == 2 and start.shape[1] == config.grid and len(start) < config.grid, start.shape
        assert 0 <= start.min() and start.max() < config.image_vocab
