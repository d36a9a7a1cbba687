"""Byte-level BPE with seeded dropout: the text tokens of DALL·E 1 (arXiv:2102.12092, 2.2).

The paper lower-cases its captions and trains a vocabulary of 16,384; its tokenizer was never released. Ours
works on UTF-8 bytes, so every script has tokens. Training and the file format are Hugging Face `tokenizers`;
the merge loop is ours, because the library's BPE dropout cannot be seeded. At dropout 0 the two agree. No
special token exists: padding and start-of-text belong to the transformer.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from armchair.core.errors import BadInput

BYTES = 256  # the first 256 tokens are the single bytes
CACHED = 32_768  # words and states whose merges are remembered; about 1 kB each
LONGEST_MERGED = 256  # bytes; longer runs without a space go through the library, whose loop is not quadratic
UNIFORMS = 64  # random numbers drawn from the generator at a time

State = tuple[int, ...]  # the tokens of one piece at some point of its merging
Path = list[State]  # from a state to the fully merged one, each one merge after the last

_PLAIN = re.compile("[ -%'-~가-힣]*")  # printable ASCII without &, and Hangul: ftfy leaves it alone, in 40 us


def normalise(text: str) -> str:
    """Mended (ftfy), NFC, lower-case, single spaces: the form in which captions are counted and compared."""
    if _PLAIN.fullmatch(text) is None:
        import ftfy  # a tenth of a second

        text = ftfy.fix_text(text)
    return unicodedata.normalize("NFC", " ".join(text.lower().split()))


def fit(ids: Sequence[int], length: int) -> tuple[list[int], bool]:
    """The first `length` ids, and whether any was cut: a long caption is counted, never fatal."""
    return list(ids[:length]), len(ids) > length


class BPE:
    """Text into ids and back. Build one with `train` or `load`."""

    def __init__(self, tokenizer: Tokenizer):
        """tokenizer: a `tokenizers.Tokenizer` holding a byte-level BPE. Raises BadInput for any other."""
        self._tokenizer = tokenizer
        model = json.loads(tokenizer.to_str())["model"]
        ids: dict[str, int] = model.get("vocab", {}) if model["type"] == "BPE" else {}
        missing = [byte for byte in _alphabet() if byte not in ids]
        if missing:
            raise BadInput(
                f"this tokenizer is not a byte-level BPE: {len(missing)} of the 256 bytes have no token. "
                "Train one with BPE.train, or take the text BPE of a bundle."
            )
        self._bytes = {byte: ids[byte] for byte in _alphabet()}
        pairs = (merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"])
        # (left, right) -> (rank, token): the rank decides which merge comes first
        self._merges = {(ids[a], ids[b]): (rank, ids[a + b]) for rank, (a, b) in enumerate(pairs)}
        self._words: dict[str, list[Path]] = {}
        self._paths: dict[State, Path] = {}

    @classmethod
    def train(cls, captions: Iterable[str], vocab: int = 16_384) -> BPE:
        """Learn at most `vocab` tokens, the 256 bytes included, from pairs seen at least twice.

        Few different words give fewer tokens: read `.vocab`. Raises BadInput if vocab < 256 or there is no
        text.
        """
        if vocab < BYTES:
            raise BadInput(f"vocab {vocab} has no room for the {BYTES} bytes. Give {BYTES} or more.")
        tokenizer = Tokenizer(models.BPE())
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab, min_frequency=2, initial_alphabet=_alphabet(), show_progress=False
        )
        seen = 0

        def texts() -> Iterator[str]:
            nonlocal seen
            for caption in captions:
                text = normalise(caption)
                seen += bool(text)
                yield text

        tokenizer.train_from_iterator(texts(), trainer)
        if not seen:
            raise BadInput("the BPE was given no text to learn from. Give it captions.")
        return cls(tokenizer)

    @classmethod
    def load(cls, data: bytes) -> BPE:
        """Read what `save` wrote. Raises BadInput if it is something else."""
        try:
            tokenizer = Tokenizer.from_str(data.decode("utf-8"))
        except Exception as error:  # the library raises plain Exception
            raise BadInput(
                f"this is not a tokenizer file ({error}). Use the bpe.json of a bundle."
            ) from error
        return cls(tokenizer)

    def save(self) -> bytes:
        """The file format of `tokenizers` (JSON, UTF-8)."""
        return self._tokenizer.to_str().encode("utf-8")

    def __reduce__(self):
        return BPE.load, (self.save(),)

    @property
    def vocab(self) -> int:
        """Number of tokens, which is one more than the largest id."""
        return self._tokenizer.get_vocab_size(with_added_tokens=True)

    def encode(self, text: str, dropout: float = 0.0, generator: torch.Generator | None = None) -> list[int]:
        """Ids of `text` after `normalise`; nothing is added and nothing is cut.

        dropout: probability of skipping each possible merge at each step (BPE dropout, arXiv:1910.13267,
        algorithm 1), drawn from `generator`; 0.1 in the paper's training, 0 everywhere else.
        Raises BadInput if dropout is outside [0, 1) or has no generator.
        """
        words = normalise(text).split(" ")
        if words == [""]:
            return []
        if dropout == 0.0:
            return [token for word in words for path in self._pieces(word) for token in path[-1]]
        if not 0.0 < dropout < 1.0:
            raise BadInput(f"BPE dropout {dropout} is not in [0, 1). The paper trains with 0.1.")
        if generator is None:
            raise BadInput("BPE dropout needs a torch.Generator to draw from.")
        draws = _uniforms(generator)
        log_keep = math.log1p(-dropout)
        ids: list[int] = []
        for word in words:
            for path in self._pieces(word):
                ids += self._merge(path, dropout, log_keep, draws)
        return ids

    def encode_batch(
        self, texts: Iterable[str], dropout: float = 0.0, generator: torch.Generator | None = None
    ) -> list[list[int]]:
        """`encode` of each text in turn."""
        return [self.encode(text, dropout, generator) for text in texts]

    def decode(self, ids: Sequence[int]) -> str:
        """The normalised text of `ids`. Raises BadInput for an id outside the vocabulary."""
        for token in ids:
            if not 0 <= token < self.vocab:
                raise BadInput(f"token {token} is outside the vocabulary 0..{self.vocab - 1}.")
        return self._tokenizer.decode(list(ids)).removeprefix(" ")

    def _pieces(self, word: str) -> list[Path]:
        """For each piece of `word` (no spaces inside) the path from single bytes to fully merged."""
        paths = self._words.get(word)
        if paths is None:
            pieces = pre_tokenizers.ByteLevel(add_prefix_space=True).pre_tokenize_str(word)
            paths = [self._path_of(piece) for piece, _ in pieces]
            if len(word) <= LONGEST_MERGED:
                _remember(self._words, word, paths)
        return paths

    def _path_of(self, piece: str) -> Path:
        """The path of one piece; of a very long one only the last state."""
        if len(piece) > LONGEST_MERGED:
            return [tuple(token.id for token in self._tokenizer.model.tokenize(piece))]
        return self._path(tuple(self._bytes[char] for char in piece))

    def _path(self, state: State) -> Path:
        """Merge without dropout, the best pair first."""
        path = [state]
        while candidates := self._candidates(state):
            state = self._apply(state, min(candidates)[1])
            path.append(state)
        return path

    def _merge(self, path: Path, dropout: float, log_keep: float, draws: Iterator[float]) -> State:
        """Merge with dropout from the start of `path`, until no merge is left or all are skipped at once.

        Until the first skip the merges are those of dropout 0, and their number is geometric. So one draw
        decides for most pieces, with exactly the distribution of the step-by-step loop.
        log_keep: log(1 - dropout).
        """
        while True:
            kept = math.log(1.0 - next(draws)) / log_keep
            if kept >= len(path) - 1:
                return path[-1]
            state = path[int(kept)]
            _, *others = sorted(self._candidates(state))  # the best is skipped
            place = next((at for _, at in others if next(draws) >= dropout), None)
            if place is None:
                return state
            state = self._apply(state, place)
            path = self._paths.get(state, [])
            if not path:
                path = self._path(state)
                _remember(self._paths, state, path)

    def _candidates(self, state: State) -> list[tuple[int, int]]:
        """(rank, place) of each possible merge; the smallest comes first, the leftmost of equals."""
        found = map(self._merges.get, zip(state, state[1:], strict=False))
        return [(merge[0], place) for place, merge in enumerate(found) if merge is not None]

    def _apply(self, state: State, place: int) -> State:
        merged = self._merges[state[place], state[place + 1]][1]
        return (*state[:place], merged, *state[place + 2 :])


def _alphabet() -> list[str]:
    """The 256 printable characters that stand for the bytes."""
    return pre_tokenizers.ByteLevel.alphabet()


def _remember(table: dict[Any, Any], key: Any, value: Any) -> None:
    if len(table) >= CACHED:
        table.clear()
    table[key] = value


def _uniforms(generator: torch.Generator) -> Iterator[float]:
    """Endless uniform numbers of [0, 1), drawn in blocks: one call of torch costs as much as fifty
    numbers.
    """
    while True:
        yield from torch.rand(UNIFORMS, dtype=torch.float64, generator=generator).tolist()
