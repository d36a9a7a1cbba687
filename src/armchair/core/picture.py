"""A drawn picture and its recipe: all that is needed to draw it again travels inside the PNG."""

from __future__ import annotations

import io
import json
import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from PIL import Image, PngImagePlugin

from armchair.core.errors import BadInput
from armchair.core.files import write_beside
from armchair.core.images import open_image

KEY = "armchair"  # the PNG text chunk that holds the recipe as JSON


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture as an artist drew it."""

    image: Image.Image
    seed: int
    prompt: str  # as the person gave it
    revised_prompt: str | None = None  # what was drawn instead, where the prompt was expanded
    recipe: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)
    """Plain JSON: what draws the same pixels again. It may hold whole pictures, too long for a repr."""

    def png(self) -> bytes:
        """The picture as a PNG file's bytes, the recipe in the text chunk "armchair"."""
        info = PngImagePlugin.PngInfo()
        info.add_itxt(KEY, json.dumps(self.recipe, ensure_ascii=False), zip=True)
        buffer = io.BytesIO()
        self.image.save(buffer, format="PNG", pnginfo=info)
        return buffer.getvalue()

    def save(self, path: str | Path) -> Path:
        """Write the PNG durably and return where. A folder gets `<seed>-<slug>.png`, of the prompt, or of the
        operation where there was none.

        Never overwrites: NAME-2.png, NAME-3.png ... where the name is taken. Raises ArmchairError on a full
        disk.
        """
        path = Path(path)
        if path.is_dir():
            about = self.prompt if self.prompt else str(self.recipe.get("operation", ""))
            path = path / file_name(self.seed, about)
        if path.suffix.lower() != ".png":
            raise BadInput(f"{path}: pictures are saved as .png, which carries their recipe")
        return write_beside(path, self.png())


def read_recipe(path: str | Path) -> dict[str, Any]:
    """The recipe inside a picture that Armchair drew. Raises BadInput where there is none or it is
    damaged.
    """
    open_image(path)  # the clear errors: missing, truncated, no picture
    with Image.open(path) as image:
        text = cast(dict[str, Any], getattr(image, "text", image.info)).get(KEY)
    if text is None:
        raise BadInput(f"{path} holds no recipe: Armchair did not draw it, or another program saved it since")
    try:
        recipe = json.loads(text)
    except ValueError as error:
        raise BadInput(f"{path}: its recipe is damaged: {error}") from error
    if not isinstance(recipe, dict):
        raise BadInput(f"{path}: its recipe is damaged: not an object")
    return cast(dict[str, Any], recipe)


def file_name(seed: int, prompt: str) -> str:
    """ "<seed>-<slug>.png": the prompt's letters and digits in any script, joined by dashes, at most 60
    characters.
    """
    text = unicodedata.normalize("NFC", prompt).lower()
    slug = re.sub(r"[\W_]+", "-", text).strip("-")
    # file systems count bytes: 60 Hangul syllables are 180 of the usual 255
    slug = slug[:60].rstrip("-")
    return f"{seed}-{slug}.png" if slug else f"{seed}.png"
