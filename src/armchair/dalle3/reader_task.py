"""Training the reader of a latent model alone, before the U-Net listens to it: not in the paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armchair.core.errors import BadInput
from armchair.core.rng import SeedBatch
from armchair.core.task import Batch, Source
from armchair.dalle3.latent_task import ROWS, LatentTask
from armchair.dalle3.shapes import by_shape, raised
from armchair.dalle3.text_encoder import by_length, trimmed
from armchair.nn.attention import attend

if TYPE_CHECKING:
    from armchair.core.bundle import Bundle
    from armchair.dalle3.latent_task import LatentTaskConfig
    from armchair.nn.autoencoder import Autoencoder

SIDE = 4  # cells per side of the coarse picture
HEAD_WIDTH = 32
MLP = 4  # times the width


class CoarsePicture(nn.Module):
    """The picture that is to be expected of a caption, in SIDE x SIDE cells: a learned query a cell,
    attention over the caption's states, an MLP.

    B batch, L tokens, W width, C channels of a latent.
    """

    def __init__(self, width: int, channels: int):
        super().__init__()
        self.queries = nn.Parameter(0.5 * torch.randn(SIDE**2, width))
        self.queries.no_muon = True  # type: ignore[attr-defined]
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.keys = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, MLP * width), nn.GELU(), nn.Linear(MLP * width, channels)
        )

    def forward(self, text_seq: Tensor, keep: Tensor) -> Tensor:
        """text_seq (B, L, W), keep (B, L) bool: False is no token -> (B, C, SIDE, SIDE)"""
        keys, values = self.keys(self.norm(text_seq)).chunk(2, dim=-1)
        query = self.query(self.queries).expand(len(keys), -1, -1)
        heads = (-1, min(HEAD_WIDTH, text_seq.shape[2]))
        q, k, v = (part.unflatten(-1, heads).transpose(1, 2) for part in (query, keys, values))
        found = attend(q, k, v, mask=keep[:, None, None, :]).transpose(1, 2).flatten(2)
        return self.mlp(self.queries + self.out(found)).mT.unflatten(2, (SIDE, SIDE))


class ReaderTask(LatentTask):
    """The U-Net stands still; `coarse`, which no bundle holds, judges what the reader makes of captions. It
    sees several times as many captions a second as with the U-Net behind it.
    """

    def __init__(
        self,
        config: LatentTaskConfig,
        using: Mapping[str, Bundle],
        coder: Autoencoder,
        bpe: Any,
        init: Bundle | None,
    ):
        if config.net.reader is None:
            raise BadInput("task.reader_alone trains a reader, and task.net.reader is null")
        super().__init__(config, using, coder, bpe, init)
        self.net.requires_grad_(False)
        self.coarse = CoarsePicture(config.net.words.width, config.net.channels)
        self.net.coarse = self.coarse  # so that it is trained, and stays out of the denoiser's bundle
        assert self.net.denoiser.reader is not None
        self.net.denoiser.reader.requires_grad_()

    def loss(self, batch: Batch, rng: SeedBatch) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Mean squared error of the coarse picture."""
        found = self.errors(batch.data)
        return found.sum() / batch.totals["samples"], {}

    def errors(self, data: Mapping[str, Tensor]) -> Tensor:
        """(B,) of the latents' means in SIDE x SIDE cells"""
        each = torch.zeros(len(data["image"]), device=self.device)
        for index, rows in by_shape(data["shape"], self._grids):
            image = raised(data["image"][rows], self._pictures[index])
            coarse = F.adaptive_avg_pool2d(self.net.denoiser.scale(self.encode(image)), SIDE)
            for part in by_length(data["tokens"][rows], self.config.net.words):
                at = rows[part]
                tokens, keep = trimmed(data["tokens"][at], self.config.net.words)
                found = self.coarse(self.read(tokens, keep), keep)
                each = each.index_put((at,), (found.float() - coarse[part]).square().mean(dim=(1, 2, 3)))
        return each

    def evaluate(self, source: Source, n: int) -> dict[str, float]:
        """Mean squared error of the coarse picture."""
        errors = []
        for start in range(0, n, ROWS):
            rows = range(start, min(n, start + ROWS))
            errors.append(self.errors(self._plain([source[i % len(source)] for i in rows], self.device)))
        return {"coarse": torch.cat(errors).mean().item()}

    def preview(self, rng: SeedBatch) -> None:
        """Nothing: the U-Net learns to listen afterwards."""
