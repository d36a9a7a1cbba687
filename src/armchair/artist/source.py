"""The picture that an edit starts from, as it travels inside the recipe of what was drawn from it."""

from __future__ import annotations

import base64
import io

from PIL import Image

from armchair.core.errors import BadInput
from armchair.core.images import open_image


def pack_image(image: Image.Image) -> str:
    """A picture as base64 of a lossless PNG without any metadata."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def unpack_image(text: str) -> Image.Image:
    """The picture again, pixel by pixel. Raises BadInput for damaged text."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise BadInput(f"the recipe's source picture is damaged: {error}") from error
    return open_image(data, name="the recipe's source picture")
