"""OpenAI's three routes: from fields and files to an order, with every limit and word of the model asked."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from armchair.serve import errors
from armchair.serve.canvas import Size, size_to_draw
from armchair.serve.catalog import Catalog, Target
from armchair.serve.codecs import Codecs, Pixels
from armchair.serve.dialects import (
    DALLE2,
    EXTENSIONS,
    GPT_ONLY,
    OWN,
    ROUTES,
    STREAMING,
    Dialect,
    quality_options,
)
from armchair.serve.fields import MAX_SEED, Fields
from armchair.serve.orders import Order

T = TypeVar("T")

OPERATIONS = {"generations": "generate", "edits": "inpaint", "variations": "variations"}
ELSEWHERE = {  # fields that only the other routes know
    "generations": frozenset({"input_fidelity"}),
    "edits": frozenset({"moderation", "style"}),
    "variations": STREAMING | {"quality", "style", "moderation", "input_fidelity", "background"},
}
ALPHA = ("RGBA", "LA", "L")  # modes of what says where an edit paints


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call, checked: how to answer it, and what to draw but for the pictures that it brings."""

    route: str
    target: Target
    prompt: str = ""
    n: int = 1
    seed: int = 0
    size: Size | None = None  # of the answer; None is what is drawn
    url: bool = False
    format: str = "png"
    compression: int = 100
    stream: bool = False
    partials: int = 0
    quality: str | None = None
    rerank: int | None = None
    expand: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    extras: Mapping[str, Any] = field(default_factory=dict[str, Any])
    strict: bool = False

    @property
    def dialect(self) -> Dialect:
        return self.target.dialect

    def order(self, operation: str, pictures: tuple[Pixels, ...] = (), rows: int | None = None) -> Order:
        return Order(
            operation=operation,
            model=self.target.model,
            rows=self.n if rows is None else rows,
            seed=self.seed,
            prompt=self.prompt,
            size=size_to_draw(self.target.about["sizes"], self.size),
            options=self.options,
            extras=self.extras,
            rerank=self.rerank,
            expand=self.expand,
            pictures=pictures,
            partials=self.partials,
        )


def read_call(route: str, fields: Fields, catalog: Catalog) -> Call:
    """Raises ApiError for every field that is wrong, or that this model does not take."""
    name = fields.text("model", 200)
    if name is None and any(only in fields for only in GPT_ONLY):
        name = "gpt-image-1"
    target = catalog.target(name, OPERATIONS[route])
    dialect = target.dialect
    strict = catalog.settings.strict and dialect is not OWN
    if strict and not _made_for(route, dialect):
        raise errors.wrong_model(target.name)
    fields.only(_allowed(route, target, strict))
    prompt = "" if route == "variations" else fields.prompt("prompt", dialect.prompt)
    fields.text("user", 1000)
    n = _default(fields.integer("n", 1, dialect.n), 1)
    if strict and n > dialect.n_strict:
        raise errors.bad(f"You must provide n={dialect.n_strict} for this model.")
    quality = fields.choice("quality", dialect.qualities)
    style = fields.choice("style", dialect.styles)
    _gpt_words(fields)
    stream = bool(fields.boolean("stream"))
    return Call(
        route=route,
        target=target,
        prompt=prompt,
        n=n,
        size=fields.size(dialect, target.about["sizes"], strict=strict),
        stream=stream,
        partials=_partials(fields, stream),
        quality=quality,
        strict=strict,
        **output(fields, dialect, stream),
        **drawing(fields, target, n, quality, style),
    )


def output(fields: Fields, dialect: Dialect, stream: bool = False) -> dict[str, Any]:
    """url, format and compression of the answer."""
    shape = fields.choice("response_format", ("url", "b64_json"))
    form = _default(fields.choice("output_format", ("png", "jpeg", "webp")), "png")
    compression = fields.integer("output_compression", 0, 100)
    if form == "png" and compression not in {None, 100}:
        raise errors.bad("Compression below 100 is for jpeg and webp.", param="output_compression")
    return {
        "url": not dialect.gpt and not stream and shape != "b64_json",
        "format": form,
        "compression": 100 if compression is None else compression,
    }


