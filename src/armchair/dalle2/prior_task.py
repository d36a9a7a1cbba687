"""Training the diffusion prior (arXiv:2204.06125, section 2.2 and appendix C)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from armchair.clip.config import ClipConfig
from armchair.clip.text import keep_of
from armchair.core.bundle import Bundle, Component, Shared
from armchair.core.config import from_json, to_json
from armchair.core.errors import BadInput
from armchair.core.images import contact_sheet
from armchair.core.packing import fill_module, pack, unpack
from armchair.core.parts import ready
from armchair.core.rng import SeedBatch
from armchair.core.task import Batch, Sample, Source
from armchair.dalle2.config import PriorConfig
from armchair.dalle2.parts import check_stages
from armchair.dalle2.prior import Prior, Words
from armchair.dalle2.scale import Scaling
from armchair.dalle2.stage import ROWS, Stage, agreement, pixels_of, seeds_of
from armchair.data.captions import CaptionMix
from armchair.diffusion.loss import noised, simple
from armchair.diffusion.prediction import denoiser
from armchair.diffusion.samplers import noise_power

if TYPE_CHECKING:
    from PIL import Image

FITTED = 1_024  # pictures whose embeddings give the scale, and whose first 256 the noise power
MEASURED = 256  # pictures that the noise power of Analytic-DPM is measured on
DRAWN = 64  # captions that evaluation draws embeddings for, at most
SHOWN = 8  # captions of the preview sheet


@dataclass(frozen=True, kw_only=True)
class PriorSampling:
    """How embeddings are drawn where the person says nothing; the paper's steps (appendix C)."""

    prior: str = "diffusion"
    prior_steps: int = 64
    prior_guidance: float = 1.0  # 1 is off


