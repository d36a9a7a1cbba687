"""Which tokenizer a bundle's file is."""

from __future__ import annotations

import json

from armchair.core.errors import BadInput
from armchair.text.bpe import BPE
from armchair.text.clip_bpe import SUFFIX, ClipBPE

AnyBPE = BPE | ClipBPE


def load_tokenizer(data: bytes) -> AnyBPE:
    """A tokenizer from a bundle's component `text`: our BPE, or CLIP's. Raises BadInput."""
    try:
        model = json.loads(data)["model"]
        clip = model.get("end_of_word_suffix") == SUFFIX
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(
            f"this is not a tokenizer file ({error}). Use the text component of a bundle."
        ) from error
    return ClipBPE.load(data) if clip else BPE.load(data)
