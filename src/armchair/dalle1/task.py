"""Training the transformer over captions and image codes (arXiv:2102.12092, section 2.2 and appendix B)."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from armchair.core.bundle import Bundle, Component, Shared
from armchair.core.config import from_json, to_json
from armchair.core.errors import BadInput
from armchair.core.images import contact_sheet, to_image
from armchair.core.packing import fill_module, pack, unpack
from armchair.core.rng import SeedBatch
from armchair.core.task import Batch, Sample, Source
from armchair.dalle1.config import DVAEConfig, TransformerConfig
from armchair.dalle1.dvae import DVAE
from armchair.dalle1.pipeline import Dalle1, caption_tokens
from armchair.dalle1.transformer import PAD, Dalle1Transformer
from armchair.data.augment import augment_transformer, centre
from armchair.data.captions import CaptionMix, captions_of
from armchair.text.bpe import BPE
from armchair.text.words import words_component

if TYPE_CHECKING:
    from PIL import Image

FITTED = 20_000  # samples whose captions a BPE is fitted on, and whose words the bundle knows
PROMPTS = 8  # captions of the preview sheet


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """How codes are drawn where the person says nothing; the defaults are the paper's (section 2.6)."""

    guidance: float = 1.0  # 1 is off
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None


@dataclass(frozen=True, kw_only=True)
class TransformerTaskConfig:
    """How to train the transformer. Vocabularies and grid come from the tokenizers."""

    net: TransformerConfig = field(default_factory=TransformerConfig)
    bpe: Literal["shared", "fit"] = "fit"  # the BPE of bundle `text`, or one fitted to the captions
    bpe_dropout: float = 0.1  # of merges, in training only (appendix B.2)
    drop_text: float = 0.0  # share of captions hidden, for guidance to lean on; not in the paper
    checkpoint_activations: bool = False  # a third more time for much less memory (section 2.4)
    augment: bool = True  # crops of listing 2; off: the middle square
    captions: CaptionMix = field(default_factory=CaptionMix)
    storage: str = "float16"  # of the transformer's weights in the bundle
    golden_prompt: str = "a red apple"
    sampling: SamplingConfig = field(default_factory=SamplingConfig)  # what the bundle draws with by default

    # what --using is where it is not given
    shipped_stages: ClassVar[Mapping[str, str]] = {"dvae": "dalle1", "text": "text"}

    def build(self, using: Mapping[str, Bundle], init: Bundle | None) -> TransformerTask:
        """using: `dvae` (needed) and `text` (for bpe="shared"). init: a dalle1 bundle to go on from.

        Raises BadInput for a stage that is missing or unknown.
        """
        unknown = sorted(set(using) - {"dvae", "text"})
        if unknown:
            raise BadInput(f"--using {unknown[0]}: the transformer builds on dvae and text")
        if "dvae" not in using:
            raise BadInput("the transformer needs an image tokenizer: --using dvae=BUNDLE")
        dvae = DVAE(from_json(DVAEConfig, using["dvae"].config("dvae"), "dvae"))
        fill_module(dvae, using["dvae"].tensors("dvae"), "dvae")
        shared = init if init is not None and "text" in init.components else using.get("text")
        bpe = None
        if self.bpe == "shared" or init is not None:
            if shared is None:
                raise BadInput('bpe="shared" needs a tokenizer: --using text=BUNDLE, or --set task.bpe=fit')
            bpe = BPE.load(shared.bytes("text"))
        text_vocab = self.net.text_vocab if bpe is None else bpe.vocab
        if init is not None:  # a fitted BPE may need fewer entries than the network has
            text_vocab = from_json(TransformerConfig, init.config("transformer"), "transformer").text_vocab
        net = replace(self.net, image_vocab=dvae.config.vocab, grid=dvae.config.grid, text_vocab=text_vocab)
        task = TransformerTask(replace(self, net=net), dvae, bpe)
        if init is not None:
            fill_module(task.net, init.tensors("transformer"), "transformer")
        return task


