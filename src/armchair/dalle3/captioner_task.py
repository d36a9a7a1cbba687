"""Training the captioner: CLIP's contrastive loss and a language model's together (DALL·E 3, section 2.1)."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from armchair.clip.config import ClipConfig
from armchair.clip.contrast import check_whole, contrastive_rows
from armchair.clip.network import MAX_LOG_SCALE
from armchair.clip.preprocess import random_square, softened
from armchair.clip.task import SMALLEST
from armchair.clip.text import tokens_of
from armchair.core.bundle import Bundle, Component, Shared
from armchair.core.config import from_json, to_json
from armchair.core.errors import BadInput
from armchair.core.packing import fill_module, grown, pack, unpack
from armchair.core.rng import SeedBatch
from armchair.core.task import Batch, Caption, Sample, Source, Spot
from armchair.dalle3.captioner import Captioner
from armchair.dalle3.captioner_config import MANNERS, CaptionerConfig
from armchair.dalle3.captioner_pipeline import CaptionerModel
from armchair.data.captions import CaptionMix, captions_of
from armchair.data.world.captions import subject
from armchair.data.world.reading import agreement
from armchair.data.world.scene import Scene
from armchair.text.places import placed
from armchair.text.tokenizer import AnyBPE, tokenizer_of

GLANCE = 1_000  # samples whose languages are noted
GROUPS = 4  # of captions of like length, each computed no longer than its longest
SPOKEN = 64  # pictures that evaluation has captioned, at most
UNNAMED = -100  # of an image token where no caption says what stands


@dataclass(frozen=True, kw_only=True)
class CaptionerTaskConfig:
    """How to train the captioner. Its towers are those of the clip bundle it starts from."""

    net: CaptionerConfig = field(default_factory=CaptionerConfig)
    captions: CaptionMix = field(default_factory=CaptionMix)
    each: int = 1  # captions of a picture that the language model learns; the first is contrasted too
    subject: bool = False  # short captions name the main subject alone, where the source knows it
    captioning: float = 2.0  # weight of the language model's loss (CoCa, section 4.1)
    contrast: float = 1.0  # weight of CLIP's loss; 0: none, as in the fine-tunes
    # weight of the loss of image tokens that each say the name of what stands there, where captions know it:
    # a picture teaches dozens of words so, and not one a thing; not in the papers
    naming: float = 0.0
    # how often the words from the first thing's name to the last one's count, where captions know it: names,
    # colours, counts and relations are a quarter of a long caption; not in the papers
    emphasis: float = 1.0
    soften: float = 0.0  # share of pictures shrunk and grown again, so that soft ones are read too
    bpe_dropout: float = 0.0  # of merges, in training only
    storage: str = "float16"  # of the weights in the bundle

    shipped_stages: ClassVar[Mapping[str, str]] = {"clip": "clip"}

    def __post_init__(self) -> None:
        for name in ("soften", "bpe_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadInput(f"task.{name}={getattr(self, name)}: a share from 0 to 1 is needed")
        for name in ("captioning", "contrast", "naming"):
            if getattr(self, name) < 0:
                raise BadInput(f"task.{name}={getattr(self, name)}: a weight of 0 or more is needed")
        if self.emphasis < 1:
            raise BadInput(f"task.emphasis={self.emphasis}: a factor of 1 or more is needed")
        if self.net.names and self.naming == 0:
            raise BadInput("task.net.names needs image tokens that learn names: task.naming above 0")
        if self.each < 1:
            raise BadInput(f"task.each={self.each}: at least 1 caption is needed")

    def build(self, using: Mapping[str, Bundle], init: Bundle | None) -> CaptionerTask:
        """using: `clip`, whose towers it starts from; its text tower gets `net.clip.text.length` places, of
        which the first are CLIP's own. init: a captioner to go on from, for the two fine-tunes.

        Raises BadInput for a stage that is missing or unknown.
        """
        unknown = sorted(set(using) - {"clip"})
        if unknown:
            raise BadInput(f"--using {unknown[0]}: the captioner builds on clip alone")
        home = using.get("clip") if init is None else init
        if home is None:
            raise BadInput("the captioner starts from CLIP's towers: --using clip=BUNDLE")
        if init is not None:
            net = from_json(CaptionerConfig, init.config("captioner"), "captioner")
            net = replace(net, names=net.names or self.net.names)
        else:
            towers = from_json(ClipConfig, home.config("clip"), "clip")
            length = max(self.net.clip.text.length, towers.text.length)
            net = replace(self.net, clip=replace(towers, text=replace(towers.text, length=length)))
        task = CaptionerTask(replace(self, net=net), *tokenizer_of(home))
        if init is not None:
            tensors = grown(task.net, init.tensors("captioner"), fresh=("name_in",))
            fill_module(task.net, tensors, "captioner")
        else:
            task.start_from(home.tensors("clip"))
        return task


class CaptionerTask:
    """One network, `net`, which holds CLIP's towers."""

    bundle_kind = "captioner"
    defaults: Mapping[str, float] = {}

    def __init__(self, config: CaptionerTaskConfig, bpe: AnyBPE, shared: Shared | None):
        """shared: where the BPE lies, if it ships; None: the bundle gets a copy."""
        self.config, self.bpe, self.shared = config, bpe, shared
        self.net = Captioner(config.net)
        if config.contrast == 0:  # what CLIP's loss alone reads: several processes wait for every gradient
            for still in (self.net.clip.logit_scale, self.net.clip.text.projection):
                still.requires_grad_(False)
        self.languages: tuple[str, ...] = ()

    def start_from(self, clip: Mapping[str, Tensor]) -> None:
        """Fill the towers with a clip bundle's weights; the places beyond CLIP's keep their own."""
        weights = dict(clip)
        name = "text.position_embedding"
        own = self.net.clip.state_dict()[name].clone()
        own[: len(weights[name])] = weights[name]
        fill_module(self.net.clip, {**weights, name: own}, "clip")

    def prepare(self, source: Source, rng: torch.Generator) -> None:
        """Note the languages that occur. Raises BadInput for pictures without words."""
        seen = [c for i in range(min(len(source), GLANCE)) for c in captions_of(source, i)]
        if not seen:
            raise BadInput("these pictures have no captions, and the captioner learns from captions")
        self.languages = tuple(sorted({c.language for c in seen if c.language}))

    def example(self, sample: Sample, generator: torch.Generator) -> dict[str, Tensor]:
        """image (3, S, S) uint8; tokens (K, L) and manner (K,) of `each` = K captions; names (N,) where
        image tokens learn them; stressed (K, L) bool where there is an emphasis
        """
        u = torch.rand(3, dtype=torch.float64, generator=generator).tolist()
        pixels = random_square(sample.image, self.config.net.clip.image_size, u[0])
        if u[1] < self.config.soften:
            pixels = softened(pixels, SMALLEST + (1 - SMALLEST) * u[2])
        chosen = [self._said(sample, generator) for _ in range(self.config.each)]
        rows = [
            tokens_of(
                self.bpe.encode(caption.text, self.config.bpe_dropout, generator), self.config.net.clip.text
            )
            for caption in chosen
        ]
        made = {
            "image": torch.tensor(pixels).permute(2, 0, 1),
            "tokens": torch.stack(rows),
            "manner": torch.tensor([MANNERS.index((c.kind, c.language)) for c in chosen]),
        }
        if self.config.naming > 0:
            whole = sample.image.shape[0] == sample.image.shape[1]  # of others a square is cut
            made["names"] = self._names(chosen[0].spots if whole else (), chosen[0].text)
        if self.config.emphasis > 1:
            made["stressed"] = torch.stack([self._stressed(caption) for caption in chosen])
        return made

    def _stressed(self, caption: Caption) -> Tensor:
        """(L,) bool: the tokens from the end of the first thing's name to the end of the last one's"""
        length = self.config.net.clip.text.length
        row = torch.zeros(length, dtype=torch.bool)
        ends = [place for place, _ in placed(caption, self.bpe.encode, first=1, end=length - 1)]
        if ends:
            row[min(ends) : max(ends) + 1] = True
        return row

    def _names(self, spots: Sequence[Spot], text: str) -> Tensor:
        """(N,) the id that ends the name of what stands at each image token, of several things the smallest;
        UNNAMED elsewhere
        """
        clip = self.config.net.clip
        at = (torch.arange(clip.grid) + 0.5) / clip.grid
        names = torch.full((clip.grid, clip.grid), UNNAMED)
        for spot in sorted(spots, key=lambda spot: -spot.w * spot.h):
            down, across = (at - spot.y).abs() < spot.h / 2, (at - spot.x).abs() < spot.w / 2
            names[down[:, None] & across] = self.bpe.encode(text[: spot.end])[-1]
        return names.flatten()

    def counts(self, data: dict[str, Tensor]) -> dict[str, float]:
        """tokens: those that are predicted, ends among them, as often as they count; named: image tokens that
        are to say a name
        """
        tokens = float(data["tokens"].argmax(dim=-1).sum())
        if "stressed" in data:
            tokens += (self.config.emphasis - 1) * float(data["stressed"].sum())
        counts = {"samples": float(len(data["tokens"])), "tokens": tokens}
        if "names" in data:
            counts["named"] = float((data["names"] != UNNAMED).sum())
        return counts

    def loss(self, batch: Batch, rng: SeedBatch) -> tuple[Tensor, Mapping[str, float | Tensor]]:
        """The weighted sum of all, each of which is logged in nats. Raises BadInput for micro-batches where
        there is a contrastive loss: a share of a batch knows too few wrong answers.
        """
        config, samples = self.config, batch.totals["samples"]
        if config.contrast > 0:
            check_whole(len(batch), samples)
        with torch.no_grad():
            self.net.clip.logit_scale.clamp_(max=MAX_LOG_SCALE)
        image_emb, seen = self.net.see(batch.data["image"].float() / 255)
        text_emb, nats = self._read(batch.data, seen)
        captioning = nats.sum() / batch.totals["tokens"]
        loss, logged = config.captioning * captioning, {"captioning": captioning.detach()}
        if config.contrast > 0:
            with torch.autocast(image_emb.device.type, enabled=False):
                first = text_emb[:: config.each]  # one caption a picture: the others fit it as well
                pair = [F.normalize(x.float(), dim=-1) for x in (image_emb, first)]
                to_text, to_image = contrastive_rows(pair[0], pair[1], self.net.clip.scale)
            contrast = 0.5 * (to_text.sum() + to_image.sum()) / samples
            loss, logged = loss + config.contrast * contrast, {**logged, "contrast": contrast.detach()}
        if config.naming > 0:
            names, where = batch.data["names"], batch.data["names"] != UNNAMED
            said = self.net.names(seen, batch.data["manner"][:, 0], where)
            naming = F.cross_entropy(said, names[where], reduction="sum") / max(1.0, batch.totals["named"])
            loss, logged = loss + config.naming * naming, {**logged, "naming": naming.detach()}
        return loss, logged

    def _read(self, data: Mapping[str, Tensor], seen: Tensor) -> tuple[Tensor, Tensor]:
        """seen (B, 1 + N, W) -> text_emb (B K, E), nats (B K,) of each caption, stressed words as often as
        they count; captions of like length go together
        """
        tokens, manner = data["tokens"].flatten(0, 1), data["manner"].flatten()  # (B K, L), (B K,)
        lengths = tokens.argmax(dim=1) + 1
        order = lengths.argsort(stable=True)
        text_embs: list[Tensor] = []
        nats: list[Tensor] = []
        for rows in order.chunk(GROUPS):
            part = tokens[rows, : int(lengths[rows[-1]])]
            text_emb, logits = self.net(part, self.net.context(seen[rows // self.config.each], manner[rows]))
            weight = torch.ones(part.shape, device=part.device)
            if "stressed" in data:
                weight += (self.config.emphasis - 1) * data["stressed"].flatten(0, 1)[rows, : part.shape[1]]
            nats.append(nats_of(logits, part, weight))
            text_embs.append(text_emb)
        back = order.argsort()
        return torch.cat(text_embs)[back], torch.cat(nats)[back]

    def preview(self, rng: SeedBatch) -> None:
        """It draws nothing."""
        return None

    def evaluate(self, source: Source, n: int) -> dict[str, float]:
        """Nats a token; where the source knows what its pictures show, the share of things, colours ... that
        captions of up to 64 pictures name rightly: "colours_long_en".
        """
        samples = [source[i] for i in range(min(n, len(source)))]
        data = [self.example(s, torch.Generator().manual_seed(i)) for i, s in enumerate(samples)]
        device = self.net.head.weight.device
        total = count = 0.0
        for start in range(0, len(data), SPOKEN):
            plain = [name for name in data[0] if name != "stressed"]  # each word counts once
            part = {k: torch.stack([d[k] for d in data[start : start + SPOKEN]]).to(device) for k in plain}
            seen = self.net.see(part["image"].float() / 255)[1]
            total += self._read(part, seen)[1].sum().item()
            count += self.counts(part)["tokens"]
        known = [s for s in samples[:SPOKEN] if isinstance(s.truth, Scene)]
        return {"nats": total / count, **(self._agreement(known) if known else {})}

    def _agreement(self, samples: Sequence[Sample]) -> dict[str, float]:
        """How far captions agree with scenes, of the kinds and languages that are trained."""
        size = self.config.net.clip.image_size
        pixels = [torch.tensor(random_square(s.image, size, 0.5)).permute(2, 0, 1) for s in samples]
        images = torch.stack(pixels).float() / 255
        model = CaptionerModel(self._packed(), self.bpe, self.languages)
        found: dict[str, list[float]] = {}
        for language in self.languages:
            for kind in [k for k in ("short", "long") if self.config.captions.kinds.get(k, 0) > 0]:
                texts = model.caption(images.to(model.device), kind, language)
                for sample, text in zip(samples, texts, strict=True):
                    for name, right in agreement(sample.truth, text, language).items():
                        found.setdefault(f"{name}_{kind}_{language}", []).append(right)
        return {name: sum(values) / len(values) for name, values in found.items()}

    def components(self) -> dict[str, Component | Shared]:
        config = to_json(self.config.net)
        text = Component(config={}, file=self.bpe.save()) if self.shared is None else self.shared
        weights = {k: v.detach().cpu() for k, v in self.net.state_dict().items()}
        return {
            "captioner": Component(config=config, tensors=weights, storage=self.config.storage),
            "text": text,
        }

    def golden(self) -> None:
        return None

    def _said(self, sample: Sample, generator: torch.Generator) -> Caption:
        """One caption of a sample; of a short one's picture the main subject where the config says so."""
        caption = self.config.captions.pick(sample, generator)
        if not self.config.subject or caption.kind != "short" or not isinstance(sample.truth, Scene):
            return caption
        rng = random.Random(int(torch.randint(2**62, (), generator=generator)))
        return replace(caption, text=subject(sample.truth, caption.language, rng), spots=())

    def _packed(self) -> Captioner:
        """A copy with the weights that the bundle will have."""
        copy = Captioner(self.config.net).to(self.net.head.weight.device)
        weights = {k: v.detach().cpu() for k, v in self.net.state_dict().items()}
        fill_module(copy, unpack(pack(weights, self.config.storage)), "captioner")
        return copy


def nats_of(logits: Tensor, tokens: Tensor, weight: Tensor) -> Tensor:
    """logits (B, L, V) of what comes next, tokens (B, L) start .. end, zeros, weight (B, L) of each -> (B,)
    nats of the words and the end of each caption
    """
    target = tokens[:, 1:]
    told = torch.arange(target.shape[1], device=tokens.device) < tokens.argmax(dim=1, keepdim=True)
    nats = F.cross_entropy(logits[:, :-1].flatten(0, 1), target.flatten(), reduction="none")
    return (nats.view_as(target) * told * weight[:, 1:]).sum(dim=1)
