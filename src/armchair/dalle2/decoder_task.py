"""Training the decoder (arXiv:2204.06125, section 2.1 and appendix C)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, NamedTuple, cast

import torch
from torch import Tensor, nn

from armchair.clip.config import ClipConfig
from armchair.core.bundle import Bundle, Component, Shared
from armchair.core.config import from_json, to_json
from armchair.core.errors import BadInput
from armchair.core.images import contact_sheet, from_pixels, to_image
from armchair.core.packing import fill_module, grown, pack, unpack
from armchair.core.parts import ready
from armchair.core.rng import SeedBatch
from armchair.core.task import Batch, Caption, Sample, Source
from armchair.dalle2.caption import caption_tokens
from armchair.dalle2.clip_decoder import ClipConditions, ClipDecoder
from armchair.dalle2.config import ClipDecoderConfig, DecoderConfig
from armchair.dalle2.decoder import Conditions, Decoder
from armchair.dalle2.parts import check_stages, network_of, tokenizer
from armchair.dalle2.scale import Scaling
from armchair.dalle2.stage import ROWS, Stage, pixels_of
from armchair.data.captions import CaptionMix
from armchair.diffusion.drawing import Sampler
from armchair.diffusion.loss import noised, simple, vlb
from armchair.diffusion.masks import known_part, random_keep
from armchair.diffusion.prediction import predict, split
from armchair.nn.alone import PartName, check_alone
from armchair.nn.layout import check_dropout, example_of
from armchair.text.places import placed

if TYPE_CHECKING:
    from PIL import Image

FITTED = 1_024  # pictures whose embeddings give the scale
SEEN = 256  # pictures that cells are fitted to
SHOWN = 8  # pictures of the preview sheet
GROWN = ("sketch.", "layout.", "draft.")  # in the names of weights that change nothing untrained


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """How pictures are drawn where the person says nothing; the defaults are the paper's (appendix C)."""

    steps: int = 250
    shift: float = 1.0  # above 1 more of the levels that are visited are noisy: see Schedule.respace
    guidance: float = 1.0  # 1 is off
    sampler: Sampler = "ddpm"
    prior_weight: float = 1.0  # share of a prior's embedding that it is told


