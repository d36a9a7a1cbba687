"""Training the autoregressive prior (arXiv:2204.06125, section 2.2 and appendix C)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from armchair.clip.config import ClipConfig
from armchair.core.bundle import Bundle, Component, Shared
from armchair.core.config import from_json, to_json
from armchair.core.errors import BadInput
from armchair.core.images import contact_sheet
from armchair.core.packing import fill_module, pack, unpack
from armchair.core.parts import ready
from armchair.core.rng import SeedBatch
from armchair.core.task import Batch, Sample, Source
from armchair.dalle2.ar_prior import ArPrior, Prefix
from armchair.dalle2.config import ArPriorConfig
from armchair.dalle2.parts import check_stages, join_pca, split_pca, tokenizer
from armchair.dalle2.scale import Scaling
from armchair.dalle2.stage import ROWS, Stage, agreement, pixels_of
from armchair.data.captions import CaptionMix

if TYPE_CHECKING:
    from PIL import Image

DRAWN = 64  # captions that evaluation draws embeddings for, at most
SHOWN = 8  # captions of the preview sheet


@dataclass(frozen=True, kw_only=True)
class ArPriorSampling:
    """How embeddings are drawn where the person says nothing."""

    prior: str = "ar"
    prior_guidance: float = 1.0  # 1 is off


@dataclass(frozen=True, kw_only=True)
class ArPriorTaskConfig:
    """How to train the autoregressive prior. Widths of CLIP and its vocabulary are CLIP's own."""

    net: ArPriorConfig = field(default_factory=ArPriorConfig)
    fitted: int = 16_384  # pictures that the principal components and their buckets are fitted to
    drop_text: float = 0.1  # share of captions hidden, their embedding too (section 2.2)
    scale: Scaling = "constant"  # of CLIP's text embeddings, or fitted to those of the data
    captions: CaptionMix = field(default_factory=CaptionMix)
    bpe_dropout: float = 0.0  # of merges, in training only
    image_size: int | None = None  # pixels per side that pictures are cut to; None: CLIP's
    storage: str = "float16"  # of the weights in the bundle
    golden_prompt: str = "a red apple"
    sampling: ArPriorSampling = field(default_factory=ArPriorSampling)

    shipped_stages: ClassVar[Mapping[str, str]] = {"clip": "clip"}

    def __post_init__(self) -> None:
        for name in ("drop_text", "bpe_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadInput(f"task.{name}={getattr(self, name)}: a share from 0 to 1 is needed")
        if self.fitted < 2:
            raise BadInput(f"task.fitted={self.fitted}: at least 2 pictures are needed")

    def build(self, using: Mapping[str, Bundle], init: Bundle | None) -> ArPriorTask:
        """using: `clip` (needed), and other stages that the bundle is to hold too; with `decoder` it draws.
        init: a bundle whose autoregressive prior to go on from, its codes included.

        Raises BadInput for a stage that is missing, unknown or made with another CLIP.
        """
        check_stages(using, "ar_prior")
        clip = from_json(ClipConfig, using["clip"].config("clip"), "clip")
        caption = self.net.caption
        if caption is not None:
            caption = replace(caption, vocab=tokenizer(using["clip"]).vocab)
        net = replace(self.net, embed=clip.embed, text_width=clip.text.width, caption=caption)
        task = ArPriorTask(replace(self, net=net), using, fit=init is None)
        if init is not None:
            fill_module(task.net, join_pca(init.tensors("ar_prior"), init.tensors("pca")), "ar_prior")
        return task


class ArPriorTask(Stage):
    """One network, `net`, which holds the codes; CLIP stands frozen beside it."""

    own = "ar_prior"
    net: ArPrior

    def __init__(self, config: ArPriorTaskConfig, using: Mapping[str, Bundle], fit: bool = True):
        """fit: find the components and buckets in `prepare`"""
        super().__init__(
            ArPrior(config.net), using, config.captions, config.golden_prompt, to_json(config.sampling)
        )
        self.config = config
        self.side = self.embedder.image_size if config.image_size is None else config.image_size
        self._fit = fit

    def prepare(self, source: Source, rng: torch.Generator) -> None:
        """Note words and languages, choose previews, fit the components, their buckets and the scale."""
        self.look(source, rng, SHOWN)
        if self._fit:
            z, text_emb, _ = self.embeddings(source, self.config.fitted, rng, self.side)
            z, text_emb = z.to(self.net.codes.mean), text_emb.to(self.net.codes.mean)
            self.net.codes.fit(z, (z * text_emb).sum(dim=-1))
            if self.config.scale == "fitted":
                self.net.scale.fit(text_emb)

    def example(self, sample: Sample, generator: torch.Generator) -> dict[str, Tensor]:
        """image (3, S, S) uint8, tokens (L,) as CLIP reads them, caption: those of the own encoder, shown ()
        bool
        """
        text = self.config.captions.pick(sample, generator).text
        ids = self.embedder.bpe.encode(text, self.config.bpe_dropout, generator)
        hidden = torch.rand((), generator=generator).item() < self.config.drop_text
        return {
            "image": pixels_of(sample, self.side),
            "tokens": self.embedder.tokens_of(ids),
            "caption": self.net.caption_of(ids),
            "shown": torch.tensor(not hidden),
        }

    def counts(self, data: dict[str, Tensor]) -> dict[str, float]:
        return {"codes": float(len(data["image"]) * self.net.codes.components)}

    def loss(self, batch: Batch, rng: SeedBatch) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Cross-entropy in nats a code."""
        return self.nats(batch.data).sum() / batch.totals["codes"], {}

    def nats(self, data: Mapping[str, Tensor]) -> Tensor:
        """(B, K) nats of each code"""
        z = self.embedder.image_emb(data["image"])
        prefix, text_emb = self.read(data["tokens"], data["caption"], data["shown"])
        codes, dot = self.net.codes.encode(z), self.net.codes.dot_code((z * text_emb).sum(dim=-1))
        logits = self.net(codes, dot, prefix)  # (B, K, Q)
        return F.cross_entropy(logits.flatten(0, 1), codes.flatten(), reduction="none").view_as(codes)

    def read(self, tokens: Tensor, caption: Tensor, shown: Tensor) -> tuple[Prefix, Tensor]:
        """tokens (B, L), caption (B, L'), shown (B,) bool -> what the network reads, and text_emb (B, Z)"""
        text_emb, text_seq, keep = self.embedder.words(tokens)
        longest = int(keep.sum(dim=1).max())
        words = (text_seq[:, :longest], keep[:, :longest])
        if self.net.caption is not None:
            words = (caption, torch.ones_like(caption, dtype=torch.bool))
        return self.net.read(*words, text_emb, shown), text_emb

    def preview(self, rng: SeedBatch) -> Image.Image | None:
        """Pictures for captions of the data; None where there is no decoder to draw them."""
        pipeline = self.pipeline(lambda: self.net)
        if pipeline is None:
            return None
        drawn = self.drawn(pipeline, self.prompts, rng.seeds)
        return contact_sheet(drawn, columns=4, labels=self.prompts[: len(drawn)], cell=128)

    def evaluate(self, source: Source, n: int) -> dict[str, float]:
        """Nats a code, of the first tenth of the components too; how much of the embedding the codes keep;
        and how embeddings drawn for captions fit those of their pictures.
        """
        device = self.embedder.device
        nats, kept = [], []
        truth, texts, drawn = [], [], []
        for start in range(0, n, ROWS):
            rows = range(start, min(n, start + ROWS))
            examples = [self._plain(source[i % len(source)], i) for i in rows]
            data = {name: torch.stack([e[name] for e in examples]).to(device) for name in examples[0]}
            nats.append(self.nats(data))
            z = self.embedder.image_emb(data["image"])
            kept.append(F.cosine_similarity(self.net.codes.decode(self.net.codes.encode(z)), z, dim=-1))
            for i, row in enumerate(rows):
                if row < DRAWN:
                    one = {name: value[i : i + 1] for name, value in data.items()}
                    z_drawn, text_emb = self._draw(one, row)
                    drawn.append(z_drawn)
                    texts.append(text_emb)
                    truth.append(z[i : i + 1])
        each = torch.cat(nats)  # (N, K)
        fit = agreement(torch.cat(drawn), torch.cat(truth), torch.cat(texts))
        first = max(1, each.shape[1] // 10)
        return {
            "nats": each.mean().item(),
            "nats_first": each[:, :first].mean().item(),
            "cosine_of_codes": torch.cat(kept).mean().item(),
            **fit,
        }

    def _plain(self, sample: Sample, seed: int) -> dict[str, Tensor]:
        """An example with its caption shown, the same one each time."""
        text = self.config.captions.pick(sample, torch.Generator().manual_seed(seed)).text
        ids = self.embedder.bpe.encode(text)
        return {
            "image": pixels_of(sample, self.side),
            "tokens": self.embedder.tokens_of(ids),
            "caption": self.net.caption_of(ids),
            "shown": torch.tensor(True),
        }

    def _draw(self, data: Mapping[str, Tensor], seed: int) -> tuple[Tensor, Tensor]:
        """One example -> (1, Z) as the bundle draws by default, and text_emb (1, Z)"""
        guidance = self.config.sampling.prior_guidance
        cond, text_emb = self.read(data["tokens"], data["caption"], data["shown"])
        uncond = None
        if guidance != 1:
            uncond, _ = self.read(data["tokens"], data["caption"], ~data["shown"])
        rng = SeedBatch([seed], self.embedder.device)
        return self.net.sample(cond, uncond, rng, guidance=guidance), text_emb

    def components(self) -> dict[str, Component | Shared]:
        """The prior, the codes (`pca`) in float32, and the components of the other stages."""
        net, pca = split_pca(self.net.state_dict())
        config, codes = self.net.config, self.net.codes
        return {
            **self.carried(),
            "ar_prior": Component(config=to_json(config), tensors=net, storage=self.config.storage),
            "pca": Component(
                config={"embed": config.embed, "components": codes.components, "buckets": codes.buckets},
                tensors=pca,
                storage="float32",
            ),
        }

    def golden(self) -> tuple[str, int, Image.Image] | None:
        """Drawn with the weights as the bundle stores them; None where there is no decoder."""
        return self.draw_golden(self._stored)

    def _stored(self) -> ArPrior:
        tensors, pca = split_pca(self.net.state_dict())
        net = ArPrior(self.net.config)
        fill_module(net, join_pca(unpack(pack(tensors, self.config.storage)), pca), "ar_prior")
        return ready(net, self.embedder.device, torch.float32)
