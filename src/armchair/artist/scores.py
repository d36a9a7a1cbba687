"""How well pictures fit texts, by CLIP: the cosine of their embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from armchair.artist.find import find
from armchair.core.bundle import Bundle
from armchair.core.errors import BadInput, Unsupported
from armchair.core.images import open_image

if TYPE_CHECKING:
    import torch

    from armchair.clip.pipeline import ClipModel

CLIP = "clip"  # the shipped bundle that ranks where none is named


def load_clip(
    model: str | Path = CLIP, device: str | torch.device = "auto", need: str = "score"
) -> tuple[ClipModel, Bundle]:
    """A clip bundle's towers, and the bundle. need: what asks for it, for the messages.

    Raises Unsupported where the bundle is not here or of another kind, BundleError for a damaged one.
    """
    try:
        folder = find(model)
    except BadInput as error:
        raise Unsupported(f"{need} needs a clip bundle: {error}") from None
    bundle = Bundle.open(folder)
    if bundle.kind != "clip":
        raise Unsupported(f"{need} needs a clip bundle; {bundle.name} is a {bundle.kind} bundle")
    import torch

    from armchair.clip.pipeline import ClipModel
    from armchair.core.device import pick_device

    return ClipModel.from_bundle(bundle, pick_device(device), torch.float32), bundle


def score(
    images: Sequence[Image.Image | str | Path],
    texts: Sequence[str],
    *,
    model: str | Path = CLIP,
    device: str = "auto",
) -> list[list[float]]:
    """How well each picture fits each text: score(images, texts)[i][j] is the cosine of image i with text j,
    -1..1. A hundred times it is the CLIP score.

    Only scores of one clip bundle compare. Raises BadInput for no pictures, no texts or an empty one, and for
    a picture that cannot be read; Unsupported where the bundle is not here.
    """
    texts, pictures = check_texts(texts), open_images(images)
    clip, _ = load_clip(model, device)
    return clip.score(pictures, texts).tolist()


def open_images(images: Sequence[Image.Image | str | Path]) -> list[Image.Image]:
    """The pictures. Raises BadInput for one instead of several, for none, and for one that is none."""
    if isinstance(images, str | Path | Image.Image):
        raise BadInput("images is one picture: give a list of pictures")
    if not images:
        raise BadInput("there are no pictures to score")
    return [open_image(image) for image in images]


def check_texts(texts: Sequence[str]) -> list[str]:
    """The texts. Raises BadInput for one instead of several, for none, and for an empty one."""
    if isinstance(texts, str):
        raise BadInput(f"texts is one text, {texts[:40]!r}: give a list of texts")
    if not texts:
        raise BadInput("there are no texts to score the pictures with")
    for text in texts:
        if not isinstance(text, str):
            raise BadInput(f"a text is {type(text).__name__}, not text")
        if not text.strip():
            raise BadInput("a text is empty; say what the pictures are to be compared with")
    return list(texts)
