"""What a worker draws with. A test puts a scripted module with the same functions in its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from armchair.core.errors import BundleError, Unsupported

if TYPE_CHECKING:
    from PIL import Image

    from armchair.artist import Artist
    from armchair.clip.pipeline import ClipModel


def names() -> list[str]:
    """Every bundle here that draws by itself, shipped ones first."""
    from armchair.artist.find import available
    from armchair.core.bundle import Bundle
    from armchair.weights.kinds import PIPELINES

    found: list[str] = []
    for place in available():
        try:
            if Bundle.open(place.folder).kind in PIPELINES and place.name not in found:
                found.append(place.name)
        except BundleError:
            continue  # `armchair models` and `armchair doctor` tell what is wrong with it
    return found


def load(name: str, device: str, dtype: str) -> Artist:
    """Raises ArmchairError."""
    from armchair.artist import load

    return load(name, device=device, dtype=dtype)


def job(artist: Artist, operation: str, pictures: Sequence[Any], arguments: Mapping[str, Any]) -> Any:
    """The checked job of an operation, for `Artist.draw`. Raises ArmchairError."""
    if operation == "generate":
        return artist.job(**arguments)
    if operation == "complete":
        return artist.complete_job(*pictures, **arguments)
    from armchair.artist import edits

    return getattr(edits, f"{operation}_job")(artist, *pictures, **arguments)


def options(artist: Artist) -> dict[str, dict[str, Any]]:
    """operation -> the options that it takes, with their defaults."""
    own: Mapping[str, Mapping[str, Any]] = getattr(artist.pipeline, "operation_defaults", {})
    return {name: dict(own.get(name, artist.pipeline.defaults)) for name in artist.operations}


def says() -> list[str]:
    """The operations of `words` that the bundles here can do."""
    from armchair.artist.expansion import WRITER
    from armchair.artist.language import CAPTIONER
    from armchair.artist.scores import CLIP

    needs = {"caption": (CAPTIONER, "captioner"), "expand": (WRITER, "writer"), "score": (CLIP, "clip")}
    return ["chat", *(name for name, (bundle, kind) in needs.items() if _is_here(bundle, kind))]


def words(operation: str, arguments: Mapping[str, Any], pictures: Sequence[Image.Image], device: str) -> Any:
    """caption, expand, score, chat: the result as plain JSON. Raises ArmchairError."""
    from armchair import artist

    if operation == "caption":
        text = artist.caption(
            pictures[0], long=arguments["long"], language=arguments["language"], device=device
        )
        return {"text": text}
    if operation == "expand":
        return {"text": artist.expand(arguments["prompt"], writer=arguments["writer"], device=device)}
    if operation == "score":
        from armchair.artist.scores import check_texts

        scores: Any = _clip(device).score(list(pictures), check_texts(arguments["prompts"]))
        return {"scores": scores.tolist()}
    if operation == "chat":
        from armchair.artist.conversation import settled

        scene = settled(arguments["requests"], arguments["expand"], arguments["language"])
        return {"prompt": scene.prompt, "revised_prompt": scene.revised_prompt}
    raise Unsupported(f"no operation {operation!r}")


def _is_here(name: str, kind: str) -> bool:
    from armchair.artist.find import find
    from armchair.core.bundle import Bundle
    from armchair.core.errors import ArmchairError

    try:
        return Bundle.open(find(name)).kind == kind
    except ArmchairError:
        return False


@cache
def _clip(device: str) -> ClipModel:
    """The towers that score, which stay: they are small beside what draws. Raises Unsupported."""
    from armchair.artist.scores import load_clip

    return load_clip(device=device)[0]
