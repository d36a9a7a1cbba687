"""Which of a picture's captions a training step reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import get_args

import torch

from armchair.core.errors import BadInput, DataError, nearest
from armchair.core.task import Caption, CaptionKind, Language, Sample, Source


@dataclass(frozen=True, kw_only=True)
class CaptionMix:
    """Shares of caption kinds and languages; DALL·E 3 trains on 95 % long captions and 5 % alt texts.

    A kind or language that is not named has share 0; an empty table takes all as they come. Shares need not
    add up to 1. What a sample lacks is made up by what it has: of a stranger's folder, where all captions are
    alike, each is as likely.
    Raises BadInput for an unknown kind or language, and for shares that are negative or all 0.
    """

    kinds: Mapping[str, float] = field(default_factory=dict)  # of alt, short, long
    languages: Mapping[str, float] = field(default_factory=dict)  # of en, ko, "" (unknown)

    def __post_init__(self):
        for name, table, known in (
            ("kind", self.kinds, get_args(CaptionKind)),
            ("language", self.languages, get_args(Language)),
        ):
            for word, share in table.items():
                if word not in known:
                    options = ", ".join(map(repr, known))
                    raise BadInput(f"caption {name} {word!r} is none of {options}.{nearest(word, known)}")
                if not 0 <= share < float("inf"):
                    raise BadInput(f"the share of caption {name} {word!r} is {share}; it must be 0 or more.")
            if table and not any(table.values()):
                raise BadInput(f"the shares of all caption {name}s are 0; give one a share above 0.")

    def pick(self, sample: Sample, generator: torch.Generator) -> Caption:
        """One caption of `sample`, by one number from the generator. Raises DataError if it has none."""
        if not sample.captions:
            raise DataError(
                f"{sample.key} has no caption. Give it one, or open the data with need_captions=True."
            )
        u = float(torch.rand((), dtype=torch.float64, generator=generator))
        shares = self._shares(sample.captions)
        u *= sum(shares)
        for caption, share in zip(sample.captions, shares, strict=True):
            u -= share
            if u < 0:
                return caption
        return sample.captions[shares.index(max(shares))]  # rounding left a crumb

    def _shares(self, captions: tuple[Caption, ...]) -> list[float]:
        """Each caption's share: its cell of (kind, language), divided among the captions of that cell."""
        cells = Counter((caption.kind, caption.language) for caption in captions)
        shares = [
            self._share(self.kinds, caption.kind)
            * self._share(self.languages, caption.language)
            / cells[caption.kind, caption.language]
            for caption in captions
        ]
        return shares if any(shares) else [1.0] * len(captions)

    @staticmethod
    def _share(table: Mapping[str, float], word: str) -> float:
        return table.get(word, 0.0) if table else 1.0


def captions_of(source: Source, index: int) -> tuple[Caption, ...]:
    """The captions of sample `index`, without its picture where the source can do that (it has `peek`)."""
    peek = getattr(source, "peek", None)
    return source[index].captions if peek is None else peek(index).captions
