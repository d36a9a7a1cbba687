"""Training the latent diffusion model (DALL·E 3, appendix A), by default with its text encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast

import torch
from torch import Tensor, nn

from armchair.core.bundle import Bundle, Component, Shared
from armchair.core.config import to_json
from armchair.core.errors import BadInput
from armchair.core.images import contact_sheet, from_pixels, to_image
from armchair.core.packing import fill_module, grown, pack, unpack
from armchair.core.parts import Parts, ready
from armchair.core.rng import SeedBatch
from armchair.core.task import Batch, Sample, Source
from armchair.dalle3.config import LatentConfig, T5Config, WordsConfig
from armchair.dalle3.denoiser import Denoiser, LatentNet, Read
from armchair.dalle3.parts import carried, check_stages, load_part, part_config
from armchair.dalle3.pipeline import Dalle3, masked_latent
from armchair.dalle3.shapes import by_shape, laid_flat, nearest, picture, raised
from armchair.dalle3.text_encoder import by_length, caption_tokens, text_encoder, trimmed
from armchair.data.captions import CaptionMix, captions_of
from armchair.diffusion.flow import Flow
from armchair.diffusion.loss import noised, simple
from armchair.diffusion.masks import known_part, random_keep
from armchair.diffusion.prediction import predict
from armchair.nn.alone import PartName, check_alone
from armchair.nn.layout import check_dropout, example_of
from armchair.text.places import placed
from armchair.text.tokenizer import load_tokenizer
from armchair.text.words import words_component

if TYPE_CHECKING:
    from PIL import Image

    from armchair.nn.autoencoder import Autoencoder

WORDS = 20_000  # samples whose captions give the languages and words that the bundle knows
FITTED = 256  # pictures whose latents give the scale
SHOWN = 8  # pictures of the preview sheet
ROWS = 32  # pictures that evaluation and fitting compute at a time
GROWN = ("sketch.", "places.", "layout.", "draft.")  # in the names of weights that change nothing untrained
CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """How latents are drawn where the person says nothing."""

    steps: int = 50
    guidance: float = 7.5  # 1 is off; Ho and Salimans' w is one less
    guidance_interval: str = "0-1"  # the shares of the noise between which there is guidance
    sampler: str = "ddim"


@dataclass(frozen=True, kw_only=True)
class LatentTaskConfig:
    """How to train the latent model. Channels and stride are the autoencoder's, the vocabulary the text's."""

    net: LatentConfig = field(default_factory=LatentConfig)
    drop_text: float = 0.1  # share of captions that are read as empty, for guidance
    drop_layout: float = 0.1  # share of the others without their layout
    time_mean: float = 0.0  # of a flow's times, before logistic and shift: below 0 less noise
    everything_masked: float = 0.75  # share of samples of which nothing is known; the rest inpaints
    min_snr: float | None = None  # see diffusion.loss.simple
    captions: CaptionMix = field(
        default_factory=lambda: CaptionMix(kinds={"long": 0.95, "alt": 0.05})
    )  # section 4
    bpe_dropout: float = 0.0  # of merges, in training only
    # train this part alone: the sketch, which otherwise stands still, the draft, or the layout's priors
    alone: PartName | None = None
    storage: str = "float16"  # of the weights in the bundle
    golden_prompt: str = "a red apple"
    sampling: SamplingConfig = field(default_factory=SamplingConfig)  # what the bundle draws with by default

    shipped_stages: ClassVar[Mapping[str, str]] = {"autoencoder": "dalle3", "text": "text"}

    def __post_init__(self) -> None:
        for name in ("drop_text", "drop_layout", "everything_masked", "bpe_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadInput(f"task.{name}={getattr(self, name)}: a share from 0 to 1 is needed")
        check_alone(self.alone, self.net)
        check_dropout(self.net.layout, self.bpe_dropout)

    def build(self, using: Mapping[str, Bundle], init: Bundle | None) -> LatentTask:
        """using: `autoencoder` and `text` (needed); `text_encoder`: one that stands frozen, its tokenizer
        with it, or a CLIP, whose text tower it then is; upsamplers, which the bundle then holds too.
        init: a dalle3 bundle to go on from.

        Raises BadInput for a stage that is missing or unknown.
        """
        frozen = using.get("text_encoder")
        if frozen is not None:  # it brings its own tokenizer
            using = {name: bundle for name, bundle in using.items() if name != "text"}
        check_stages(using, ("autoencoder",) if frozen is not None else ("autoencoder", "text"))
        coder = cast("Autoencoder", load_part(using["autoencoder"], "autoencoder", CPU, torch.float32))
        bpe = load_tokenizer(using["text" if frozen is None else "text_encoder"].bytes("text"))
        words: WordsConfig = self.net.words
        if frozen is not None:
            words = part_config(frozen, "text_encoder")
        elif isinstance(words, T5Config):  # the tokenizer's own ids, and two more
            words = replace(words, vocab=bpe.vocab + 2, pad=bpe.vocab, end=bpe.vocab + 1)
        else:
            words = replace(words, text=replace(words.text, vocab=bpe.vocab + 2))
        sketch = None if self.net.sketch is None else replace(self.net.sketch, width=words.width)
        net = replace(
            self.net, words=words, sketch=sketch, channels=coder.config.channels, stride=coder.config.stride
        )
        task = LatentTask
        if self.alone is not None:
            from armchair.dalle3.alone import TASKS

            task = TASKS[self.alone]
        return task(replace(self, net=net), using, coder, bpe, init)


class Group(NamedTuple):
    """Rows of one shape and like length of text. b of them, C channels and h, w cells of a latent."""

    index: int  # of the shape
    at: Tensor  # (b,) rows
    output: Tensor  # (b, C, h, w), what the network says of the noised examples
    x0: Tensor  # (b, C, h, w), their clean latents
    read: Read  # their captions
    drafted: Tensor | None  # (b, C, h, w), what the network was shown of them, where it has a draft


class LatentTask:
    """One network, `net`; the autoencoder stands frozen beside it, and a text encoder that is not trained.

    B examples, C channels, N pixels and M cells of the largest shape, L tokens.
    """

    bundle_kind = "dalle3"

    def __init__(
        self,
        config: LatentTaskConfig,
        using: Mapping[str, Bundle],
        coder: Autoencoder,
        bpe: Any,
        init: Bundle | None,
    ):
        self.config = config
        self.coder = coder
        self.bpe = bpe
        trained = "text_encoder" not in using
        self.net = LatentNet(config.net, with_words=trained)
        self.frozen: nn.Module | None = None  # a text encoder that is not trained
        if not trained:
            self.frozen = load_part(using["text_encoder"], "text_encoder", CPU, torch.float32)
        if init is not None:
            fill_module(self.net.denoiser, grown(self.net.denoiser, init.tensors("latent"), GROWN), "latent")
            if self.net.words is not None:
                fill_module(self.net.words, init.tensors("text_encoder"), "text_encoder")
        self._hold_still()
        self.levels = config.net.levels_of_noise
        self.languages: Sequence[str] = ()
        self.defaults: Mapping[str, Any] = to_json(config.sampling)
        self.prompts: list[str] = []
        self._using = using
        self._fitted = init is not None
        self._words: Component | None = None
        self._pictures = tuple((height, width) for width, height in config.net.shapes)
        self._grids = config.net.grids

    def _hold_still(self) -> None:
        """Keep the sketch as it is: what the U-Net has learned to build on must not move."""
        if self.net.denoiser.sketch is not None:
            self.net.denoiser.sketch.requires_grad_(False)

    def prepare(self, source: Source, rng: torch.Generator) -> None:
        """Note words and languages, choose previews, and fit the scale of the latents, which weights to go on
        from bring with them. Raises BadInput without captions.
        """
        seen = [c for i in range(min(len(source), WORDS)) for c in captions_of(source, i)]
        if not seen:
            raise BadInput("these pictures have no captions, and DALL·E 3's latent model reads them")
        self.languages = tuple(sorted({c.language for c in seen if c.language}))
        self._words = words_component(c.text for c in seen)
        chosen = [source[i] for i in torch.randint(len(source), (SHOWN,), generator=rng).tolist()]
        self.prompts = [self.config.captions.pick(sample, rng).text for sample in chosen]
        rows = torch.randint(len(source), (-(-FITTED // ROWS), ROWS), generator=rng).tolist()
        if not self._fitted:
            images = (torch.stack([picture(source[i].image, self._pictures[0]) for i in row]) for row in rows)
            latents = torch.cat([self.encode(image) for image in images])
            self.net.denoiser.scale.fit(latents.to(self.net.denoiser.scale.mean))

    def example(self, sample: Sample, generator: torch.Generator) -> dict[str, Tensor]:
        """image (3, N) uint8 and keep (1, M) bool, laid flat; shape () int64, which of the shapes; tokens
        (L,); where there is a layout, spots (S, 5) and shows_layout () bool
        """
        config, which = self.config, nearest(sample.image, self._pictures)
        caption = config.captions.pick(sample, generator)
        ids = self._ids(caption.text, config.bpe_dropout, generator)
        hide_text, nothing = torch.rand(2, generator=generator).tolist()
        keep = random_keep(*self._grids[which], generator)
        if nothing < config.everything_masked:
            keep = torch.zeros_like(keep)
        layout: dict[str, Tensor] = {}
        if config.net.layout is not None:
            words, hidden = config.net.words, hide_text < config.drop_text
            first = 0 if isinstance(words, T5Config) else 1  # a token that begins every caption
            spots = [] if hidden else placed(caption, self.bpe.encode, first, words.length - 1)
            layout = example_of(
                spots, config.net.layout, "" if hidden else caption.look, config.drop_layout, generator
            )
        return {
            **layout,
            "image": laid_flat(picture(sample.image, self._pictures[which]), self._pictures),
            "shape": torch.tensor(which),
            "tokens": caption_tokens([] if hide_text < config.drop_text else ids, config.net.words),
            "keep": laid_flat(keep, self._grids),
        }

    def counts(self, data: dict[str, Tensor]) -> dict[str, float]:
        return {"samples": float(len(data["image"]))}

    def loss(self, batch: Batch, rng: SeedBatch) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Mean squared error of what is predicted, over cells and channels, then over pictures; and the
        errors of the layout's priors and of the draft, which learn beside it.
        """
        rows, net = len(batch), self.config.net
        levels = self.levels
        t = (
            levels.draw(rng, self.config.time_mean)
            if isinstance(levels, Flow)
            else rng.randint(0, len(levels))
        )
        eps = rng.normal(net.channels, max(h * w for h, w in self._grids))  # (B, C, M)
        each = eps.new_zeros(rows)
        layout, draft = eps.new_zeros(()), eps.new_zeros(())
        for index, at, output, x0, read, drafted in self.outputs(batch.data, t, eps):
            with torch.autocast(x0.device.type, enabled=False):
                error = simple(
                    output.float(),
                    x0,
                    raised(eps[at], self._grids[index]),
                    t[at],
                    levels,
                    net.prediction,
                    self.config.min_snr,
                )
            each = each.index_put((at,), error)
            if self.net.denoiser.layout is not None and read.context is not None:
                nats = self.net.denoiser.layout.errors(read.context, read.keep, batch.data["spots"][at])
                layout = layout + nats.sum()
            if drafted is not None:
                draft = draft + squared(drafted, x0).sum()
        total = batch.totals["samples"]
        logged: dict[str, float | Tensor] = {}
        if self.net.denoiser.layout is not None:
            logged["layout"] = layout.detach() / total
        if self.net.denoiser.draft is not None:
            logged["draft"] = draft.detach() / total
        return (each.sum() + layout + draft) / total, logged

    def outputs(self, data: Mapping[str, Tensor], t: Tensor, eps: Tensor) -> list[Group]:
        """What the network says of noised examples, in groups that it computes together."""
        net, words = self.net.denoiser, self.config.net.words
        found: list[Group] = []
        for index, rows in by_shape(data["shape"], self._grids):
            image = raised(data["image"][rows], self._pictures[index])
            x0 = net.scale(self.encode(image))
            known = None
            if self.config.net.inpaints:
                known = self.known(image, raised(data["keep"][rows], self._grids[index]))
            for part in by_length(data["tokens"][rows], words):
                at = rows[part]
                tokens, keep = trimmed(data["tokens"][at], words)
                shown = None if known is None else known[part]
                read = net.read(self.words(tokens, keep), tokens, keep)
                if net.layout is not None:
                    shows = data["shows_layout"][at]
                    read = read._replace(spots=data["spots"][at] * shows[:, None, None])
                drafted = None if net.draft is None else net.drafted(read, *x0.shape[2:])
                cond = net.conditions(read, shown, None if drafted is None else drafted.detach())
                x = noised(x0[part], raised(eps[at], self._grids[index]), t[at], self.levels)
                found.append(Group(index, at, net(x, t[at], **cond), x0[part], read, drafted))
        return found

    @property
    def words(self) -> nn.Module:
        """The text encoder, trained or frozen."""
        found = self.net.words if self.frozen is None else self.frozen
        assert found is not None
        return found

    @property
    def device(self) -> torch.device:
        return self.net.denoiser.scale.mean.device

    @torch.no_grad()
    def encode(self, image: Tensor) -> Tensor:
        """image (B, 3, H, W) uint8 -> (B, C, h, w), the means of their latents"""
        return self.coder.encode(from_pixels(image.to(self.device).float() / 255)).mean.float()

    @torch.no_grad()
    def known(self, image: Tensor, keep: Tensor) -> Tensor:
        """image (B, 3, H, W) uint8, keep (B, 1, h, w) bool, True = stays -> (B, C + 1, h, w). The encoder
        sees what stays alone: cells of the whole picture know of what lies beside them.
        """
        net = self.net.denoiser
        known = net.nothing_known(len(image), *keep.shape[2:])
        some = keep.flatten(1).any(dim=1)
        if bool(some.any()):
            known[some] = known_part(
                net.scale(masked_latent(self.coder, image[some].float() / 255, keep[some])), keep[some]
            )
        return known

    def preview(self, rng: SeedBatch) -> Image.Image | None:
        """A sheet of pictures for captions of the data, drawn as `generate` draws them, but small."""
        pipeline, seeds = self._pipeline(), rng.seeds[:SHOWN]
        images = [
            draw(pipeline, prompt, seed, small(pipeline))
            for prompt, seed in zip(self.prompts, seeds, strict=False)
        ]
        return contact_sheet(images, columns=4, labels=self.prompts[: len(images)], cell=128)

    def evaluate(self, source: Source, n: int) -> dict[str, float]:
        """Mean squared error of the clean latent and of the noise, nothing hidden, nothing known, over all
        noise levels evenly; of the latent in three thirds of them; and of a flow's velocity, their
        difference. Nats a number of the layout, where there is one.
        """
        device, levels = self.device, self.levels
        errors = {name: torch.zeros(n) for name in ("x0", "eps", "velocity")}
        layout: list[Tensor] = []
        drafts: list[Tensor] = []
        cells = max(h * w for h, w in self._grids)
        for start in range(0, n, ROWS):
            rows = range(start, min(n, start + ROWS))
            data = self._plain([source[i % len(source)] for i in rows], device)
            if isinstance(levels, Flow):
                t = torch.tensor([(i + 0.5) / n for i in rows], device=device)
            else:
                t = torch.tensor([i * len(levels) // n for i in rows], device=device)
            eps = SeedBatch(list(rows), device).normal(self.config.net.channels, cells)
            for index, at, output, x0, read, drafted in self.outputs(data, t, eps):
                noise = raised(eps[at], self._grids[index])
                x = noised(x0, noise, t[at], levels)
                found = predict(output.float(), x, t[at], levels, self.config.net.prediction)
                off = found.x0 - x0, found.eps - noise, (found.eps - found.x0) - (noise - x0)
                for table, error in zip(errors.values(), off, strict=True):
                    table[at.cpu() + start] = error.square().mean(dim=(1, 2, 3)).cpu()
                if self.net.denoiser.layout is not None and read.context is not None:
                    layout.append(self.net.denoiser.layout.errors(read.context, read.keep, data["spots"][at]))
                if drafted is not None:
                    drafts.append(squared(drafted, x0))
        thirds = zip(("x0_low", "x0_middle", "x0_high"), errors["x0"].tensor_split(3), strict=True)
        means = {name: table.mean().item() for name, table in errors.items()}
        beside = {"layout": layout, "draft": drafts}
        means |= {name: torch.cat(parts).mean().item() for name, parts in beside.items() if parts}
        return {**means, **{name: part.mean().item() for name, part in thirds}}

    def components(self) -> dict[str, Component | Shared]:
        """`latent`, `text_encoder`, `text`, `autoencoder`, `words`, and those of the other stages."""
        assert self._words is not None
        own = {"latent": self.net.denoiser, "text_encoder": self.net.words}
        configs = {"latent": self.config.net, "text_encoder": self.config.net.words}
        made: dict[str, Component | Shared] = {**carried(self._using), "words": self._words}
        for name, net in own.items():
            if net is not None:
                config, tensors = to_json(configs[name]), net.state_dict()
                made[name] = Component(config=config, tensors=tensors, storage=self.config.storage)
        return made

    def golden(self) -> tuple[str, int, Image.Image]:
        """Drawn with the weights as the bundle stores them, since rounding changes what is drawn."""
        pipeline, prompt = self._pipeline(stored=True), self.config.golden_prompt
        image, size = draw(pipeline, prompt, 1, pipeline.sizes[0]), self.config.net.shapes[0]
        return prompt, 1, image if image.size == size else image.resize(size, 1)  # Lanczos

    def _pipeline(self, *, stored: bool = False) -> Dalle3:
        """What a person would load. stored: with the weights rounded as the bundle rounds them."""
        device, denoiser, words = self.device, self.net.denoiser, self.words
        if stored:
            denoiser = self._stored(Denoiser(self.config.net), self.net.denoiser, "latent")
            if self.net.words is not None:
                words = self._stored(text_encoder(self.config.net.words), self.net.words, "text_encoder")
        parts = Parts({"autoencoder": lambda: self.coder, "text_encoder": lambda: words})
        parts.add("latent", lambda: denoiser)
        for stage, bundle in self._using.items():
            if stage.startswith("upsample") or stage == "consistency":
                parts.add(stage, lambda s=stage, b=bundle: load_part(b, s, device, torch.float32))
        return Dalle3(parts, self.config.net, self.bpe, self.languages, self.defaults, device)

    def _stored(self, empty: nn.Module, net: nn.Module, name: str) -> Any:
        fill_module(empty, unpack(pack(net.state_dict(), self.config.storage)), name)
        return ready(empty, self.device, torch.float32)

    def _ids(self, text: str, dropout: float, generator: torch.Generator) -> list[int]:
        return self.bpe.encode(text, dropout, generator) if dropout > 0 else self.bpe.encode(text)

    def _plain(self, samples: list[Sample], device: torch.device) -> dict[str, Tensor]:
        """Examples with nothing hidden and nothing known; the captions are the same ones each time."""
        plain = replace(self.config, drop_text=0.0, drop_layout=0.0, everything_masked=1.0, bpe_dropout=0.0)
        config, self.config = self.config, plain
        try:
            made = [self.example(s, torch.Generator().manual_seed(i)) for i, s in enumerate(samples)]
        finally:
            self.config = config
        return {name: torch.stack([one[name] for one in made]).to(device) for name in made[0]}


def squared(found: Tensor, truth: Tensor) -> Tensor:
    """(B, C, h, w) each -> (B,) mean squared errors"""
    return (found.float() - truth).square().mean(dim=(1, 2, 3))


def small(pipeline: Dalle3) -> str:
    """The size that is drawn without upsamplers."""
    width, height = pipeline.config.shapes[0]
    return f"{width}x{height}"


def draw(pipeline: Dalle3, prompt: str, seed: int, size: str) -> Image.Image:
    *_, last = pipeline.stream(prompt, [seed], size, **pipeline.defaults)
    return to_image(last.images[0])
