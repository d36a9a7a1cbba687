"""Draw again what was drawn: from a picture's own recipe, or a bundle's golden picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from armchair.artist import edits
from armchair.artist.artist import Artist, load, pictures
from armchair.artist.find import find_digest
from armchair.artist.job import Job
from armchair.artist.source import unpack_image
from armchair.core.errors import BadInput
from armchair.core.files import sha256
from armchair.core.images import flat
from armchair.core.picture import Picture

GOLDEN_PSNR = 40.0  # dB: processors differ in the last bits


def redo(recipe: dict[str, Any], *, model: str | Path | None = None, device: str | None = None) -> Picture:
    """Draw a picture again from its recipe: on the same machine, the same pixels.

    model: draw with this bundle instead of the one with the recipe's digest.
    Raises BadInput for an incomplete recipe and BundleError where the bundle is not here.
    """
    missing = [
        key for key in ("operation", "digest", "prompt", "seed", "size", "options") if key not in recipe
    ]
    if missing:
        raise BadInput(_incomplete(missing[0]))
    if model is None:
        model = find_digest(
            str(recipe["digest"]), str(recipe.get("model", "")), str(recipe.get("bundle", ""))
        )
    artist = load(
        model, device=str(recipe.get("device", "auto")) if device is None else device,
        dtype=str(recipe.get("dtype", "auto")), lora=_lora(recipe),
    )  # fmt: skip
    try:
        job = _job(artist, recipe)
    except KeyError as error:  # what only some operations have
        raise BadInput(_incomplete(error.args[0])) from error
    return pictures(artist.draw(job))[0]


def _incomplete(key: str) -> str:
    return f"the recipe has no {key}; it was made by another program or is damaged"


def _lora(recipe: dict[str, Any]) -> list[tuple[Path, float]]:
    """The files that changed the networks. Raises BadInput where one is gone or is another now."""
    found: list[tuple[Path, float]] = []
    for entry in recipe.get("lora", ()):
        path = Path(entry["file"]).expanduser()
        if not path.is_file() or sha256(path) != entry["sha256"]:
            raise BadInput(f"the LoRA file {path} that changed this picture is not here, or is another now")
        found.append((path, float(entry["strength"])))
    return found


def _job(artist: Artist, recipe: Mapping[str, Any]) -> Job:
    """The job that drew one picture. Raises KeyError for what the recipe lacks, BadInput for an unknown
    operation.
    """
    operation, prompt, options = recipe["operation"], recipe["prompt"], dict(recipe["options"])
    common: dict[str, Any] = {"seed": recipe["seed"], "size": recipe["size"], "options": options}
    match operation:
        case "generate":
            return artist.job(prompt, revised=recipe.get("revised_prompt"), **common)
        case "complete":
            rows = options.pop("keep_rows", None)
            return artist.complete_job(_image(recipe), prompt, keep_rows=rows, **common)
        case "inpaint" | "outpaint":
            return edits.painting_job(artist, operation, _image(recipe), prompt, **common)
        case "variations":
            return edits.variations_job(artist, _image(recipe), **common)
        case "probe":
            return edits.probe_job(artist, _image(recipe), components=[recipe["frame"]], **common)
        case "interpolate":
            ends = _image(recipe), _image(recipe, "second")
            return edits.interpolate_job(artist, *ends, **_one_frame(recipe, options), **common)
        case "text_diff":
            texts = {"source": options.pop("source_text"), "target": prompt}
            more = {**texts, **_one_frame(recipe, options)}
            return edits.text_diff_job(artist, _image(recipe), **more, **common)
        case _:
            raise BadInput(
                f"the recipe's operation is {operation!r}, which this version of Armchair does not know"
            )


def _image(recipe: Mapping[str, Any], name: str = "source") -> Image.Image:
    """A picture that the recipe holds. Raises BadInput where it does not."""
    return unpack_image(str(recipe.get(name, "")))


def _one_frame(recipe: Mapping[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """Which frame of how many. The number is no option of the system's and is taken from them."""
    return {"frames": options.pop("frames"), "frame": recipe["frame"]}


def same_pixels(a: Image.Image, b: Image.Image) -> bool:
    return a.size == b.size and bool(np.array_equal(np.array(flat(a)), np.array(flat(b))))


def psnr(a: Image.Image, b: Image.Image) -> float:
    """Peak signal-to-noise ratio of two 8-bit pictures of one size in dB; infinite where they are equal."""
    error = (np.array(flat(a), np.float64) - np.array(flat(b), np.float64)) ** 2
    return math.inf if error.mean() == 0 else 10 * math.log10(255**2 / error.mean())


def verify_golden(artist: Artist) -> tuple[float, str] | None:
    """Draw the bundle's golden picture again: (PSNR in dB, the prompt). None where it has none."""
    shown, image = artist.bundle.manifest.golden, artist.bundle.golden()
    if shown is None or image is None:
        return None
    drawn = artist.generate(shown.prompt, seed=shown.seed)[0].image
    if drawn.size != image.size:  # golden pictures are kept at 64 pixels
        drawn = drawn.resize(image.size, Image.Resampling.LANCZOS)
    return psnr(drawn, image), shown.prompt