@dataclass(frozen=True, kw_only=True)
class DecoderTaskConfig:
    """How to train the decoder, ours or one of Karlo's form. The defaults are the paper's; CLIP's widths and
    the vocabulary are CLIP's.
    """

    net: DecoderConfig | ClipDecoderConfig = field(default_factory=DecoderConfig)
    drop_image: float = 0.1  # share of embeddings hidden (section 2.1)
    drop_text: float = 0.5  # share of captions hidden, independently (section 2.1)
    drop_layout: float = 0.1  # share of shown captions without their layout; not in the paper
    # where the caption is shown too, up to so much of another picture's embedding is added, as a prior errs;
    # not in the paper
    stray: float = 0.0
    everything_masked: float = 0.75  # share of samples of which nothing is known; the rest inpaints
    scale: Scaling = "constant"  # of the embeddings, or fitted to those of the data
    # of errors of x0, as v-prediction weighs them (1 / sigma^2), but at most so; None: 1 at all noise levels
    v_weight: float | None = None
    # of the squared error of what the U-Net says of cells, where it works on them, beside that of pixels
    cells_weight: float = 1.0
    # of a batch whose pixels are drawn, one picture at least; the rest learns of cells alone, which is all
    # that the U-Net needs and half the work
    pixels_share: float = 1.0
    vlb_weight: float = 1.0  # of the variance's bound, in units of the paper's lambda 0.001
    # t = T u ** noise_power, u even: below 1 much noise, where the layout is decided, is seen more often
    noise_power: float = 1.0
    captions: CaptionMix = field(default_factory=CaptionMix)
    bpe_dropout: float = 0.0  # of merges, in training only
    # train this part alone: the sketch, which otherwise stands still, the draft, or the layout's priors
    alone: PartName | None = None
    storage: str = "float16"  # of the weights in the bundle
    golden_prompt: str = "a red apple"
    sampling: SamplingConfig = field(default_factory=SamplingConfig)  # what the bundle draws with by default

    shipped_stages: ClassVar[Mapping[str, str]] = {"clip": "clip"}

    def __post_init__(self) -> None:
        shares = ("drop_image", "drop_text", "drop_layout", "everything_masked", "pixels_share")
        for name in (*shares, "bpe_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadInput(f"task.{name}={getattr(self, name)}: a share from 0 to 1 is needed")
        if self.stray < 0:
            raise BadInput(f"task.stray={self.stray}: 0 or more is needed")
        if not 0 < self.noise_power <= 4:
            raise BadInput(f"task.noise_power={self.noise_power}: more than 0, at most 4, is needed")
        if self.pixels_share < 1 and getattr(self.net, "cells", None) is None:
            raise BadInput(f"task.pixels_share={self.pixels_share}: 1 is needed, task.net.cells is null")
        if self.v_weight is not None and (self.net.prediction != "x0" or self.v_weight < 1):
            raise BadInput(f"task.v_weight={self.v_weight}: 1 or more, and task.net.prediction=x0, is needed")
        check_alone(self.alone, self.net)
        check_dropout(getattr(self.net, "layout", None), self.bpe_dropout)
        if isinstance(self.net, ClipDecoderConfig):
            for name, wanted, why in (
                ("everything_masked", 1, "does not inpaint"),
                ("scale", "constant", "takes CLIP's embeddings as they are"),
                ("stray", 0, "takes CLIP's embeddings as they are"),
            ):
                given = getattr(self, name)
                if given != wanted:
                    raise BadInput(
                        f"task.{name}={given}: a decoder of Karlo's form {why}, {wanted} is needed"
                    )

    def build(self, using: Mapping[str, Bundle], init: Bundle | None) -> DecoderTask:
        """using: `clip` (needed), and other stages that the bundle is to hold too.
        init: a dalle2 bundle to go on from.

        Raises BadInput for a stage that is missing, unknown or made with another CLIP.
        """
        check_stages(using, "decoder", self.net.unit)
        clip = from_json(ClipConfig, using["clip"].config("clip"), "clip")
        if isinstance(self.net, ClipDecoderConfig):
            net = replace(self.net, embed=clip.embed, text_width=clip.text.width)
        else:
            caption = self.net.caption
            if caption is not None:
                caption = replace(caption, vocab=tokenizer(using["clip"]).vocab)
            sketch = None if self.net.sketch is None else replace(self.net.sketch, width=clip.text.width)
            net = replace(
                self.net,
                embed=clip.embed,
                caption=caption,
                text_width=clip.text.width,
                vocab=clip.text.vocab,
                sketch=sketch,
            )
        task = DecoderTask
        if self.alone is not None:
            from armchair.dalle2.alone import TASKS

            task = TASKS[self.alone]
        return task(replace(self, net=net), using, init)


class Read(NamedTuple):
    """Captions as CLIP's tower reads them. B of them, l the places that the longest has."""

    text_emb: Tensor  # (B, Z)
    text_seq: Tensor  # (B, l, W)
    keep: Tensor  # (B, l) bool, False is no token
    context: Tensor | None  # (B, l, W), what a sketch makes of them, where there is one
    drafted: Tensor | None = None  # (B, C, h, w), what their draft is, where it is known


class DecoderTask(Stage):
    """One network, `net`; CLIP stands frozen beside it."""

    own = "decoder"
    net: Decoder | ClipDecoder

    def __init__(self, config: DecoderTaskConfig, using: Mapping[str, Bundle], init: Bundle | None = None):
        net = network_of("decoder", config.net)
        if init is not None:
            fill_module(net, grown(net, init.tensors("decoder"), GROWN), "decoder")
        super().__init__(net, using, config.captions, config.golden_prompt, to_json(config.sampling))
        self.config = config
        self.side = config.net.image_size
        self.schedule = config.net.levels_of_noise
        self._shown: Tensor | None = None
        self._fresh = init is None
        self._others: Tensor | None = None  # (N, Z) embeddings of some pictures
        self._hold_still()

    def _hold_still(self) -> None:
        """Keep the sketch as it is: what the U-Net has learned to build on must not move; and the convolution
        that makes cells, of whose errors the loss is made.
        """
        if isinstance(self.net, Decoder):
            cells = None if self.net.cells is None else self.net.cells.into
            for still in (self.net.sketch, cells):
                if still is not None:
                    still.requires_grad_(False)

    def prepare(self, source: Source, rng: torch.Generator) -> None:
        """Note words and languages, choose previews, and fit the scale where the recipe says so, and cells
        where the weights are fresh.
        """
        chosen = self.look(source, rng, SHOWN)
        self._shown = torch.stack([pixels_of(sample, self.side) for sample in chosen])
        if self.config.scale == "fitted" or self.config.stray > 0:
            self._others = self.embeddings(source, FITTED, rng, self.side)[0]
        if self.config.scale == "fitted":
            assert isinstance(self.net, Decoder) and self._others is not None
            self.net.scale.fit(self._others.to(self.net.scale.mean))
        if self._fresh and isinstance(self.net, Decoder) and self.net.cells is not None:
            rows = torch.randint(len(source), (SEEN,), generator=rng).tolist()
            self.net.cells.fit(torch.stack([pixels_of(source[i], self.side) for i in rows]))

    def example(self, sample: Sample, generator: torch.Generator) -> dict[str, Tensor]:
        """image (3, S, S) uint8, tokens (L,), keep (1, S, S) bool, has_image () bool; where there is a layout
        spots (M, 5) and shows_layout () bool
        """
        config = self.config
        caption = config.captions.pick(sample, generator)
        ids = self.embedder.bpe.encode(caption.text, config.bpe_dropout, generator)
        hide_text, hide_image, nothing = torch.rand(3, generator=generator).tolist()
        keep = random_keep(self.side, self.side, generator)
        if nothing < config.everything_masked:
            keep = torch.zeros_like(keep)
        return {
            **self._layout(None if hide_text < config.drop_text else caption, config.drop_layout, generator),
            "image": pixels_of(sample, self.side),
            "tokens": self.tokens([] if hide_text < config.drop_text else ids),
            "keep": keep,
            "has_image": torch.tensor(hide_image >= config.drop_image),
        }

    def _layout(self, caption: Caption | None, drop: float, generator: torch.Generator) -> dict[str, Tensor]:
        """What an example says of the layout, where there is one. caption: None is hidden, and with it the
        look; drop: share of layouts that are not shown
        """
        if not isinstance(self.net, Decoder) or self.net.layout is None:
            return {}
        end = self.embedder.config.text.length - 1
        if caption is None:
            return example_of([], self.net.layout.config, "", drop, generator)
        spots = placed(caption, self.embedder.bpe.encode, 1, end)
        return example_of(spots, self.net.layout.config, caption.look, drop, generator)

    def tokens(self, ids: Sequence[int]) -> Tensor:
        """BPE ids -> (L,) int64 as the decoder reads a caption; of no ids: as it reads a hidden one"""
        caption = None if isinstance(self.net, ClipDecoder) else self.net.config.caption
        return self.embedder.tokens_of(ids) if caption is None else caption_tokens(ids, caption.length)

    def counts(self, data: dict[str, Tensor]) -> dict[str, float]:
        return {"samples": float(len(data["image"]))}

    def loss(self, batch: Batch, rng: SeedBatch) -> tuple[Tensor, dict[str, float | Tensor]]:
        """The hybrid loss (arXiv:2102.09672): squared error of the mean, the bound for the variance alone;
        and the errors of the layout's priors and of the draft, which learn beside it.
        """
        t = rng.uniform().pow(self.config.noise_power).mul(len(self.schedule)).long()  # (B,)
        eps = rng.normal(3, self.side, self.side)
        z = self.embedder.image_emb(batch.data["image"])
        if self.config.stray > 0:
            z = self._strayed(z, batch.data["tokens"], rng)
        config, kind, count = self.config, self.net.config.prediction, len(t)
        drawn = max(1, math.ceil(config.pixels_share * count))
        read = self.read(batch.data["tokens"])
        drafted = None if read is None else self.drafted(batch.data, read)
        if read is not None and drafted is not None:
            read = read._replace(drafted=drafted.detach())
        output, x0, velocity = self.outputs(batch.data, read, t, eps, z, drawn)
        with torch.autocast(x0.device.type, enabled=False):
            output, clean, noise, at = output.float(), x0[:drawn], eps[:drawn], t[:drawn]
            pixels = simple(output, clean, noise, at, self.schedule, kind)  # (drawn,)
            logged, errors = {"simple": pixels.detach()}, []
            if config.v_weight is not None:
                _, sigma = self.schedule.alpha_sigma(at, pixels)
                pixels = pixels * sigma.square().reciprocal().clamp_max(config.v_weight)
            if velocity is not None:
                assert isinstance(self.net, Decoder) and self.net.cells is not None
                off = velocity.float() - self.net.cells.velocity(x0, eps)
                cells = off.square().mean(dim=(1, 2, 3))  # (B,)
                logged["cells"] = cells.detach()
                errors.append(config.cells_weight * cells)
            if self.net.config.learned_variance:
                bound = vlb(output, clean, noise, at, self.schedule, kind, detach_mean=True)  # (drawn,)
                pixels = pixels + config.vlb_weight * len(self.schedule) / 1000 * bound
                logged["vlb"] = bound.detach()
            if isinstance(self.net, Decoder) and self.net.layout is not None:
                assert read is not None and read.context is not None
                nats = self.net.layout.errors(read.context, read.keep, batch.data["spots"])  # (B,)
                logged["layout"] = nats.detach()
                errors.append(nats)
            if drafted is not None:
                assert isinstance(self.net, Decoder)
                off = drafted.float() - self.net.seen(x0)
                logged["draft"] = off.detach().square().mean(dim=(1, 2, 3))
                errors.append(off.square().mean(dim=(1, 2, 3)))

        def share(each: Tensor) -> Tensor:
            """(B,), or (drawn,) for all of them -> what this part of a batch adds to its mean"""
            return each.sum() * (count / len(each) / batch.totals["samples"])

        loss = sum((share(each) for each in errors), share(pixels))
        return loss, {name: share(value) for name, value in logged.items()}

    def outputs(
        self,
        data: Mapping[str, Tensor],
        read: Read | None,
        t: Tensor,
        eps: Tensor,
        z: Tensor,
        drawn: int | None = None,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """What the network says of noised examples, of the first `drawn` alone where it works on cells; the
        clean pixels (B, 3, S, S) in -1..1; and what its U-Net says of cells where it works on them.
        """
        x0 = from_pixels(data["image"].float() / 255)
        cond, x = self.conditions(data, read, x0, z), noised(x0, eps, t, self.schedule)
        if isinstance(self.net, Decoder):
            output, velocity = self.net.with_cells(x, t, cast(Conditions, cond), drawn)
            return output, x0, velocity
        return self.net(x, t, **cond), x0, None

    def _strayed(self, z: Tensor, tokens: Tensor, rng: SeedBatch) -> Tensor:
        """z (B, Z), tokens (B, L) -> (B, Z), of length one; where the caption is hidden as it was"""
        assert self._others is not None
        share = self.config.stray * rng.uniform()
        share = share * (tokens != self.tokens([]).to(tokens)).any(dim=1)
        other = self._others.to(z)[rng.randint(0, len(self._others))]
        return nn.functional.normalize(z + share[:, None] * other, dim=-1)

    def conditions(
        self, data: Mapping[str, Tensor], read: Read | None, x0: Tensor, z: Tensor
    ) -> Conditions | ClipConditions:
        """What examples are drawn from. read: of their captions, see `read`; x0 (B, 3, S, S), z (B, Z)"""
        has_image = data["has_image"]
        if isinstance(self.net, ClipDecoder):
            assert read is not None
            return self.net.conditions(read.text_emb, read.text_seq, read.keep, z, has_image)
        known = known_part(x0, data["keep"])
        if read is None:
            return self.net.conditions(data["tokens"], z, has_image, known)
        told = read.keep, read.context, self._spots(data), read.drafted
        return self.net.conditions(read.text_seq, z, has_image, known, *told)

    def drafted(self, data: Mapping[str, Tensor], read: Read) -> Tensor | None:
        """(B, C, h, w) what examples are to be expected to be; None where there is no draft"""
        if not isinstance(self.net, Decoder) or self.net.draft is None:
            return None
        assert read.context is not None
        side = self.side if self.net.cells is None else self.side // self.net.cells.config.patch
        return self.net.drafted(read.text_seq, read.keep, read.context, self._spots(data), side, side)

    def _spots(self, data: Mapping[str, Tensor]) -> Tensor | None:
        """(B, M, 5) what examples show of their layouts, where there are such"""
        return data["spots"] * data["shows_layout"][:, None, None] if "spots" in data else None

    def read(self, tokens: Tensor) -> Read | None:
        """tokens (B, L) -> what CLIP's tower reads; None where the decoder reads them itself"""
        sketch = None
        if isinstance(self.net, Decoder):
            if self.net.caption is not None:
                return None
            sketch = self.net.sketch
        text_emb, text_seq, keep = self.embedder.words(tokens)
        longest = int(keep.sum(dim=1).max())
        text_seq, keep = text_seq[:, :longest], keep[:, :longest]
        context = None if sketch is None else sketch.read(text_seq, tokens[:, :longest], keep)
        return Read(text_emb, text_seq, keep, context)

    def preview(self, rng: SeedBatch) -> Image.Image | None:
        """Pictures of the data; below them what their embeddings and captions give, and captions alone."""
        if self._shown is None:
            return None
        pipeline, seeds = self.pipeline(lambda: self.net), rng.seeds[:SHOWN]
        assert pipeline is not None
        shown, size = self._shown[: len(seeds)], f"{self.side}x{self.side}"
        images = [to_image(image.float() / 255) for image in shown]
        z = self.embedder.image_emb(shown)
        for i, (prompt, seed) in enumerate(zip(self.prompts, seeds, strict=False)):
            *_, last = pipeline.paint(prompt, z[i : i + 1], [seed], size, pipeline.defaults)
            images.append(to_image(last.images[0]))
        return contact_sheet([*images, *self.drawn(pipeline, self.prompts, seeds)], columns=len(seeds))

    def evaluate(self, source: Source, n: int) -> dict[str, float]:
        """Mean squared error of the clean picture and of the noise, nothing hidden, nothing known, over all
        noise levels evenly; and of the picture in three thirds of them, whatever the network predicts.
        """
        device = self.embedder.device
        levels, kind = self.schedule, self.net.config.prediction
        x0_error, eps_error = torch.zeros(n), torch.zeros(n)
        for start in range(0, n, ROWS):
            rows = range(start, min(n, start + ROWS))
            data = self._plain([source[i % len(source)] for i in rows], device)
            t = torch.tensor([i * len(levels) // n for i in rows], device=device)
            eps = SeedBatch(list(rows), device).normal(3, self.side, self.side)
            z = self.embedder.image_emb(data["image"])
            output, x0, _ = self.outputs(data, self.read(data["tokens"]), t, eps, z)
            found = predict(split(output.float(), x0)[0], noised(x0, eps, t, levels), t, levels, kind)
            x0_error[rows.start : rows.stop] = (found.x0 - x0).square().mean(dim=(1, 2, 3)).cpu()
            eps_error[rows.start : rows.stop] = (found.eps - eps).square().mean(dim=(1, 2, 3)).cpu()
        thirds = zip(("x0_low", "x0_middle", "x0_high"), x0_error.tensor_split(3), strict=True)
        return {
            "x0": x0_error.mean().item(),
            "eps": eps_error.mean().item(),
            **{name: part.mean().item() for name, part in thirds},
        }

    def components(self) -> dict[str, Component | Shared]:
        """The decoder, its `words`, and those of the other stages."""
        config, tensors = to_json(self.net.config), self.net.state_dict()
        own = Component(config=config, tensors=tensors, storage=self.config.storage)
        return {**self.carried(), "decoder": own}

    def golden(self) -> tuple[str, int, Image.Image] | None:
        """Drawn with the weights as the bundle stores them, since rounding changes what is drawn."""
        return self.draw_golden(self._stored)

    def _stored(self) -> nn.Module:
        net = network_of("decoder", self.net.config)
        fill_module(net, unpack(pack(self.net.state_dict(), self.config.storage)), "decoder")
        return ready(net, self.embedder.device, torch.float32)

    def _plain(self, samples: list[Sample], device: torch.device) -> dict[str, Tensor]:
        """Examples with nothing hidden and nothing known; the captions are the same ones each time."""
        captions = [
            self.config.captions.pick(sample, torch.Generator().manual_seed(i))
            for i, sample in enumerate(samples)
        ]
        tokens = [self.tokens(self.embedder.bpe.encode(caption.text)) for caption in captions]
        layouts, count = [self._layout(caption, 0.0, torch.Generator()) for caption in captions], len(samples)
        return {
            **{name: torch.stack([one[name] for one in layouts]).to(device) for name in layouts[0]},
            "image": torch.stack([pixels_of(sample, self.side) for sample in samples]).to(device),
            "tokens": torch.stack(tokens).to(device),
            "keep": torch.zeros(count, 1, self.side, self.side, dtype=torch.bool, device=device),
            "has_image": torch.ones(count, dtype=torch.bool, device=device),
        }
