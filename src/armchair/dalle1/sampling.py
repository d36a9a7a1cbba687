"""Drawing codes one after another (interim: no cache)."""

from collections.abc import Iterator

import torch
from torch import Tensor

from armchair.core.rng import SeedBatch
from armchair.core.step import Step
from armchair.dalle1.transformer import PAD, Dalle1Transformer


class Decoder:
    def __init__(self, net: Dalle1Transformer):
        self.net = net


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
    net, grid = decoder.net, decoder.net.config.grid
    codes = torch.zeros(len(seeds), grid * grid, dtype=torch.int64)
    first = 0
    if start is not None:
        first = start.numel()
        codes[:, :first] = start.flatten()
    text = tokens.expand(len(seeds), -1)
    for i in range(first, grid * grid):
        logits = net(text, codes)[1][:, i]
        if guidance != 1.0:
            uncond = net(torch.full_like(text, PAD), codes)[1][:, i]
            logits = uncond + guidance * (logits - uncond)
        logits = logits / max(temperature, 1e-6)
        if top_k is not None:
            logits = logits.masked_fill(logits < logits.topk(top_k).values[:, -1:], -torch.inf)
        gumbel = -torch.log(-torch.log(seeds.uniform(logits.shape[1]).clamp(1e-9, 1 - 1e-7)))
        codes[:, i] = (logits + gumbel).argmax(dim=1)
        if (i + 1) % grid == 0:
            x = codes.view(-1, grid, grid).clone()
            x[:, (i + 1) // grid :] = -1
            yield Step(i // grid, grid, x, x)
