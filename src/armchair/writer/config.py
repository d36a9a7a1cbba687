"""Sizes of the prompt writer, and the tokens that it has beside the tokenizer's."""

from __future__ import annotations

from dataclasses import dataclass

LANGUAGES = ("en", "ko")  # that it writes; it reads both


@dataclass(frozen=True, kw_only=True)
class WriterConfig:
    """A causal transformer over [language | source | request | description]."""

    vocab: int = 4_096  # ids of the tokenizer; those of `start`, `request`, `write` and `end` follow
    length: int = 256  # places of a sequence, all parts together
    width: int = 192
    depth: int = 4
    heads: int = 3

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        if self.length < 8 or self.vocab < 1:
            raise ValueError(f"length {self.length} must be 8 or more, vocab {self.vocab} 1 or more")

    @property
    def ids(self) -> int:
        """All ids: the tokenizer's, and one a language, and three more."""
        return self.vocab + len(LANGUAGES) + 3

    def start(self, language: str) -> int:
        """The first id, which says in what language the description is to be."""
        return self.vocab + LANGUAGES.index(language)

    @property
    def request(self) -> int:
        """Stands before a request, after the description that it changes."""
        return self.vocab + len(LANGUAGES)

    @property
    def write(self) -> int:
        """Stands before what is to be written."""
        return self.vocab + len(LANGUAGES) + 1

    @property
    def end(self) -> int:
        return self.vocab + len(LANGUAGES) + 2
