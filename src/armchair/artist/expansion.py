"""Who writes a prompt out before it is drawn: nobody, our own writer, or a language model of the person's.

Whoever it is, what comes back is checked, and where it is no good the person's own words stand, with a note
that says so (DALL·E 3, section 3.5 and appendix C).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from armchair.artist.find import find
from armchair.core.bundle import Bundle
from armchair.core.errors import BadInput, Unsupported, nearest
from armchair.text.words import has_hangul

if TYPE_CHECKING:
    from armchair.writer.pipeline import WriterModel

OFF, BUILTIN = "off", "builtin"
WRITER = "writer"  # the shipped bundle that writes where none is named
WRITERS = "off, builtin, the address of an OpenAI-compatible endpoint, or a folder of a transformers model"


@dataclass(frozen=True, kw_only=True)
class Expansion:
    """What is to be drawn in place of a prompt. text: None where the person's own words stand."""

    text: str | None
    by: str  # off, builtin, or the language model
    note: str | None = None  # why the person's own words stand; one line for them to read


def check_writer(writer: str) -> str:
    """A writer's name, address or folder. Raises BadInput for one that is none."""
    if not isinstance(writer, str):
        raise BadInput(f"the writer is {writer!r}, not text. There are {WRITERS}")
    if writer in (OFF, BUILTIN) or writer.startswith(("http://", "https://")) or Path(writer).is_dir():
        return writer
    raise BadInput(f"no writer {writer!r}.{nearest(writer, (OFF, BUILTIN))} There are {WRITERS}")


def write_out(
    prompt: str, writer: str, *, language: str | None = None, seed: int = 0, device: str = "auto"
) -> Expansion:
    """A short prompt as a whole description. language: None is the prompt's; seed: of the builtin writer.

    Raises BadInput for an unknown writer, Unsupported where the builtin one is not here.
    """
    if check_writer(writer) == OFF:
        return Expansion(text=None, by=OFF)
    if writer == BUILTIN:
        text = load_writer(device=device).write(prompt, language, seed).text
        return Expansion(text=text, by=BUILTIN, note=untranslated(text, language))
    from armchair.artist.llm import ask

    return ask(writer, prompt, language=language)


def rewrite(
    description: str,
    request: str,
    writer: str,
    *,
    language: str | None = None,
    seed: int = 0,
    device: str = "auto",
) -> Expansion:
    """A whole description changed as it is asked. Raises as `write_out` does."""
    if check_writer(writer) == OFF:
        return Expansion(text=None, by=OFF)
    if writer == BUILTIN:
        text = load_writer(device=device).revise(description, request, language, seed).text
        return Expansion(text=text, by=BUILTIN, note=untranslated(text, language))
    from armchair.artist.llm import ask

    return ask(writer, request, before=description, language=language)


def untranslated(text: str, language: str | None) -> str | None:
    """A note where a text should be English and has words that nobody could translate."""
    if language != "en" or not has_hangul(text):
        return None
    return "the prompt has Korean words that the writer cannot translate; they are drawn as they are"


@functools.cache
def load_writer(model: str = WRITER, device: str = "auto") -> WriterModel:
    """A writer bundle's network, which stays: it is small. Raises Unsupported where the bundle is not here or
    of another kind, BundleError for a damaged one.
    """
    try:
        folder = find(model)
    except BadInput as error:
        raise Unsupported(f"expand needs a writer bundle: {error}") from None
    bundle = Bundle.open(folder)
    if bundle.kind != "writer":
        raise Unsupported(f"expand needs a writer bundle; {bundle.name} is a {bundle.kind} bundle")
    from armchair.core.device import pick_device
    from armchair.writer.pipeline import WriterModel

    return WriterModel.from_bundle(bundle, pick_device(device))
