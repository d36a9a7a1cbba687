"""The diffusion prior: from a caption to CLIP's image embedding (arXiv:2204.06125, section 2.2)."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armchair.core.rng import SeedBatch
from armchair.dalle2.config import PriorConfig
from armchair.dalle2.scale import Standardise
from armchair.diffusion.drawing import apart
from armchair.diffusion.guidance import guided
from armchair.diffusion.prediction import Output, clipped, denoiser
from armchair.diffusion.samplers import analytic_dpm
from armchair.diffusion.schedule import Schedule
from armchair.nn.embeddings import TimeEmbedding
from armchair.nn.sparse import causal
from armchair.nn.transformer import Block, init_blocks

LEVELS = 64  # noise levels at which the power of the predicted noise is measured, the paper's steps


class Words(TypedDict):
    """What an embedding is drawn from, computed once for all steps. B captions."""

    words: Tensor  # (B, L, W)
    keep: Tensor  # (B, L) bool, False is no word
    text: Tensor  # (B, 1, W) of CLIP's text embedding


class Prior(nn.Module):
    """Predict the clean embedding from a noised one. One causal sequence, read at its last place:

        [ words: L | text_emb | time | noised image_emb | query ]        L + 4 places

    x is embeddings as `scale` gives them. B batch, L places, Z numbers of a CLIP embedding, W width. A hidden
    caption has no words and a learned vector in place of its text_emb, or is the empty text.
    """

    gamma: Tensor

    def __init__(self, config: PriorConfig):
        super().__init__()
        self.config = config
        width = config.width
        if config.words == "tokens":
            self.token_embedding = nn.Embedding(config.vocab, width)
        else:
            self.words_in = nn.Linear(config.text_width, width)
        self.scale = Standardise(config.embed)
        self.text_in = nn.Linear(config.embed, width)
        self.no_text = nn.Parameter(torch.zeros(width))
        self.time_in = TimeEmbedding(width, width)
        self.image_in = nn.Linear(config.embed, width)
        self.start_of_query = nn.Parameter(torch.empty(width))
        self.word_position = nn.Embedding(config.length, width)
        self.position = nn.Embedding(4, width)  # of the last four places
        self.blocks = nn.ModuleList(
            Block(width, config.heads, qk_norm=config.qk_norm) for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, config.embed)
        # E |eps|^2 / Z of the predicted noise at LEVELS levels, for Analytic-DPM; 1 is as much as the truth
        self.register_buffer("gamma", torch.ones(min(LEVELS, config.steps)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for module in self.children():
            if isinstance(module, nn.Embedding | nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.start_of_query, std=0.02)
        init_blocks(self.blocks)

    def read(self, words: Tensor, keep: Tensor, text_emb: Tensor, shown: Tensor) -> Words:
        """words: tokens (B, L) of CLIP, or its last states (B, L, text_width), as the config says; keep
        (B, L) bool; text_emb (B, Z); shown (B,) bool: False hides the caption
        """
        words, keep = words[:, : self.config.length], keep[:, : self.config.length] & shown[:, None]
        kind = self.out.weight.dtype
        h = (
            self.token_embedding(words) if self.config.words == "tokens" else self.words_in(words.to(kind))
        )  # (B, L, W)
        text = self.text_in(self.scale(text_emb.float()).to(kind))
        text = torch.where(shown[:, None], text, self.no_text)  # (B, W)
        return {"words": h + self.word_position.weight[: h.shape[1]], "keep": keep, "text": text[:, None]}

    def forward(self, x: Tensor, t: Tensor, *, words: Tensor, keep: Tensor, text: Tensor) -> Tensor:
        """x (B, Z) noised, t (B,), the rest as in Words -> (B, Z) the clean embedding, scaled"""
        kind = self.out.weight.dtype
        ends = torch.stack(
            [text[:, 0], self.time_in(t), self.image_in(x.to(kind)), self.start_of_query.expand(len(x), -1)],
            dim=1,
        )  # (B, 4, W)
        h = torch.cat([words, ends + self.position.weight], dim=1)  # (B, L + 4, W)
        keep = F.pad(keep, (0, 4), value=True)
        for block in self.blocks:
            h = block(h, causal(h.shape[1]), keep)
        return self.out(self.norm(h[:, -1]))

    def schedule(self, steps: int) -> Schedule:
        return self.config.levels_of_noise.respace(steps)

    def gamma_at(self, schedule: Schedule) -> Tensor:
        """(N,) float64: the measured noise power at the levels of a schedule, interpolated in time"""
        levels = self.config.levels_of_noise
        places = levels.respace(len(self.gamma)).times.numpy()
        return torch.from_numpy(np.interp(schedule.times.numpy(), places, self.gamma.double().cpu().numpy()))

    @torch.no_grad()
    def sample(
        self,
        cond: Words,
        uncond: Words | None,
        text_emb: Tensor,
        seeds: SeedBatch,
        *,
        steps: int,
        guidance: float,
    ) -> Tensor:
        """cond and uncond of one caption, text_emb (1, Z) -> (B, Z), one a seed, about as long as CLIP's: of
        the candidates C the one nearest to the text's
        """
        schedule = self.schedule(steps)
        output = apart(lambda rows: self._output(cond, uncond, guidance, rows), len(seeds), text_emb.device)
        denoise = denoiser(output, schedule, "x0")
        if self.config.limit is not None:
            denoise = clipped(denoise, schedule, self.config.limit)
        x = seeds.normal(self.config.candidates, self.config.embed)  # (B, C, Z)
        *_, last = analytic_dpm(denoise, x, schedule, self.gamma_at(schedule), seeds)
        z = self.scale.back(last.x0)  # (B, C, Z)
        nearer = (F.normalize(z, dim=-1) @ text_emb.to(z)[0]).argmax(dim=1)  # (B,)
        return z[torch.arange(len(z), device=z.device), nearer]

    def _output(self, cond: Words, uncond: Words | None, guidance: float, rows: slice) -> Output:
        """For the pictures `rows`, each with its candidates beside it in the network's batch."""
        candidates = self.config.candidates
        count = candidates * (rows.stop - rows.start)
        both = [None if given is None else _repeated(given, count) for given in (cond, uncond)]
        assert both[0] is not None
        output = guided(self, both[0], both[1], guidance)

        def each(x: Tensor, t: Tensor) -> Tensor:
            """x (R, C, Z), t (R,)"""
            return output(x.flatten(0, 1), t.repeat_interleave(candidates)).view(x.shape)

        return each


def _repeated(given: Words, count: int) -> dict[str, Tensor]:
    return {
        "words": given["words"].expand(count, -1, -1),
        "keep": given["keep"].expand(count, -1),
        "text": given["text"].expand(count, -1, -1),
    }
