"""Our BPE as the tokenizer.json of transformers' fast tokenizers, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from armchair.clip.config import TextConfig
from armchair.core.errors import BadInput
from armchair.text.bpe import BPE
from armchair.text.clip_bpe import END, START

ITSELF = ("model", "normalizer", "pre_tokenizer")  # what tells one tokenizer from another
# ours but for the mending of broken characters, which that format has not
NORMALIZER = {
    "type": "Sequence",
    "normalizers": [
        {"type": "NFC"},
        {"type": "Lowercase"},
        {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
        {"type": "Strip", "strip_left": True, "strip_right": True},
    ],
}
PIECES = {
    "type": "Sequence",
    "pretokenizers": [
        {"type": "Split", "pattern": {"String": " "}, "behavior": "Removed", "invert": False},
        {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
    ],
}
OWN: dict[str, Any] = {  # what BPE.save writes in place of these
    "added_tokens": [],
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]},
    "pre_tokenizer": PIECES["pretokenizers"][1],
    "post_processor": None,
    "padding": None,
    "truncation": None,
}


def to_fast(bpe: BPE, text: TextConfig) -> bytes:
    """A tokenizer.json that gives the same ids and adds start and end of text."""
    data = json.loads(bpe.save())
    ids = {START: text.start, END: text.end}
    data["model"]["vocab"] |= ids
    data["added_tokens"] = [
        {
            "id": token, "content": name, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": True,
        }
        for name, token in ids.items()
    ]  # fmt: skip
    data |= {"normalizer": NORMALIZER, "pre_tokenizer": PIECES}
    row = [{"SpecialToken": {"id": START, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
           {"SpecialToken": {"id": END, "type_id": 0}}]  # fmt: skip
    data["post_processor"] = {
        "type": "TemplateProcessing",
        "single": row,
        "pair": [*row, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {
            name: {"id": name, "ids": [token], "tokens": [name]} for name, token in ids.items()
        },
    }
    return json.dumps(data, ensure_ascii=False).encode()


def from_fast(data: Mapping[str, Any], vocab: int) -> BPE | None:
    """The inverse; None for another tokenizer's file. vocab: ids of the text tower, its last two start and
    end of text.
    """
    model = data.get("model", {})
    words = dict(model.get("vocab", {}))
    ends = words.pop(START, None), words.pop(END, None)
    if ends != (vocab - 2, vocab - 1):
        return None
    try:
        bpe = BPE.load(json.dumps({**data, "model": {**model, "vocab": words}, **OWN}).encode())
    except BadInput:
        return None
    again = json.loads(to_fast(bpe, TextConfig(vocab=vocab)))
    return bpe if all(again[part] == data.get(part) for part in ITSELF) else None
