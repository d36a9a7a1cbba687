"""The operations that start from a picture, as jobs: what is asked is checked, the picture made ready."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from armchair.artist.check import (
    check_anchor,
    check_components,
    check_frames,
    check_n,
    check_options,
    check_prompt,
    check_size,
)
from armchair.artist.job import Job
from armchair.artist.source import pack_image
from armchair.core.errors import BadInput
from armchair.core.images import flat, keep_mask, open_image, parse_size, square

if TYPE_CHECKING:
    from armchair.artist.artist import Artist
    from armchair.weights.kinds import Editor

Picturelike = Image.Image | str | Path
FIRST_COMPONENTS = (20, 40, 80)  # of a probe where none are given; the paper goes on to 320


def variations_job(
    artist: Artist,
    image: Picturelike,
    *,
    n: int = 1,
    seed: int | None = None,
    size: str | None = None,
    options: Mapping[str, Any],
) -> Job:
    """The arguments of `variations`, checked."""
    editor = _editor(artist, "variations")
    picture, shape = _square(artist, image, size)
    chosen = _options(artist, editor, "variations", options)
    return Job(
        operation="variations",
        prompt="",
        seeds=artist.seeds_from(seed, check_n(n)),
        size=shape,
        options=chosen,
        run=lambda seeds: editor.variations(picture, seeds, shape, **chosen),
        source=pack_image(picture),
    )


def interpolate_job(
    artist: Artist,
    a: Picturelike,
    b: Picturelike,
    *,
    frames: int = 5,
    frame: int | None = None,
    seed: int = 0,
    size: str | None = None,
    options: Mapping[str, Any],
) -> Job:
    """The arguments of `interpolate`, checked. frame: that one alone."""
    editor = _editor(artist, "interpolate")
    first, shape = _square(artist, a, size)
    second, _ = _square(artist, b, shape)
    count, chosen = check_frames(frames), _options(artist, editor, "interpolate", options)
    return Job(
        operation="interpolate",
        prompt="",
        seeds=artist.seeds_from(seed, 1),
        size=shape,
        options={**chosen, "frames": count},
        run=lambda numbers: editor.interpolate(first, second, numbers, count, seed, shape, **chosen),
        source=pack_image(first),
        second=pack_image(second),
        frames=_numbers(count, frame),
    )


def text_diff_job(
    artist: Artist,
    image: Picturelike,
    *,
    source: str,
    target: str,
    frames: int = 5,
    frame: int | None = None,
    seed: int = 0,
    size: str | None = None,
    options: Mapping[str, Any],
) -> Job:
    """The arguments of `text_diff`, checked. frame: that one alone."""
    editor = _editor(artist, "text_diff")
    picture, shape = _square(artist, image, size)
    texts = check_prompt(source), check_prompt(target)
    count, chosen = check_frames(frames), _options(artist, editor, "text_diff", options)
    return Job(
        operation="text_diff",
        prompt=texts[1],
        seeds=artist.seeds_from(seed, 1),
        size=shape,
        options={**chosen, "frames": count, "source_text": texts[0]},
        run=lambda numbers: editor.text_diff(picture, *texts, numbers, count, seed, shape, **chosen),
        source=pack_image(picture),
        frames=_numbers(count, frame),
    )


def probe_job(
    artist: Artist,
    image: Picturelike,
    *,
    components: Sequence[int] | None = None,
    seed: int | None = None,
    size: str | None = None,
    options: Mapping[str, Any],
) -> Job:
    """The arguments of `probe`, checked."""
    editor = _editor(artist, "probe")
    picture, shape = _square(artist, image, size)
    counts = check_components(FIRST_COMPONENTS if components is None else components)
    chosen, seeds = _options(artist, editor, "probe", options), artist.seeds_from(seed, 1)
    return Job(
        operation="probe",
        prompt="",
        seeds=seeds,
        size=shape,
        options=chosen,
        run=lambda numbers: editor.probe(picture, numbers, seeds[0], shape, **chosen),
        source=pack_image(picture),
        frames=counts,
    )


def inpaint_job(
    artist: Artist,
    image: Picturelike,
    mask: Picturelike | None,
    prompt: str,
    *,
    n: int = 1,
    seed: int | None = None,
    size: str | None = None,
    options: Mapping[str, Any],
) -> Job:
    """The arguments of `inpaint`, checked."""
    _editor(artist, "inpaint")
    text, picture = check_prompt(prompt), open_image(image)
    shape = check_size(fitting(picture, artist.sizes) if size is None else size, artist.sizes, artist.name)
    canvas = masked(picture, None if mask is None else open_image(mask), parse_size(shape))
    return painting_job(artist, "inpaint", canvas, text, n=n, seed=seed, size=shape, options=options)


def outpaint_job(
    artist: Artist,
    image: Picturelike,
    prompt: str,
    *,
    size: str,
    anchor: str = "center",
    n: int = 1,
    seed: int | None = None,
    options: Mapping[str, Any],
) -> Job:
    """The arguments of `outpaint`, checked."""
    _editor(artist, "outpaint")
    text, place = check_prompt(prompt), check_anchor(anchor)
    shape = check_size(size, artist.sizes, artist.name)
    canvas = surrounded(open_image(image), parse_size(shape), place)
    return painting_job(artist, "outpaint", canvas, text, n=n, seed=seed, size=shape, options=options)


def painting_job(
    artist: Artist,
    operation: str,
    canvas: Image.Image,
    prompt: str,
    *,
    n: int = 1,
    seed: int | None = None,
    size: str,
    options: Mapping[str, Any],
) -> Job:
    """`inpaint` or `outpaint`: draw the transparent part of an RGBA canvas of the size's ratio."""
    editor = _editor(artist, operation)
    chosen = _options(artist, editor, operation, options)
    canvas = ready(canvas, parse_size(size))
    solid, keep = canvas.convert("RGB"), keep_of(canvas)
    return Job(
        operation=operation,
        prompt=prompt,
        seeds=artist.seeds_from(seed, check_n(n)),
        size=size,
        options=chosen,
        run=lambda seeds: editor.inpaint(solid, keep, prompt, seeds, size, **chosen),
        source=pack_image(canvas),
    )


