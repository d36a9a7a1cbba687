"""What each of OpenAI's models took, and what ours take: limits and words as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

SMALL = ("256x256", "512x512", "1024x1024")
WIDE = ("1024x1024", "1792x1024", "1024x1792")
GPT = ("1024x1024", "1536x1024", "1024x1536")
KNOWN_SIZES = (*SMALL, "1792x1024", "1024x1792", "1536x1024", "1024x1536")
MB = 2**20

# which fields a route takes from every model
ROUTES: Mapping[str, frozenset[str]] = {
    "generations": frozenset({"model", "prompt", "n", "size", "user"}),
    "edits": frozenset({"model", "prompt", "n", "size", "user", "image", "mask"}),
    "variations": frozenset({"model", "n", "size", "user", "image"}),
}
STREAMING = frozenset({"stream", "partial_images"})
FILES = frozenset({"output_format", "output_compression"})
EXTENSIONS = frozenset({"seed", "rerank", "expand"})  # and the options of the model itself


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """A family of models as callers know it."""

    prompt: int  # characters
    n: int  # pictures of one call
    n_strict: int  # what OpenAI's API allowed
    sizes: tuple[str, ...]  # () are the model's own
    size: str | None  # the default; None is the model's first
    any_size: bool = False  # every WIDTHxHEIGHT of multiples of 16 within the limits of `free_size`
    fields: frozenset[str]  # beyond those of the route
    extended: frozenset[str] = frozenset()  # fields that we take and OpenAI's API refused
    qualities: tuple[str, ...] = ()
    styles: tuple[str, ...] = ()
    gpt: bool = False  # gpt-image manners: always base64, usage, another refusal by policy
    revises: bool = False  # prompts are written out and the reply tells
    picture_bytes: int = 50 * MB
    formats: tuple[str, ...] = ("PNG", "JPEG", "WEBP")
    square: bool = False  # uploads must be


DALLE2 = Dialect(
    prompt=1000,
    n=10,
    n_strict=10,
    sizes=SMALL,
    size="1024x1024",
    fields=frozenset({"quality", "response_format"}),
    extended=STREAMING | FILES | EXTENSIONS,
    qualities=("standard", "auto"),
    picture_bytes=4 * MB,
    formats=("PNG",),
    square=True,
)
DALLE3 = Dialect(
    prompt=4000,
    n=10,
    n_strict=1,
    sizes=WIDE,
    size="1024x1024",
    fields=frozenset({"quality", "style", "response_format"}),
    extended=STREAMING | FILES | EXTENSIONS,
    qualities=("standard", "hd", "auto"),
    styles=("vivid", "natural"),
    revises=True,
    picture_bytes=4 * MB,
    formats=("PNG",),
    square=True,
)
GPT_IMAGE = Dialect(
    prompt=32000,
    n=10,
    n_strict=10,
    sizes=GPT,
    size="1024x1024",
    fields=frozenset({"quality", "background", "moderation", "input_fidelity"}) | STREAMING | FILES,
    extended=EXTENSIONS,
    qualities=("low", "medium", "high", "auto"),
    gpt=True,
)
GPT_IMAGE_2 = replace(GPT_IMAGE, any_size=True)
OWN = Dialect(
    prompt=10_000,
    n=64,
    n_strict=64,
    sizes=(),
    size=None,
    fields=frozenset({"quality", "style", "response_format"}) | STREAMING | FILES | EXTENSIONS,
    qualities=("standard", "hd", "low", "medium", "high", "auto"),
    styles=("vivid", "natural"),
)

BY_NAME: Mapping[str, Dialect] = {
    "dall-e-2": DALLE2,
    "dall-e-3": DALLE3,
    "gpt-image-1": GPT_IMAGE,
    "gpt-image-1-mini": GPT_IMAGE,
    "gpt-image-1.5": GPT_IMAGE,
    "gpt-image-2": GPT_IMAGE_2,
    "gpt-image-2-2026-04-21": GPT_IMAGE_2,
}

# fields that only gpt-image models know: a call with one and without a model means such a model
GPT_ONLY = frozenset({"background", "moderation", "input_fidelity"})


def quality_options(quality: str | None, style: str | None, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """What the words mean for a model, by the options that it has.

    hd, high: twice the steps, or nine tenths of the temperature where a model has no steps.
    low: half the steps.  natural: seven tenths of the guidance's distance from 1.  The others: as it is.
    """
    chosen: dict[str, Any] = {}
    steps, temperature, guidance = (defaults.get(name) for name in ("steps", "temperature", "guidance"))
    if quality in {"hd", "high"}:
        if isinstance(steps, int):
            chosen["steps"] = steps * 2
        elif isinstance(temperature, int | float):
            chosen["temperature"] = round(temperature * 0.9, 3)
    if quality == "low" and isinstance(steps, int):
        chosen["steps"] = max(1, steps // 2)
    if style == "natural" and isinstance(guidance, int | float):
        chosen["guidance"] = round(1 + (guidance - 1) * 0.7, 3)
    return chosen