class TransformerTask:
    """One network, `net`; the dVAE and the BPE stand frozen beside it."""

    bundle_kind = "dalle1"

    def __init__(self, config: TransformerTaskConfig, dvae: DVAE, bpe: BPE | None):
        self.config = config
        self.dvae = dvae.eval().requires_grad_(False)
        self.net = Dalle1Transformer(config.net)
        self.net.checkpoint_activations = config.checkpoint_activations
        self.bpe = bpe
        self.languages: tuple[str, ...] = ()
        self.defaults = to_json(config.sampling)
        self._prompts: list[str] = []
        self._words: Component | None = None

    def prepare(self, source: Source, rng: torch.Generator) -> None:
        """Fit the BPE where the recipe says so, note the words and languages that occur, choose previews."""
        seen = list(_captions(source))
        if not seen:
            raise BadInput("these pictures have no captions, and a transformer learns from captions")
        texts = [text for text, _ in seen]
        if self.bpe is None:
            self.bpe = BPE.train(texts, self.config.net.text_vocab)
        self.languages = tuple(sorted({language for _, language in seen if language}))
        self._words = words_component(texts)
        chosen = torch.randint(len(source), (PROMPTS,), generator=rng).tolist()
        self._prompts = [self.config.captions.pick(source[i], rng).text for i in chosen]

    def example(self, sample: Sample, generator: torch.Generator) -> dict[str, Tensor]:
        """image (3, S, S) uint8, tokens (L,) ids, PAD after the last"""
        assert self.bpe is not None
        size = self.dvae.config.image_size
        pixels = (
            augment_transformer(sample.image, size, generator)
            if self.config.augment
            else centre(sample.image, size)
        )
        text = self.config.captions.pick(sample, generator).text
        ids = self.bpe.encode(text, self.config.bpe_dropout, generator)
        hidden = torch.rand((), generator=generator).item() < self.config.drop_text
        tokens = caption_tokens([] if hidden else ids, self.net.text_places)
        return {"image": torch.from_numpy(pixels).permute(2, 0, 1), "tokens": tokens}

    def counts(self, data: dict[str, Tensor]) -> dict[str, float]:
        """Tokens of each kind: the loss normalises by both."""
        text = (text_targets(data["tokens"], self.net.config) != PAD).sum().item()
        return {"text": float(text), "image": float(len(data["tokens"]) * self.net.config.image_length)}

    def loss(self, batch: Batch, rng: SeedBatch) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Nats a token, 1/8 text and 7/8 image, each over all tokens of its kind (section 2.2)."""
        tokens = batch.data["tokens"]
        codes = self.dvae.encode(batch.data["image"].float() / 255).flatten(1)  # (B, N)
        text, image = self.losses(tokens, codes)
        text = text / max(1.0, batch.totals["text"])  # a batch whose captions are all hidden has no text
        image = image / batch.totals["image"]
        weight = self.config.net.text_loss
        return weight * text + (1 - weight) * image, {"text": text.detach(), "image": image.detach()}

    def losses(self, tokens: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Sums of the text's and the image's cross-entropies, in nats."""
        text_logits, image_logits = self.net(tokens, codes)
        targets = text_targets(tokens, self.net.config)
        text = F.cross_entropy(
            text_logits.flatten(0, 1), targets.flatten(), ignore_index=PAD, reduction="sum"
        )
        image = F.cross_entropy(image_logits.flatten(0, 1), codes.flatten(), reduction="sum")
        return text, image

    def preview(self, rng: SeedBatch) -> Image.Image | None:
        """A sheet of pictures for captions of the data, drawn as `generate` draws them."""
        pipeline = self._pipeline()
        pairs = zip(self._prompts, rng.seeds, strict=False)
        images = [_draw(pipeline, prompt, seed) for prompt, seed in pairs]
        return contact_sheet(images, columns=4, labels=self._prompts[: len(images)], cell=128)

    def evaluate(self, source: Source, n: int) -> dict[str, float]:
        """Nats a token on unseen randomness, without dropout of merges or captions."""
        device = next(self.net.parameters()).device
        plain = copy.copy(self)
        plain.config = replace(self.config, bpe_dropout=0.0, drop_text=0.0, augment=False)
        sums = {"text": 0.0, "image": 0.0}
        counts = {"text": 0.0, "image": 0.0}
        for start in range(0, n, 32):
            indices = range(start, min(n, start + 32))
            made = [plain.example(source[i % len(source)], torch.Generator().manual_seed(i)) for i in indices]
            data = {key: torch.stack([example[key] for example in made]).to(device) for key in made[0]}
            codes = self.dvae.encode(data["image"].float() / 255).flatten(1)
            for key, total in zip(sums, self.losses(data["tokens"], codes), strict=True):
                sums[key] += total.item()
            for key, count in self.counts(data).items():
                counts[key] += count
        scores = {f"{key}_nats": sums[key] / max(1.0, counts[key]) for key in sums}
        weight = self.config.net.text_loss
        return {**scores, "loss": weight * scores["text_nats"] + (1 - weight) * scores["image_nats"]}

    def components(self) -> dict[str, Component | Shared]:
        """All that drawing needs: `dvae`, `text`, `transformer`, and the `words` it has seen."""
        assert self.bpe is not None and self._words is not None
        return {
            "dvae": Component(
                config=to_json(self.dvae.config), tensors=self.dvae.state_dict(), storage="float16"
            ),
            "text": Component(config={"vocab": self.bpe.vocab}, file=self.bpe.save(), storage="file"),
            "transformer": Component(
                config=to_json(self.net.config), tensors=self.net.state_dict(), storage=self.config.storage
            ),
            "words": self._words,
        }

    def golden(self) -> tuple[str, int, Image.Image]:
        """Drawn with the weights as the bundle stores them, since rounding changes what is drawn."""
        prompt, seed = self.config.golden_prompt, 1
        return prompt, seed, _draw(self._pipeline(stored=True), prompt, seed)

    def _pipeline(self, *, stored: bool = False) -> Dalle1:
        """What a person would load. stored: with the weights rounded as the bundle rounds them."""
        assert self.bpe is not None
        dvae, net = self.dvae, self.net
        if stored:
            dvae, net = DVAE(dvae.config), Dalle1Transformer(net.config)
            fill_module(dvae, unpack(pack(self.dvae.state_dict(), "float16")), "dvae")
            fill_module(net, unpack(pack(self.net.state_dict(), self.config.storage)), "transformer")
        return Dalle1(dvae, net, self.bpe, self.languages, self.defaults)


def _draw(pipeline: Dalle1, prompt: str, seed: int) -> Image.Image:
    *_, last = pipeline.stream(prompt, [seed], pipeline.sizes[0])
    return to_image(last.images[0])


def text_targets(tokens: Tensor, config: TransformerConfig) -> Tensor:
    """tokens (B, L) -> (B, L) what each text place predicts: the ids, the first pad, then PAD for nothing.

    A hidden caption (all pads) counts for nothing: the model need not learn how often captions are hidden.
    """
    places = torch.arange(tokens.shape[1], device=tokens.device)
    lengths = (tokens != PAD).sum(dim=1, keepdim=True)  # (B, 1)
    first_pad = (places == lengths) & (lengths > 0)
    pad = config.text_vocab + (places if config.layout == "bos" else torch.zeros_like(places))
    return torch.where(first_pad, pad, tokens)


def _captions(source: Source) -> Iterator[tuple[str, str]]:
    """Every caption of the first samples, with its language."""
    for i in range(min(len(source), FITTED)):
        for caption in captions_of(source, i):
            yield caption.text, caption.language
