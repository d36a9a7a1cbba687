"""CLIP's tokenizer (arXiv:2103.00020, section 2.2): lower-cased byte-level BPE whose words end in </w>.

Captions are mended (ftfy), freed of HTML entities, single-spaced and lower-cased, then cut into runs of
letters, single digits, English contractions and runs of other signs. The last two ids are the start and the
end of a text; written out in a caption they are those ids, as in the released tokenizer.
"""

from __future__ import annotations

import gzip
import html
import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence

import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from armchair.core.errors import BadInput

START, END = "<|startoftext|>", "<|endoftext|>"
SUFFIX = "</w>"
PIECES = r"<\|startoftext\|>|<\|endoftext\|>|(?i:'s|'t|'re|'ve|'m|'ll|'d)|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"

_PLAIN = re.compile("[ -%'-~가-힣]*")  # ftfy and HTML leave it alone


def clean(text: str) -> str:
    """A caption as the tokenizer reads it."""
    if _PLAIN.fullmatch(text) is None:
        import ftfy  # a tenth of a second

        text = html.unescape(html.unescape(ftfy.fix_text(text)))
    return " ".join(text.split()).lower()


class ClipBPE:
    """Text into ids and back. Build one with `from_merges`, `from_files` or `load`."""

    def __init__(self, tokenizer: Tokenizer):
        """tokenizer: a `tokenizers.Tokenizer` as `build` makes it."""
        self._tokenizer = tokenizer
        self._cut = _cutter()

    @classmethod
    def build(cls, vocab: Mapping[str, int], merges: Sequence[tuple[str, str]]) -> ClipBPE:
        """Raises BadInput for a vocabulary that is not CLIP's kind of one."""
        _check(vocab, merges)
        tokenizer = Tokenizer(
            models.BPE(vocab=dict(vocab), merges=list(merges), end_of_word_suffix=SUFFIX, unk_token=END)
        )
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [_cutter(), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        )
        return cls(tokenizer)

    @classmethod
    def from_merges(cls, data: bytes, vocab: int = 49_408) -> ClipBPE:
        """The released file of merges, plain or gzipped; only as many of its lines as the vocabulary holds
        are merges. Raises BadInput.
        """
        try:
            text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8")
        except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
            raise BadInput(f"this is no file of merges: {error}") from error
        merges = _pairs(text)[: max(0, vocab - 514)]
        if len(merges) != vocab - 514:
            raise BadInput(
                f"this file has {len(merges):,} merges; a vocabulary of {vocab:,} needs {vocab - 514:,}"
            )
        letters = [*_alphabet(), *(letter + SUFFIX for letter in _alphabet())]
        names = [*letters, *("".join(pair) for pair in merges), START, END]
        return cls.build({name: token for token, name in enumerate(names)}, merges)

    @classmethod
    def from_files(cls, vocab: bytes, merges: bytes) -> ClipBPE:
        """The two files of a Hugging Face folder, vocab.json and merges.txt. Raises BadInput."""
        try:
            ids, text = json.loads(vocab), merges.decode("utf-8")
        except ValueError as error:
            raise BadInput(f"vocab.json or merges.txt is damaged: {error}") from error
        if not isinstance(ids, dict):
            raise BadInput("vocab.json holds no object")
        return cls.build(ids, _pairs(text))

    @classmethod
    def load(cls, data: bytes) -> ClipBPE:
        """Read what `save` wrote. Raises BadInput."""
        try:
            return cls(Tokenizer.from_str(data.decode("utf-8")))
        except Exception as error:  # the library raises plain Exception
            raise BadInput(f"this is no tokenizer file of CLIP ({error})") from error

    def save(self) -> bytes:
        """The file format of `tokenizers` (JSON, UTF-8)."""
        return self._tokenizer.to_str().encode("utf-8")

    def __reduce__(self):
        return ClipBPE.load, (self.save(),)

    @property
    def vocab(self) -> int:
        """Number of tokens, without the start and the end of text."""
        return self._tokenizer.get_vocab_size() - 2

    def encode(self, text: str, dropout: float = 0.0, generator: torch.Generator | None = None) -> list[int]:
        """Ids of `text` after `clean`; nothing is added and nothing is cut. Raises BadInput for dropout."""
        if dropout != 0.0:
            raise BadInput(f"CLIP's tokenizer has no dropout of merges, and {dropout} was asked for: take 0")
        text = clean(text)
        if START not in text and END not in text:
            return self._tokenizer.encode(text, add_special_tokens=False).ids
        ids: list[int] = []
        for piece, _ in self._cut.pre_tokenize_str(text):
            special = self._tokenizer.token_to_id(piece) if piece in (START, END) else None
            ids += self._tokenizer.encode(piece).ids if special is None else [special]
        return ids

    def encode_batch(
        self, texts: Iterable[str], dropout: float = 0.0, generator: torch.Generator | None = None
    ) -> list[list[int]]:
        """`encode` of each text in turn."""
        return [self.encode(text, dropout, generator) for text in texts]

    def decode(self, ids: Sequence[int]) -> str:
        """The cleaned text of `ids`, a space after each piece. Raises BadInput for an unknown id."""
        bytes_of = {letter: byte for byte, letter in zip(_bytes(), _alphabet(), strict=True)}
        found = bytearray()
        for token in ids:
            name = self.piece(token)
            if name in (START, END):
                continue
            found += bytes(bytes_of[letter] for letter in name.removesuffix(SUFFIX))
            found += b" " if name.endswith(SUFFIX) else b""
        return found.decode("utf-8", errors="replace").strip()

    def piece(self, token: int) -> str:
        """How an id is written in the vocabulary. Raises BadInput for an unknown one."""
        name = self._tokenizer.id_to_token(token)
        if name is None:
            raise BadInput(f"token {token} is outside the vocabulary 0..{self.vocab + 1}")
        return name

    def files(self) -> tuple[bytes, bytes]:
        """vocab.json and merges.txt, as Hugging Face folders hold them."""
        model = json.loads(self.save())["model"]
        merges = (pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"])
        lines = ["#version: 0.2", *merges]
        return json.dumps(model["vocab"], ensure_ascii=False).encode(), ("\n".join(lines) + "\n").encode()


def _cutter() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Split(Regex(PIECES), "removed", invert=True)


def _check(vocab: Mapping[str, int], merges: Sequence[tuple[str, str]]) -> None:
    missing = [name for letter in _alphabet() for name in (letter, letter + SUFFIX) if name not in vocab]
    if missing:
        raise BadInput(f"this is not CLIP's kind of tokenizer: {len(missing)} of its 512 letters are missing")
    if sorted(vocab.values()) != list(range(len(vocab))):
        raise BadInput(f"the ids of this tokenizer are not 0..{len(vocab) - 1}")
    if (vocab.get(START), vocab.get(END)) != (len(vocab) - 2, len(vocab) - 1):
        raise BadInput(f"the last two ids of this tokenizer are not {START} and {END}")
    for pair in merges:
        if len(pair) != 2 or any(name not in vocab for name in (*pair, "".join(pair))):
            raise BadInput(f"this tokenizer merges {' '.join(pair)[:40]!r}, which is not in its vocabulary")


def _pairs(text: str) -> list[tuple[str, str]]:
    """The merges of a file; its first line may say a version."""
    lines = text.split("\n")
    if "#version" in lines[0]:
        lines = lines[1:]
    found: list[tuple[str, str]] = []
    for line in lines:
        left, space, right = line.strip().partition(" ")
        if space:
            found.append((left, right))
    return found


def _bytes() -> list[int]:
    """The 256 bytes, those that print as themselves first: the order of the first ids."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [*shown, *(byte for byte in range(256) if byte not in shown)]


def _alphabet() -> list[str]:
    """The letters that stand for the bytes, in the order of `_bytes`."""
    order = _bytes()
    return [chr(byte) for byte in order[:188]] + [chr(256 + i) for i in range(len(order) - 188)]
