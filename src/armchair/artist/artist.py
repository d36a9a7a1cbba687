"""An artist: one loaded system, and every operation a person can ask of it."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from PIL import Image

from armchair.artist import edits
from armchair.artist.check import check_n, check_options, check_prompt, check_seed, check_size, check_steps
from armchair.artist.expansion import write_out
from armchair.artist.find import find
from armchair.artist.job import Job
from armchair.artist.rerank import Ranking, check_rerank
from armchair.artist.scores import CLIP, load_clip
from armchair.artist.source import pack_image
from armchair.core.bundle import Bundle
from armchair.core.device import pick_device, pick_dtype
from armchair.core.errors import Unsupported
from armchair.core.images import open_image, square, to_image
from armchair.core.picture import Picture
from armchair.core.step import Preview
from armchair.core.version import VERSION
from armchair.text.words import has_hangul, known_words, unseen
from armchair.weights.kinds import kinds_that, pipeline_class

if TYPE_CHECKING:
    from armchair.clip.pipeline import ClipModel
    from armchair.weights.kinds import Pipeline

log = logging.getLogger("armchair")

BATCH = 8  # pictures drawn at once; a picture does not depend on its neighbours


def load(
    model: str | Path,
    *,
    device: str = "auto",
    dtype: str = "auto",
    lora: Sequence[tuple[str | Path, float]] = (),
) -> Artist:
    """An artist from a shipped bundle's name, a run's name, or a folder.

    lora: files that change its networks, and how strongly (1 is as they were trained).
    Raises BadInput for an unknown name, device or dtype, BundleError for a damaged bundle, Unsupported for a
    bundle that does not draw by itself, or takes no LoRA.
    """
    bundle = Bundle.open(find(model))
    place, precision = pick_device(device), pick_dtype(dtype)
    pipeline = pipeline_class(bundle.kind).from_bundle(bundle, place, precision)
    artist = Artist(bundle, pipeline, model=str(model), device=place, dtype=precision)
    if lora:
        from armchair.weights.lora import Lora, apply  # with all key tables: a tenth of a second

        for path, strength in lora:
            found = Lora.open(path)
            apply(pipeline, bundle, found, strength)
            artist.lora.append({"file": str(path), "sha256": found.sha256, "strength": strength})
    return artist


class Artist:
    """A system with its weights loaded. The same call gives the same pixels, alone or in any batch."""

    def __init__(
        self,
        bundle: Bundle,
        pipeline: Pipeline,
        *,
        model: str,
        device: torch.device,
        dtype: torch.dtype,
    ):
        self.bundle = bundle
        self.pipeline = pipeline
        self.model = model  # as it was asked for
        self.device = device
        self.dtype = dtype
        self.lora: list[dict[str, Any]] = []  # files that change its networks
        self._words = known_words(bundle)
        self._clips: dict[str, tuple[ClipModel, Bundle]] = {}  # that have ranked for it

    @property
    def name(self) -> str:
        return self.bundle.name

    @property
    def sizes(self) -> list[str]:
        """The sizes that it draws, the default first."""
        return list(self.pipeline.sizes)

    @property
    def operations(self) -> frozenset[str]:
        return self.pipeline.operations

    @property
    def writing(self) -> str | None:
        """The language in which prompts are written out: English for a model that reads no Korean, None for
        that of the prompt.
        """
        spoken = self.pipeline.languages
        return "en" if spoken and "ko" not in spoken else None

    def generate(
        self,
        prompt: str,
        *,
        n: int = 1,
        seed: int | None = None,
        size: str | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        rerank: int | None = None,
        clip: str | Path = CLIP,
        expand: str | None = None,
        revised: str | None = None,
        prior: str | None = None,
        **options: Any,
    ) -> list[Picture]:
        """Draw a prompt: n pictures (1..64) with the seeds seed, seed + 1, ...

        seed: None takes a random one, which the picture tells.  size: "64x64", one of `sizes`; None is the
        first.
        rerank: draw so many (up to 512) and keep the n that fit the prompt best, the best first, as the clip
        bundle `clip` ranks them.
        expand: who writes the prompt out before it is drawn: off, builtin, the address of an
        OpenAI-compatible endpoint, or a folder of a transformers model.  revised: words that are drawn in
        place of the prompt, such as an earlier picture's `revised_prompt`, as it was or edited.
        guidance: 1 is off.  Further options are the system's own (`pipeline.defaults`): temperature, top_k,
        top_p for dalle1. Raises BadInput for a wrong value and Unsupported for what this system cannot do.
        """
        job = self.job(
            prompt,
            n=n,
            seed=seed,
            size=size,
            rerank=rerank,
            clip=clip,
            expand=expand,
            revised=revised,
            options={"steps": steps, "guidance": guidance, "prior": prior, **options},
        )
        return pictures(self.draw(job))

    def stream(
        self,
        prompt: str,
        *,
        n: int = 1,
        seed: int | None = None,
        size: str | None = None,
        expand: str | None = None,
        revised: str | None = None,
        **options: Any,
    ) -> Iterator[Preview]:
        """The previews of `generate`, as the pictures come into being; the last one is the pictures
        themselves. It takes what `generate` takes, but for rerank, with which no picture is chosen before
        the end.

        Preview: index 0 .. total - 1, total, images (B, 3, H, W) float 0..1. More than 8 pictures come in
        groups.
        """
        job = self.job(prompt, n=n, seed=seed, size=size, expand=expand, revised=revised, options=options)
        return (event for event in self.draw(job) if isinstance(event, Preview))

    def complete(
        self,
        image: Image.Image | str | Path,
        prompt: str,
        *,
        keep_rows: int | None = None,
        n: int = 1,
        seed: int | None = None,
        size: str | None = None,
        **options: Any,
    ) -> list[Picture]:
        """Go on from the top rows of a picture (its middle square).

        keep_rows: rows of codes that stay, None is half of them.  Raises BadInput where nothing would be
        left to draw.
        """
        job = self.complete_job(
            image, prompt, keep_rows=keep_rows, n=n, seed=seed, size=size, options=options
        )
        return pictures(self.draw(job))

    def variations(
        self,
        image: Image.Image | str | Path,
        *,
        n: int = 1,
        seed: int | None = None,
        size: str | None = None,
        **options: Any,
    ) -> list[Picture]:
        """Pictures like this one (its middle square): the same things, drawn anew.

        eta: 0 gives the picture itself, up to 1 varies more.  size: None is the smallest that holds it.
        Further options: steps, guidance.
        """
        return self._pictures(edits.variations_job(self, image, n=n, seed=seed, size=size, options=options))

    def interpolate(
        self,
        a: Image.Image | str | Path,
        b: Image.Image | str | Path,
        *,
        frames: int = 5,
        seed: int = 0,
        size: str | None = None,
        **options: Any,
    ) -> list[Picture]:
        """2 to 64 pictures on the way from one (the first frame) to another (the last).

        seed: of the noise that the upsamplers start from; there is no other.
        """
        job = edits.interpolate_job(self, a, b, frames=frames, seed=seed, size=size, options=options)
        return self._pictures(job)

    def text_diff(
        self,
        image: Image.Image | str | Path,
        *,
        source: str,
        target: str,
        frames: int = 5,
        seed: int = 0,
        size: str | None = None,
        **options: Any,
    ) -> list[Picture]:
        """The picture (the first frame) changed more and more as `target` differs from `source`, which says
        what it shows now. strength: how far the last frame goes, above 0 and up to 1; 0.25 to 0.5 is usual.
        seed: as in `interpolate`.
        """
        job = edits.text_diff_job(
            self, image, source=source, target=target, frames=frames, seed=seed, size=size, options=options
        )
        return self._pictures(job)

    def inpaint(
        self,
        image: Image.Image | str | Path,
        mask: Image.Image | str | Path | None,
        prompt: str,
        *,
        n: int = 1,
        seed: int | None = None,
        size: str | None = None,
        **options: Any,
    ) -> list[Picture]:
        """Paint a part of a picture anew; prompt: what the whole picture shows.

        mask: white, or alpha 0, is painted; None: what the picture has with alpha 0. The rest comes back
        unchanged. A picture that is not square is centred on a square, whose bars are painted.
        size: None is the smallest that holds it.
        """
        job = edits.inpaint_job(self, image, mask, prompt, n=n, seed=seed, size=size, options=options)
        return self._pictures(job)

    def outpaint(
        self,
        image: Image.Image | str | Path,
        prompt: str,
        *,
        size: str,
        anchor: str = "center",
        n: int = 1,
        seed: int | None = None,
        **options: Any,
    ) -> list[Picture]:
        """Go on beyond a picture's edges, to a larger size.

        anchor: where the picture lies: center, left, top-right ...
        """
        job = edits.outpaint_job(
            self, image, prompt, size=size, anchor=anchor, n=n, seed=seed, options=options
        )
        return self._pictures(job)

    def probe(
        self,
        image: Image.Image | str | Path,
        *,
        components: Sequence[int] | None = None,
        seed: int | None = None,
        size: str | None = None,
        **options: Any,
    ) -> list[Picture]:
        """What the first principal components of a picture's embedding hold: one picture a count, all from
        the same noise. components: None is 20, 40 and 80.
        """
        job = edits.probe_job(self, image, components=components, seed=seed, size=size, options=options)
        return self._pictures(job)

    def notes(self, prompt: str) -> list[str]:
        """What a person should know before looking at the picture: one line each, [] if all is well."""
        found: list[str] = []
        seen, enough = self.bundle.trained.get("samples_seen"), self.bundle.trained.get("enough")
        if isinstance(seen, int | float) and isinstance(enough, int | float) and seen < enough:
            found.append(f"{self.name}: {seen:,.0f} samples seen: expect noise")
        strange = unseen(prompt, self._words) if self._words is not None else []
        if strange:
            word = "word" if len(strange) == 1 else "words"
            found.append(f"{self.name} has never seen the {word} {', '.join(strange)}")
        if has_hangul(prompt) and self.pipeline.languages and "ko" not in self.pipeline.languages:
            found.append(
                f"{self.name} was not trained on Korean, only on {', '.join(self.pipeline.languages)}"
            )
        return found

    def job(
        self,
        prompt: str,
        *,
        n: int = 1,
        seed: int | None = None,
        size: str | None = None,
        rerank: int | None = None,
        clip: str | Path = CLIP,
        expand: str | None = None,
        revised: str | None = None,
        options: Mapping[str, Any],
    ) -> Job:
        """The arguments of `generate`, checked, and the prompt written out where that is asked for."""
        self.can("generate")
        text = check_prompt(prompt)
        words = None if revised is None else check_prompt(revised)
        drawn = check_n(n) if rerank is None else check_rerank(rerank, check_n(n))
        seeds, shape = self.seeds_from(seed, drawn), check_size(size, self.sizes, self.name)
        chosen = check_options(options, self.pipeline.defaults, self.name)
        if words is None and expand is not None:
            words = self._written_out(text, expand)
        drawn_words = text if words is None else words
        return Job(
            operation="generate",
            prompt=text,
            revised_prompt=words,
            seeds=seeds,
            size=shape,
            options=chosen,
            run=lambda batch: self.pipeline.stream(drawn_words, batch, shape, **chosen),
            ranking=None if rerank is None or rerank == 1 else self._ranking(clip, n),
        )

    def complete_job(
        self,
        image: Image.Image | str | Path,
        prompt: str,
        *,
        keep_rows: int | None = None,
        n: int = 1,
        seed: int | None = None,
        size: str | None = None,
        options: Mapping[str, Any],
    ) -> Job:
        """The arguments of `complete`, checked."""
        self.can("complete")
        text = check_prompt(prompt)
        rows = check_steps("keep_rows", keep_rows)
        seeds, shape = self.seeds_from(seed, check_n(n)), check_size(size, self.sizes, self.name)
        chosen = check_options(options, self.pipeline.defaults, self.name)
        start = square(open_image(image), int(shape.split("x")[0]))
        return Job(
            operation="complete",
            prompt=text,
            seeds=seeds,
            size=shape,
            options={**chosen, "keep_rows": rows},
            run=lambda batch: self.pipeline.complete(start, text, batch, keep_rows=rows, **chosen),
            source=pack_image(start),
        )

    def draw(self, job: Job) -> Iterator[Preview | Picture]:
        """Draw a job in batches: previews while it goes, and each batch's pictures at its end; with a ranking
        the best of all at the very end.
        """
        for note in self.notes(job.prompt if job.revised_prompt is None else job.revised_prompt):
            log.warning(note)
        if job.ranking is None:
            yield from self._batches(job)
        else:
            yield from job.ranking.best(self._batches(job), -(-len(job.items) // BATCH))

    def draw_all(self, jobs: Sequence[Job]) -> Iterator[Preview | Picture]:
        """Draw prompts of equal size and options as one run: previews of all pictures, job after job, then
        the pictures in that order, each the one that `draw` makes of its job alone. At most BATCH pictures,
        from `generate`, without a ranking, and only where the pipeline has `together`.
        """
        first, rows = jobs[0], [(job, seed) for job in jobs for seed in job.seeds]
        alike = ("generate", first.size, first.options)
        assert all((job.operation, job.size, job.options) == alike for job in jobs)
        prompts = [job.prompt if job.revised_prompt is None else job.revised_prompt for job, _ in rows]
        seeds, last = [seed for _, seed in rows], None
        for last in self.pipeline.stream(prompts, seeds, first.size, **first.options):
            yield last
        assert last is not None
        for (job, seed), image in zip(rows, last.images, strict=True):
            yield self._picture(job, seed, image)

    def _picture(self, job: Job, item: int, image: torch.Tensor) -> Picture:
        """image (3, H, W) float 0..1"""
        return Picture(
            image=to_image(image),
            seed=item if job.frames is None else job.seeds[0],
            prompt=job.prompt,
            revised_prompt=job.revised_prompt,
            recipe=self._recipe(job, item),
        )

    def _batches(self, job: Job) -> Iterator[Preview | Picture]:
        for start in range(0, len(job.items), BATCH):
            items = list(job.items[start : start + BATCH])
            last: Preview | None = None
            for last in job.run(items):
                yield last
            assert last is not None and len(last.images) == len(items)
            for item, image in zip(items, last.images, strict=True):
                yield self._picture(job, item, image)

    def _recipe(self, job: Job, item: int) -> dict[str, Any]:
        recipe: dict[str, Any] = {
            "armchair": VERSION,
            "operation": job.operation,
            "bundle": self.bundle.name,
            "digest": self.bundle.digest,
            "model": portable(self.model),
            "prompt": job.prompt,
            "revised_prompt": job.revised_prompt,
            "seed": item if job.frames is None else job.seeds[0],
            "size": job.size,
            "options": job.options,
            "dtype": str(self.dtype).removeprefix("torch."),
            "device": self.device.type,
            "torch": torch.__version__,
        }
        if self.lora:
            recipe["lora"] = [{**entry, "file": portable(entry["file"])} for entry in self.lora]
        more = {"frame": None if job.frames is None else item, "source": job.source, "second": job.second}
        return {**recipe, **{key: value for key, value in more.items() if value is not None}}

    def _pictures(self, job: Job) -> list[Picture]:
        return pictures(self.draw(job))

    def _written_out(self, prompt: str, writer: str) -> str | None:
        """What is drawn in place of a prompt, in the language of `writing`; None: the prompt.
        A function of the prompt alone, so that a picture is the same beside any others.
        """
        found = write_out(prompt, writer, language=self.writing, device=str(self.device))
        if found.note is not None:
            log.warning(found.note)
        return found.text

    def _ranking(self, clip: str | Path, keep: int) -> Ranking:
        name = str(clip)
        if name not in self._clips:
            self._clips[name] = load_clip(clip, self.device, need="rerank")
        model, bundle = self._clips[name]
        return Ranking(keep=keep, clip=model, digest=bundle.digest)

    def seeds_from(self, seed: int | None, count: int) -> range:
        first = secrets.randbelow(2**31) if seed is None else check_seed(seed, count)
        return range(first, first + count)

    def can(self, operation: str) -> None:
        if operation not in self.operations:
            self._unsupported(operation)

    def _unsupported(self, operation: str) -> NoReturn:
        remedy = self.pipeline.lacking.get(operation)
        if remedy is None:
            remedy = f"{', '.join(kinds_that(operation))} can: give --model or load() one of those"
        raise Unsupported(
            f"{self.name} ({self.pipeline.kind}) cannot do {operation}: {remedy}. "
            f"It can {', '.join(sorted(self.operations))}"
        )


def pictures(events: Iterator[Preview | Picture]) -> list[Picture]:
    """The pictures among the events of `Artist.draw`."""
    return [event for event in events if isinstance(event, Picture)]


def timed(events: Iterator[Preview | Picture]) -> Iterator[tuple[Preview | Picture, float]]:
    """Each event with the seconds since the first was asked for."""
    start = time.perf_counter()
    for event in events:
        yield event, time.perf_counter() - start


def portable(model: str) -> str:
    """A model's name or folder as a recipe tells it: below the person's home as ~, so that no user name
    leaks.
    """
    path = Path(model)
    if not path.is_absolute():
        return model
    for base, sign in ((Path.cwd(), "."), (Path.home(), "~")):
        if path.is_relative_to(base):
            return (Path(sign) / path.relative_to(base)).as_posix()
    return model
