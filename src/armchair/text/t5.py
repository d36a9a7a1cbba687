"""T5's tokenizer (arXiv:1910.10683): a SentencePiece unigram model, read from either of its two files.

spiece.model is a protocol buffer of pieces with their log probabilities; tokenizer.json is the same for the
library `tokenizers`. Text is normalised by the map inside the file, single-spaced, and cut into the likeliest
pieces, a space being the letter ▁ before a word.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from armchair.core.errors import BadInput

UNIGRAM = 1  # SentencePiece's model_type
PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"

Field = tuple[int, int | bytes]  # number, value: whole numbers, and bytes for all else


class T5Tokenizer:
    """Text into ids and back. Build one with `from_spiece`, `from_json` or `load`."""

    def __init__(self, tokenizer: Tokenizer):
        """Raises BadInput for a tokenizer without T5's special pieces."""
        self._tokenizer = tokenizer
        found = {name: tokenizer.token_to_id(name) for name in (PAD, END)}
        missing = [name for name, token in found.items() if token is None]
        if missing:
            raise BadInput(f"this is not T5's tokenizer: it has no {missing[0]}")
        self.pad, self.end = found[PAD], found[END]

    @classmethod
    def from_spiece(cls, data: bytes) -> T5Tokenizer:
        """Read spiece.model. Raises BadInput for another or a damaged file."""
        try:
            return cls(_build(list(_fields(data))))
        except (ValueError, IndexError, KeyError, UnicodeDecodeError, struct.error) as error:
            raise BadInput(f"this is no SentencePiece model of T5's kind: {error}") from error

    @classmethod
    def from_json(cls, data: bytes) -> T5Tokenizer:
        """Read tokenizer.json of a Hugging Face folder; the </s> that it adds is left to the caller."""
        try:
            parsed = json.loads(data)
            kind = parsed["model"]["type"]
            if kind != "Unigram":
                raise BadInput(f"this tokenizer is a {kind}, T5's is a Unigram")
            tokenizer = Tokenizer.from_str(json.dumps({**parsed, "post_processor": None, "padding": None}))
        except BadInput:
            raise
        except Exception as error:  # the library raises plain Exception
            raise BadInput(f"this is not a tokenizer file ({error})") from error
        return cls(tokenizer)

    load = from_json

    def save(self) -> bytes:
        """The file format of `tokenizers` (JSON, UTF-8)."""
        return self._tokenizer.to_str().encode("utf-8")

    @property
    def vocab(self) -> int:
        return self._tokenizer.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        """Ids of `text`; nothing is added and nothing is cut."""
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, ids: list[int]) -> str:
        return self._tokenizer.decode(ids)


def _build(fields: list[Field]) -> Tokenizer:
    """A unigram model from the fields of a ModelProto: 1 pieces, 2 how it was trained, 3 normalisation."""
    pieces = [dict(_fields(_bytes(value))) for number, value in fields if number == 1]
    trained = {n: v for number, value in fields if number == 2 for n, v in _fields(_bytes(value))}
    shown = {n: v for number, value in fields if number == 3 for n, v in _fields(_bytes(value))}
    if trained.get(3, UNIGRAM) != UNIGRAM:
        raise ValueError(f"its model_type is {trained[3]}, a unigram's is {UNIGRAM}")
    vocab = [
        (_bytes(piece[1]).decode("utf-8"), struct.unpack("<f", _bytes(piece.get(2, bytes(4))))[0])
        for piece in pieces
    ]
    names = [name for name, _ in vocab]
    tokenizer = Tokenizer(models.Unigram(vocab, unk_id=names.index(UNKNOWN), byte_fallback=False))
    charsmap = _bytes(shown.get(2, b""))
    steps: list[Any] = [normalizers.Precompiled(charsmap)] if charsmap else []
    steps += [normalizers.Replace(Regex(" {2,}"), " "), normalizers.Strip()]
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    return tokenizer


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("a number stands where text should")
    return value


def _fields(data: bytes) -> Iterator[Field]:
    """The fields of a protocol buffer's message, in order. Raises ValueError where it is cut short."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == 2:
            size, at = _varint(data, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire} at byte {at}")
        if at + size > len(data):
            raise ValueError("it is cut short")
        yield number, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of 7 bits a byte, the low ones first -> it, and the place after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value, at
    raise ValueError(f"no number ends at byte {at}")
