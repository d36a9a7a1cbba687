"""Which tokenizer a bundle's file is."""

from __future__ import annotations

import json

from armchair.core.bundle import SHIPPED, Bundle, Shared
from armchair.core.errors import BadInput
from armchair.text.bpe import BPE
from armchair.text.clip_bpe import SUFFIX, ClipBPE
from armchair.text.t5 import T5Tokenizer

AnyBPE = BPE | ClipBPE
AnyTokenizer = AnyBPE | T5Tokenizer


def load_tokenizer(data: bytes) -> AnyBPE:
    """A tokenizer from a bundle's component `text`: our BPE, or CLIP's. Raises BadInput, for T5's too."""
    found = load_any(data)
    if isinstance(found, T5Tokenizer):
        raise BadInput("this is T5's tokenizer, and a BPE is read here. Use the text component of a CLIP.")
    return found


def load_any(data: bytes) -> AnyTokenizer:
    """The same, or T5's tokenizer. Raises BadInput."""
    try:
        model = json.loads(data)["model"]
        clip, unigram = model.get("end_of_word_suffix") == SUFFIX, model.get("type") == "Unigram"
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(
            f"this is not a tokenizer file ({error}). Use the text component of a bundle."
        ) from error
    if unigram:
        return T5Tokenizer.load(data)
    return ClipBPE.load(data) if clip else BPE.load(data)


def tokenizer_of(home: Bundle) -> tuple[AnyBPE, Shared | None]:
    """A bundle's BPE, and the pointer to it where a shipped bundle holds it, so that it is stored once.

    Raises BadInput, as load_tokenizer.
    """
    shipped = home.home("text")[0].folder.resolve().parent == SHIPPED.resolve()
    return load_tokenizer(home.bytes("text")), home.share("text") if shipped else None