@dataclass(frozen=True, kw_only=True)
class PriorTaskConfig:
    """How to train the diffusion prior. Widths of CLIP and its vocabulary are CLIP's own."""

    net: PriorConfig = field(default_factory=PriorConfig)
    drop_text: float = 0.1  # share of captions hidden, their embedding too (section 2.2)
    scale: Scaling = "constant"  # of the embeddings, or fitted to those of the data
    measured: bool = True  # the power of the predicted noise, for Analytic-DPM; else that of the truth (DDPM)
    captions: CaptionMix = field(default_factory=CaptionMix)
    bpe_dropout: float = 0.0  # of merges, in training only
    image_size: int | None = None  # pixels per side that pictures are cut to; None: CLIP's
    storage: str = "float16"  # of the weights in the bundle
    golden_prompt: str = "a red apple"
    sampling: PriorSampling = field(default_factory=PriorSampling)

    shipped_stages: ClassVar[Mapping[str, str]] = {"clip": "clip"}

    def __post_init__(self) -> None:
        for name in ("drop_text", "bpe_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadInput(f"task.{name}={getattr(self, name)}: a share from 0 to 1 is needed")
        if not self.net.unit and self.scale == "constant":
            raise BadInput("task.scale=constant is for embeddings of length one: task.scale=fitted is needed "
                           "with task.net.unit=false")  # fmt: skip

    def build(self, using: Mapping[str, Bundle], init: Bundle | None) -> PriorTask:
        """using: `clip` (needed), and other stages that the bundle is to hold too; with `decoder` it draws.
        init: a bundle whose prior to go on from.

        Raises BadInput for a stage that is missing, unknown or made with another CLIP.
        """
        check_stages(using, "prior", self.net.unit)
        clip = from_json(ClipConfig, using["clip"].config("clip"), "clip")
        net = replace(
            self.net,
            embed=clip.embed,
            vocab=clip.text.vocab,
            text_width=clip.text.width,
            length=min(self.net.length, clip.text.length),
        )
        task = PriorTask(replace(self, net=net), using)
        if init is not None:
            fill_module(task.net, init.tensors("prior"), "prior")
        return task


class PriorTask(Stage):
    """One network, `net`; CLIP stands frozen beside it."""

    own = "prior"
    net: Prior

    def __init__(self, config: PriorTaskConfig, using: Mapping[str, Bundle]):
        super().__init__(
            Prior(config.net), using, config.captions, config.golden_prompt, to_json(config.sampling)
        )
        self.config = config
        self.side = self.embedder.image_size if config.image_size is None else config.image_size
        self.schedule = config.net.levels_of_noise
        self._measured: tuple[Tensor, Tensor] | None = None

    def prepare(self, source: Source, rng: torch.Generator) -> None:
        """Note words and languages, choose previews, fit the scale where the recipe says so."""
        self.look(source, rng, SHOWN)
        z, _, tokens = self.embeddings(source, FITTED, rng, self.side)
        self._measured = z[:MEASURED], tokens[:MEASURED]
        if self.config.scale == "fitted":
            self.net.scale.fit(z.to(self.net.scale.mean))

    def example(self, sample: Sample, generator: torch.Generator) -> dict[str, Tensor]:
        """image (3, S, S) uint8, tokens (L,) as CLIP reads them, shown () bool"""
        text = self.config.captions.pick(sample, generator).text
        hidden = torch.rand((), generator=generator).item() < self.config.drop_text
        return {
            "image": pixels_of(sample, self.side),
            "tokens": self.embedder.tokens(text, self.config.bpe_dropout, generator),
            "shown": torch.tensor(not hidden),
        }

    def counts(self, data: dict[str, Tensor]) -> dict[str, float]:
        return {"samples": float(len(data["image"]))}

    def loss(self, batch: Batch, rng: SeedBatch) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Squared error of the clean embedding itself (section 2.2)."""
        z = self.embedder.image_emb(batch.data["image"])
        t, eps = rng.randint(0, len(self.schedule)), rng.normal(z.shape[1])
        words, _ = self.read(batch.data["tokens"], batch.data["shown"])
        x0 = self.net.scale(z)
        output = self.net(noised(x0, eps, t, self.schedule), t, **words)
        each = simple(output.float(), x0, eps, t, self.schedule, "x0")  # (B,)
        return each.sum() / batch.totals["samples"], {}

    def read(self, tokens: Tensor, shown: Tensor) -> tuple[Words, Tensor]:
        """tokens (B, L), shown (B,) bool: False hides the caption -> what the network reads, and text_emb
        (B, Z)
        """
        longest = int(keep_of(tokens).sum(dim=1).max())
        if self.net.config.hidden == "empty":
            tokens = torch.where(shown[:, None], tokens, self.embedder.tokens("").to(tokens))
            shown = torch.ones_like(shown)
        text_emb, text_seq, keep = self.embedder.words(tokens)
        words = tokens if self.net.config.words == "tokens" else text_seq
        return self.net.read(words[:, :longest], keep[:, :longest], text_emb, shown), text_emb

    def preview(self, rng: SeedBatch) -> Image.Image | None:
        """Pictures for captions of the data; None where there is no decoder to draw them."""
        pipeline = self.pipeline(lambda: self.net)
        if pipeline is None:
            return None
        drawn = self.drawn(pipeline, self.prompts, rng.seeds)
        return contact_sheet(drawn, columns=4, labels=self.prompts[: len(drawn)], cell=128)

    def evaluate(self, source: Source, n: int) -> dict[str, float]:
        """Squared error over all noise levels evenly, and how embeddings drawn for captions fit those of
        their pictures.
        """
        device, total = self.embedder.device, 0.0
        truth, texts, drawn = [], [], []
        for start in range(0, n, ROWS):
            rows = range(start, min(n, start + ROWS))
            samples = [source[i % len(source)] for i in rows]
            pick = [
                self.config.captions.pick(s, torch.Generator().manual_seed(i)) for i, s in enumerate(samples)
            ]
            tokens = torch.stack([self.embedder.tokens(caption.text) for caption in pick]).to(device)
            z = self.embedder.image_emb(torch.stack([pixels_of(s, self.side) for s in samples]))
            rng = seeds_of(rows, device)
            t, eps = (
                torch.tensor([i * len(self.schedule) // n for i in rows], device=device),
                rng.normal(z.shape[1]),
            )
            x0 = self.net.scale(z)
            everything = torch.ones(len(rows), dtype=torch.bool, device=device)
            words, text_emb = self.read(tokens, everything)
            output = self.net(noised(x0, eps, t, self.schedule), t, **words)
            total += simple(output.float(), x0, eps, t, self.schedule, "x0").sum().item()
            for i, row in enumerate(rows):
                if row < DRAWN:
                    drawn.append(self._draw(tokens[i : i + 1], row))
                    truth.append(z[i])
                    texts.append(text_emb[i])
        fit = agreement(torch.cat(drawn), torch.stack(truth), torch.stack(texts))
        return {"loss": total / n, **fit}

    def _draw(self, tokens: Tensor, seed: int) -> Tensor:
        """tokens (1, L) -> (1, Z), as the bundle draws by default"""
        sampling, device = self.config.sampling, tokens.device
        shown, hidden = (torch.tensor([value], device=device) for value in (True, False))
        cond, text_emb = self.read(tokens, shown)
        uncond = None if sampling.prior_guidance == 1 else self.read(tokens, hidden)[0]
        return self.net.sample(
            cond,
            uncond,
            text_emb,
            SeedBatch([seed], device),
            steps=sampling.prior_steps,
            guidance=sampling.prior_guidance,
        )

    def components(self) -> dict[str, Component | Shared]:
        """The prior with its noise power, and the components of the other stages."""
        self.measure()
        config, tensors = to_json(self.net.config), self.net.state_dict()
        own = Component(config=config, tensors=tensors, storage=self.config.storage)
        return {**self.carried(), "prior": own}

    @torch.no_grad()
    def measure(self) -> None:
        """Fill the network's `gamma`: E |eps|^2 / Z of the predicted noise (arXiv:2201.06503)."""
        if not self.config.measured:
            self.net.gamma.fill_(1)
            return
        assert self._measured is not None
        z, tokens = self._measured
        device = self.embedder.device
        levels = self.schedule.respace(len(self.net.gamma))
        words, _ = self.read(tokens.to(device), torch.ones(len(tokens), dtype=torch.bool, device=device))
        denoise = denoiser(lambda x, t: self.net(x, t, **words).float(), levels, "x0")
        power = noise_power(denoise, [self.net.scale(z)], levels, SeedBatch(range(len(z)), device))
        self.net.gamma.copy_(power)

    def golden(self) -> tuple[str, int, Image.Image] | None:
        """Drawn with the weights as the bundle stores them; None where there is no decoder."""
        return self.draw_golden(self._stored)

    def _stored(self) -> Prior:
        net = Prior(self.net.config)
        fill_module(net, unpack(pack(self.net.state_dict(), self.config.storage)), "prior")
        return ready(net, self.embedder.device, torch.float32)
