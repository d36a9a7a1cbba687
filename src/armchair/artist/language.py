"""Operations on words and pictures that need networks beside the drawing ones."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from armchair.artist.check import check_prompt
from armchair.artist.expansion import BUILTIN, write_out
from armchair.artist.find import find
from armchair.core.bundle import Bundle
from armchair.core.errors import BadInput, Unsupported
from armchair.core.images import open_image
from armchair.core.rng import mix
from armchair.core.task import Caption, CaptionKind, Language

if TYPE_CHECKING:
    import numpy as np

    from armchair.artist.conversation import Conversation
    from armchair.dalle3.captioner_pipeline import CaptionerModel
    from armchair.data.recaption import Captions

log = logging.getLogger("armchair")

CAPTIONER = "captioner"  # the shipped bundle that captions where none is named


def caption(
    image: Image.Image | str | Path,
    *,
    long: bool = False,
    language: str = "en",
    model: str | Path = CAPTIONER,
    device: str = "auto",
) -> str:
    """What a picture (its middle square) shows, in words: the main subject, or with `long` all of it.

    Raises BadInput for a picture that cannot be read and a language that is not spoken, Unsupported where no
    captioner is here.
    """
    picture = open_image(image)
    return load_captioner(str(model), device).caption([picture], "long" if long else "short", language)[0]


@functools.cache
def load_captioner(model: str = CAPTIONER, device: str = "auto") -> CaptionerModel:
    """A captioner bundle's network, which stays: it is small. Raises Unsupported where the bundle is not here
    or of another kind, BundleError for a damaged one.
    """
    try:
        folder = find(model)
    except BadInput as error:
        raise Unsupported(f"caption needs a captioner bundle: {error}") from None
    bundle = Bundle.open(folder)
    if bundle.kind != "captioner":
        raise Unsupported(f"caption needs a captioner bundle; {bundle.name} is a {bundle.kind} bundle")
    from armchair.core.device import pick_device
    from armchair.dalle3.captioner_pipeline import CaptionerModel

    return CaptionerModel.from_bundle(bundle, pick_device(device))


@dataclass(frozen=True)
class Captioning:
    """Captions of several kinds for many pictures at a time; pickles as its settings."""

    model: str = CAPTIONER
    kinds: tuple[CaptionKind, ...] = ("short", "long")
    languages: tuple[Language, ...] = ("en",)
    temperature: float = 0.5  # 0 says the same of like pictures
    device: str = "auto"

    @property
    def by(self) -> str:
        """What tells it from other captioners: its bundle's hash and these settings."""
        digest = Bundle.open(find(self.model)).digest[:12]
        return f"{digest} {','.join(self.kinds)} {','.join(self.languages)} {self.temperature:g}"

    def __call__(self) -> Captions:
        """The function that captions, its network loaded: a process calls this once. Raises Unsupported."""
        load_captioner(self.model, self.device)
        return self.captions

    def captions(self, images: Sequence[np.ndarray], keys: Sequence[str]) -> list[tuple[Caption, ...]]:
        """(H, W, 3) uint8 each, and names that choose the words -> captions of each."""
        network = load_captioner(self.model, self.device)
        pictures = [Image.fromarray(image) for image in images]
        found: list[list[Caption]] = [[] for _ in images]
        for kind in self.kinds:
            for language in self.languages:
                seeds = [mix("recaption", key, kind, language) for key in keys]
                texts = network.caption(
                    pictures, kind, language, temperature=self.temperature, top_p=0.9, seeds=seeds
                )
                for row, text in zip(found, texts, strict=True):
                    row.append(Caption(text, kind, language))
        return [tuple(row) for row in found]


def expand(
    prompt: str,
    *,
    writer: str = BUILTIN,
    language: str | None = None,
    seed: int = 0,
    device: str = "auto",
) -> str:
    """A short prompt as a description of 15 to 80 words that keeps all that it names.

    writer: off, builtin, the address of an OpenAI-compatible endpoint (with #MODEL behind it where it has
    several), or a folder of a transformers model.  language: en or ko, None is the prompt's.
    Where a writer gives no good answer, the prompt itself comes back and a note is logged. Raises BadInput
    for an empty prompt and an unknown writer, Unsupported where the builtin writer is not here.
    """
    text = check_prompt(prompt)
    found = write_out(text, writer, language=language, seed=seed, device=device)
    if found.note is not None:
        log.warning(found.note)
    return text if found.text is None else found.text


def chat(
    model: str | Path = "dalle3",
    *,
    seed: int | None = None,
    folder: str | Path | None = None,
    expand: str | None = None,
    size: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    **options: Any,
) -> Conversation:
    """Draw in a conversation: `.say("a cat")`, `.say("make it red")`, `.say("undo")`.

    folder: where the transcript and every picture go; one that holds a transcript is gone on with. seed: of
    all its pictures, None a random one. expand: None is what the model likes best. size and options: as in
    `Artist.generate`.
    """
    from armchair.artist.artist import load
    from armchair.artist.conversation import Conversation

    artist = load(model, device=device, dtype=dtype)
    place = None if folder is None else Path(folder)
    return Conversation(artist, seed=seed, folder=place, expand=expand, size=size, options=options)
