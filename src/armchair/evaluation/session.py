"""What the suites of one evaluation share: the model, the yardsticks, and the pictures drawn so far."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from armchair.artist.artist import Artist, load
from armchair.artist.find import find
from armchair.artist.scores import load_clip
from armchair.core.bundle import Bundle
from armchair.core.device import pick_device
from armchair.core.errors import BadInput, Unsupported
from armchair.core.images import to_tensor
from armchair.core.logs import silenced
from armchair.data.world.art import Art, emoji_art
from armchair.evaluation.geneval import SIDE
from armchair.evaluation.prompts import LANGUAGES, SEEDS, Prompt, chosen, load_prompts
from armchair.evaluation.scenes import compose, pictures
from armchair.judge.reading import Reader, Reading

if TYPE_CHECKING:
    from armchair.clip.pipeline import ClipModel
    from armchair.evaluation.inception import Inception

KEPT = 256  # pixels per side above which drawn pictures are kept smaller
Tell = Callable[[str, int, int], None]  # what is being done, how many are done, of how many


def quiet(what: str, done: int, total: int) -> None:
    """Tells nobody."""


class Session:
    """One evaluation of one model. Yardsticks are loaded, and pictures drawn, when a suite asks for them."""

    def __init__(
        self,
        model: str | Path,
        *,
        quick: bool = False,
        device: str = "auto",
        clip: str | Path = "clip",
        judge: str | Path = "judge",
        inception: Path | None = None,
        save: Path | None = None,
        art: Art | None = None,
        tell: Tell = quiet,
    ):
        """save: folder for the pictures that are drawn.  art: None is Emoji World's.

        Raises BadInput for an unknown model, BundleError for a damaged one.
        """
        self.model = model
        self.bundle = Bundle.open(find(model))
        self.quick = quick
        self.device = device
        self.save = save
        self.tell = tell
        self.prompts: Sequence[Prompt] = chosen(quick)
        self.prompts_version = load_prompts().version
        self.uses: dict[str, str] = {}  # yardstick -> sha256, of those that the running suite asked for
        self._clip_name, self._judge_name, self._inception_path = clip, judge, inception
        self._art = art
        self._drawn: dict[tuple[str, str], Tensor] = {}

    # ---- yardsticks

    @cached_property
    def artist(self) -> Artist:
        return load(self.model, device=self.device)

    @property
    def clip(self) -> ClipModel:
        model, bundle = self._clip
        self.uses["clip"] = bundle.digest
        return model

    @property
    def reader(self) -> Reader:
        reader, bundle = self._judge
        self.uses["judge"] = bundle.digest
        return reader

    @property
    def inception(self) -> Inception | None:
        """The Inception network, where the user brought its weights."""
        if self._inception is None:
            return None
        net, digest = self._inception
        self.uses["inception"] = digest
        return net

    @property
    def art(self) -> Art:
        return emoji_art() if self._art is None else self._art

    @cached_property
    def _clip(self) -> tuple[ClipModel, Bundle]:
        return load_clip(self._clip_name, self.device, need="this suite")

    @cached_property
    def _judge(self) -> tuple[Reader, Bundle]:
        try:
            bundle = Bundle.open(find(self._judge_name))
        except BadInput as error:
            raise Unsupported(f"this suite needs a judge bundle: {error}") from None
        return Reader.from_bundle(bundle, pick_device(self.device)), bundle

    @cached_property
    def _inception(self) -> tuple[Inception, str] | None:
        if self._inception_path is None:
            return None
        from armchair.evaluation.inception import load_inception

        net, digest = load_inception(self._inception_path)
        return net.to(pick_device(self.device)), digest

    # ---- pictures: (N, 3, H, W) uint8, so that a thousand of them fit into memory

    def drawn(self) -> dict[tuple[str, str], Tensor]:
        """The model's pictures of every prompt: (id, language) -> (4, 3, H, W) uint8; drawn once."""
        todo = [(p, language) for p in self.prompts for language in LANGUAGES]
        for done, (prompt, language) in enumerate(todo):
            if (prompt.id, language) not in self._drawn:
                self.tell("drawing the prompts", done, len(todo))
                names = [file_name(prompt, language, seed) for seed in SEEDS]
                self._drawn[prompt.id, language] = self.draw(prompt.text(language), SEEDS, names)
        self.tell("drawing the prompts", len(todo), len(todo))
        return self._drawn

    def draw(self, text: str, seeds: Sequence[int], names: Sequence[str]) -> Tensor:
        """The model's pictures of a text, one a seed: (N, 3, H, W) uint8; saved by name if asked."""
        with silenced("armchair", logging.ERROR):  # notes on single prompts, such as words never seen
            found = self.artist.generate(text, n=len(seeds), seed=seeds[0])
        if self.save is not None:
            for picture, name in zip(found, names, strict=True):
                picture.save(self.save / name)
        return as_bytes(at_side(torch.stack([to_tensor(p.image) for p in found]), KEPT, grow=False))

    def rendered(self) -> dict[str, Tensor]:
        """The renderer's pictures of every prompt: id -> (4, 3, 64, 64) uint8."""
        return {
            p.id: as_bytes(pictures([compose(p, s) for s in SEEDS], SIDE, self.art)) for p in self.prompts
        }

    def read(self, images: Tensor) -> list[Reading]:
        """images (N, 3, H, W) uint8 -> what the judge reads in each at 64 pixels."""
        return self.reader.read(at_side(images.float() / 255, SIDE))

    def image_emb(self, images: Tensor) -> Tensor:
        """images (N, 3, H, W) uint8 -> (N, E) of length one, on the CPU"""
        return torch.cat([self.clip.image_emb(part.float() / 255).cpu() for part in images.split(256)])

    def each(self, what: str, things: Sequence[int], size: int) -> Iterator[Sequence[int]]:
        """The things in batches of `size`, telling how far it is."""
        for start in range(0, len(things), size):
            self.tell(what, start, len(things))
            yield things[start : start + size]
        self.tell(what, len(things), len(things))


def file_name(prompt: Prompt, language: str, seed: int) -> str:
    """Of a picture that is kept."""
    return f"{prompt.id.replace('/', '-')}-{language}-{seed}.png"


def at_side(images: Tensor, side: int, grow: bool = True) -> Tensor:
    """(N, 3, H, W) -> (N, 3, side, side); grow: smaller pictures too."""
    if images.shape[-2:] == (side, side) or (not grow and max(images.shape[-2:]) <= side):
        return images
    return F.interpolate(images, (side, side), mode="bicubic", antialias=True).clamp(0, 1)


def as_bytes(images: Tensor) -> Tensor:
    """(N, 3, H, W) float 0..1 -> uint8"""
    return (images * 255).round().to(torch.uint8)
