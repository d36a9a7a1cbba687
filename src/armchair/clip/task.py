"""Training CLIP on pictures with words (arXiv:2103.00020, sections 2.3 to 2.5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from armchair.clip.config import ClipConfig
from armchair.clip.contrast import check_whole, contrastive_rows
from armchair.clip.network import MAX_LOG_SCALE, Clip
from armchair.clip.preprocess import random_square, softened
from armchair.clip.scores import Encoders, retrieval_scores, zero_shot_scores
from armchair.clip.text import tokens_of
from armchair.core.bundle import Bundle, Component, Shared
from armchair.core.config import from_json, to_json
from armchair.core.errors import BadInput
from armchair.core.packing import fill_module
from armchair.core.rng import SeedBatch
from armchair.core.task import Batch, Sample, Source
from armchair.data.captions import CaptionMix, captions_of
from armchair.text.bpe import BPE
from armchair.text.tokenizer import AnyBPE, tokenizer_of

FITTED = 20_000  # samples whose captions a BPE is fitted on
GLANCE = 1_000  # samples whose languages are noted where the BPE is given
SMALLEST = 0.4  # of its side: how small a softened picture was drawn at least


@dataclass(frozen=True, kw_only=True)
class ClipTaskConfig:
    """How to train the two towers."""

    net: ClipConfig = field(default_factory=ClipConfig)
    bpe: Literal["shared", "fit"] = "fit"  # the BPE of bundle `text`, or one fitted to the captions
    bpe_dropout: float = 0.0  # of merges, in training only; not in the paper
    soften: float = 0.0  # share of pictures shrunk and grown again: soft ones are read too. Not in the paper
    captions: CaptionMix = field(default_factory=CaptionMix)
    chunk: int = 0  # samples whose activations are kept at a time, for a third more work; 0: all
    storage: str = "float16"  # of the weights in the bundle

    shipped_stages: ClassVar[Mapping[str, str]] = {"text": "text"}

    def __post_init__(self) -> None:
        if self.chunk < 0:
            raise BadInput(f"task.chunk={self.chunk}: a number of samples, or 0 for all at once, is needed")
        if not 0 <= self.soften <= 1:
            raise BadInput(f"task.soften={self.soften}: a share from 0 to 1 is needed")

    def build(self, using: Mapping[str, Bundle], init: Bundle | None) -> ClipTask:
        """using: `text` (for bpe="shared"). init: a clip bundle to go on from.

        Raises BadInput for a stage that is missing or unknown.
        """
        unknown = sorted(set(using) - {"text"})
        if unknown:
            raise BadInput(f"--using {unknown[0]}: CLIP builds on text alone")
        home, net = using.get("text") if init is None else init, self.net
        bpe = shared = None
        if self.bpe == "shared" or init is not None:
            if home is None:
                raise BadInput('bpe="shared" needs a tokenizer: --using text=BUNDLE, or --set task.bpe=fit')
            bpe, shared = tokenizer_of(home)
            net = replace(net, text=replace(net.text, vocab=bpe.vocab + 2))
        if init is not None:  # a fitted BPE may need fewer entries than the network has
            net = replace(net, text=from_json(ClipConfig, init.config("clip"), "clip").text)
        task = ClipTask(replace(self, net=net), bpe, shared)
        if init is not None:
            fill_module(task.net, init.tensors("clip"), "clip")
        return task


class ClipTask:
    """One network, `net`: both towers."""

    bundle_kind = "clip"
    defaults: Mapping[str, float] = {}

    def __init__(self, config: ClipTaskConfig, bpe: AnyBPE | None, shared: Shared | None):
        """shared: where the BPE lies, if it ships; None: the bundle gets a copy."""
        self.config = config
        self.net = Clip(config.net)
        self.bpe = bpe
        self.shared = shared
        self.languages: tuple[str, ...] = ()

    def prepare(self, source: Source, rng: torch.Generator) -> None:
        """Fit the BPE where the recipe says so, note the languages that occur."""
        read = FITTED if self.bpe is None else GLANCE
        seen = [c for i in range(min(len(source), read)) for c in captions_of(source, i)]
        if not seen:
            raise BadInput("these pictures have no captions, and CLIP learns from captions")
        if self.bpe is None:
            self.bpe = BPE.train((c.text for c in seen), self.config.net.text.vocab - 2)
        self.languages = tuple(sorted({c.language for c in seen if c.language}))

    def example(self, sample: Sample, generator: torch.Generator) -> dict[str, Tensor]:
        """image (3, S, S) uint8, tokens (L,)"""
        assert self.bpe is not None
        u = torch.rand(3, dtype=torch.float64, generator=generator).tolist()
        pixels = random_square(sample.image, self.config.net.image_size, u[0])
        if u[1] < self.config.soften:
            pixels = softened(pixels, SMALLEST + (1 - SMALLEST) * u[2])
        text = self.config.captions.pick(sample, generator).text
        ids = self.bpe.encode(text, self.config.bpe_dropout, generator)
        image = torch.tensor(pixels).permute(2, 0, 1)
        return {"image": image, "tokens": tokens_of(ids, self.config.net.text)}

    def counts(self, data: dict[str, Tensor]) -> dict[str, float]:
        return {"samples": float(len(data["tokens"]))}

    def loss(self, batch: Batch, rng: SeedBatch) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Half the cross-entropy of the pictures' captions, half that of the captions' pictures (figure 3).

        Each process has its rows of the matrix of similarities (section 2.5). Raises BadInput where the batch
        comes in micro-batches: a share of it knows too few wrong answers.
        """
        rows, all_rows = len(batch), batch.totals["samples"]
        check_whole(rows, all_rows, f", and --set task.chunk={rows} to need no more memory")
        with torch.no_grad():  # the paper's bound on the scale, kept after each update (section 2.5)
            self.net.logit_scale.clamp_(max=MAX_LOG_SCALE)
        image_emb = self._chunked(self.net.encode_image, batch.data["image"].float() / 255)
        text_emb = self._chunked(self.net.text.pooled, batch.data["tokens"])
        with torch.autocast(image_emb.device.type, enabled=False):
            image_emb, text_emb = (F.normalize(x.float(), dim=-1) for x in (image_emb, text_emb))
            to_text, to_image = contrastive_rows(image_emb, text_emb, self.net.scale)
        loss = 0.5 * (to_text.sum() + to_image.sum()) / all_rows
        logged = {"to_text": to_text, "to_image": to_image, "scale": self.net.scale.expand(rows)}
        return loss, {name: value.detach().sum() / all_rows for name, value in logged.items()}

    def _chunked(self, encode: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """encode(x), of which the backward pass computes each chunk again, one at a time."""
        size = self.config.chunk
        if size == 0 or not torch.is_grad_enabled():
            return encode(x)
        return torch.cat([checkpoint(encode, part, use_reentrant=False) for part in x.split(size)])

    def preview(self, rng: SeedBatch) -> None:
        """It draws nothing."""
        return None

    def evaluate(self, source: Source, n: int) -> dict[str, float]:
        """Retrieval among n samples, and zero-shot naming of those that show one known thing, by language."""
        samples = [source[i % len(source)] for i in range(n)]
        encoders = Encoders(self._image_emb, self._text_emb)
        return {**retrieval_scores(encoders, samples), **zero_shot_scores(encoders, samples)}

    def components(self) -> dict[str, Component | Shared]:
        """`clip`, and the tokenizer `text`: the shipped one is pointed at, a fitted one copied."""
        assert self.bpe is not None
        net = Component(
            config=to_json(self.net.config), tensors=self.net.state_dict(), storage=self.config.storage
        )
        copy = Component(config={"vocab": self.bpe.vocab}, file=self.bpe.save(), storage="file")
        return {"clip": net, "text": copy if self.shared is None else self.shared}

    def golden(self) -> None:
        return None

    def _image_emb(self, samples: Sequence[Sample]) -> Tensor:
        """(B, E), the middle squares"""
        size, device = self.config.net.image_size, self.net.logit_scale.device
        pixels = [torch.tensor(random_square(s.image, size, 0.5)).permute(2, 0, 1) for s in samples]
        return self.net.encode_image(torch.stack(pixels).to(device).float() / 255)

    def _text_emb(self, texts: Sequence[str]) -> Tensor:
        """(B, E)"""
        assert self.bpe is not None
        rows = [tokens_of(self.bpe.encode(text), self.config.net.text) for text in texts]
        return self.net.text.pooled(torch.stack(rows).to(self.net.logit_scale.device))