def drawing(
    fields: Fields, target: Target, n: int, quality: str | None = None, style: str | None = None
) -> dict[str, Any]:
    """seed, rerank, expand and the model's own options."""
    options = quality_options(quality, style, target.options)
    for name in {"steps", "guidance", *target.options}:  # the model refuses what it does not take
        if (value := fields.option(name, target.options.get(name, 0))) is not None:
            options[name] = value
    seed = fields.integer("seed", 0, MAX_SEED - n)
    return {
        "seed": secrets.randbelow(2**31) if seed is None else seed,
        "rerank": fields.integer("rerank", 1, 64),
        "expand": _default(fields.choice("expand", ("off", "builtin")), "try")
        if target.dialect.revises
        else fields.choice("expand", ("off", "builtin")),
        "options": options,
    }


def _allowed(route: str, target: Target, strict: bool) -> frozenset[str]:
    dialect = target.dialect
    allowed = ROUTES[route] | dialect.fields
    if not strict:
        allowed |= dialect.extended
        if EXTENSIONS <= allowed:
            allowed |= {"steps", "guidance", *target.options}
    return allowed - ELSEWHERE[route]


def _made_for(route: str, dialect: Dialect) -> bool:
    """Whether OpenAI's API had this route for such a model."""
    return route == "generations" or dialect is DALLE2 or (route == "edits" and dialect.gpt)


def _gpt_words(fields: Fields) -> None:
    """Fields whose values are checked and change nothing here, but for transparency, which we do not draw."""
    fields.choice("moderation", ("low", "auto"))
    fields.choice("input_fidelity", ("low", "high"))
    if fields.choice("background", ("transparent", "opaque", "auto")) == "transparent":
        raise errors.bad(
            "Transparent backgrounds are not drawn here; leave out background, or ask for opaque.",
            param="background",
            code="unsupported_value",
        )


def _partials(fields: Fields, stream: bool) -> int:
    count = _default(fields.integer("partial_images", 0, 3), 0)
    if count and not stream:
        raise errors.bad("partial_images is for calls with stream=true.", param="partial_images")
    return count


async def read_pictures(
    files: Mapping[str, list[bytes]], codecs: Codecs, dialect: Dialect, *, masked: bool
) -> tuple[Pixels, ...]:
    """The picture of an edit or a variation, and the mask where there is one. Raises ApiError 400."""
    image = await decode_one(files, "image", codecs, dialect)
    if image is None:
        raise errors.missing("image")
    if dialect.square and image.size.width != image.size.height:
        raise errors.bad("Uploaded image must be square.")
    if not masked:
        return (image,)
    mask = await decode_one(files, "mask", codecs, dialect)
    speaks = image if mask is None else mask
    if mask is not None and mask.size != image.size:
        raise errors.bad("Invalid mask image format - mask size does not match image size")
    if (mask is None or dialect is not OWN) and speaks.own_mode not in ALPHA:
        raise errors.bad(
            f"Invalid {'input' if mask is None else 'mask'} image - format must be in {list(ALPHA)}, "
            f"got {speaks.own_mode}."
        )
    return (image,) if mask is None else (image, mask)


async def decode_one(
    files: Mapping[str, list[bytes]], name: str, codecs: Codecs, dialect: Dialect
) -> Pixels | None:
    """The one picture of a name; None where there is none."""
    found = files.get(name, [])
    if len(found) > 1:
        raise errors.bad(f"One picture can be used at a time here, not {len(found)}.", param=name)
    if not found:
        return None
    if len(found[0]) >= dialect.picture_bytes:
        if dialect.formats == ("PNG",):
            raise errors.not_png()
        raise errors.bad(f"Your image was invalid: at most {dialect.picture_bytes} bytes are read.", name)
    return await codecs.decode(found[0], dialect.formats)


def _default(value: T | None, default: T) -> T:
    return default if value is None else value