def masked(picture: Image.Image, mask: Image.Image | None, ratio: tuple[int, int] = (1, 1)) -> Image.Image:
    """A picture on a transparent canvas of a ratio of width to height, the smallest that holds it, as RGBA:
    alpha 0 is what is to be painted, 255 what stays.

    What the mask paints is painted, and what is transparent; a picture of another ratio gets bars that are
    painted. Raises BadInput for a mask of another size, and where nothing is to be painted.
    """
    width = max(picture.width, -(-picture.height * ratio[0] // ratio[1]))
    height = max(picture.height, -(-picture.width * ratio[1] // ratio[0]))
    alpha = picture.getchannel("A") if picture.mode == "RGBA" else Image.new("L", picture.size, 255)
    gone = alpha.point(lambda value: 255 if value == 0 else 0)
    if mask is None and gone.getbbox() is None and picture.size != (width, height):
        keep = torch.ones(picture.height, picture.width, dtype=torch.bool)
    else:
        keep = keep_mask(picture, mask)
    stays = Image.fromarray(keep.byte().mul(255).numpy())
    stays.paste(0, mask=gone)
    canvas = Image.new("RGBA", (width, height), (255, 255, 255, 0))
    solid = flat(picture)
    solid.putalpha(stays)
    canvas.paste(solid, ((width - picture.width) // 2, (height - picture.height) // 2))
    return canvas


def surrounded(picture: Image.Image, size: tuple[int, int], anchor: tuple[float, float]) -> Image.Image:
    """A picture on a larger transparent canvas, as RGBA; anchor: the share of the free room that is left of
    it, and above it. Raises BadInput for a picture that is larger than the canvas or leaves nothing to paint.
    """
    width, height = size
    if picture.width > width or picture.height > height:
        raise BadInput(
            f"the picture is {picture.width}x{picture.height}, larger than {width}x{height}; make it "
            "smaller, or take a larger size"
        )
    alpha = picture.getchannel("A") if picture.mode == "RGBA" else Image.new("L", picture.size, 255)
    solid = flat(picture)
    solid.putalpha(alpha.point(lambda value: 0 if value == 0 else 255))
    canvas = Image.new("RGBA", size, (255, 255, 255, 0))
    canvas.paste(
        solid, (round((width - picture.width) * anchor[0]), round((height - picture.height) * anchor[1]))
    )
    if canvas.getchannel("A").getextrema() == (255, 255):
        raise BadInput(f"the picture fills {width}x{height} already; take a larger size")
    return canvas


def fitting(picture: Image.Image, sizes: Sequence[str]) -> str:
    """The smallest of the sizes that holds a picture, else the largest: of those with its own ratio of width
    to height, or where there are none of the squares.
    """
    known = sorted(parse_size(size) for size in sizes)
    own = [(w, h) for w, h in known if w * picture.height == h * picture.width]
    chosen = own if own else [(w, h) for w, h in known if w == h]
    width, height = next(
        ((w, h) for w, h in chosen if w >= picture.width and h >= picture.height), chosen[-1]
    )
    return f"{width}x{height}"


def ready(canvas: Image.Image, size: tuple[int, int]) -> Image.Image:
    """An RGBA canvas at another size of its ratio; what is partly to be painted is painted."""
    if canvas.size == size:
        return canvas
    solid = canvas.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    stays = canvas.getchannel("A").resize(size, Image.Resampling.BOX)
    solid.putalpha(stays.point(lambda value: 255 if value == 255 else 0))
    return solid


def keep_of(canvas: Image.Image) -> Tensor:
    """(H, W) bool, True where a canvas is solid"""
    return torch.as_tensor(np.array(canvas.getchannel("A")) == 255)


def _square(artist: Artist, image: Picturelike, size: str | None) -> tuple[Image.Image, str]:
    """The middle square of a picture, at the size that is drawn."""
    picture = open_image(image)
    shape = check_size(fitting(picture, artist.sizes) if size is None else size, artist.sizes, artist.name)
    return square(picture, parse_size(shape)[0]), shape


def _editor(artist: Artist, operation: str) -> Editor:
    """Raises Unsupported for an artist that cannot do this."""
    artist.can(operation)
    return cast("Editor", artist.pipeline)


def _options(artist: Artist, editor: Editor, operation: str, options: Mapping[str, Any]) -> dict[str, Any]:
    return check_options(options, editor.operation_defaults[operation], f"{artist.name}'s {operation}")


def _numbers(count: int, frame: int | None) -> tuple[int, ...]:
    if frame is not None and not 0 <= frame < count:
        raise BadInput(f"frame is {frame!r}; there are {count}, counted from 0")
    return tuple(range(count)) if frame is None else (frame,)
