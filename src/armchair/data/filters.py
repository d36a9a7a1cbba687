"""The filters that DALL·E 1 put on its web data (arXiv:2102.12092, appendix C), as parts that combine.

A filter is told one sample's captions and size, before its picture is decoded, and says which captions stay.
A sample that loses all of its captions is dropped, and so is one that a filter refuses as a whole; both are
counted under the filter's `reason`. Pictures that never had words pass the filters on words.
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from armchair.core.errors import BadInput, DataError, MissingDependency
from armchair.core.task import Caption, Sample, Source
from armchair.data.pictures import Entry, Steady, Unreadable

Captions = tuple[Caption, ...]


class Filter(Protocol):
    """Told an entry and its captions that are left, gives those that stay, or None to drop the sample."""

    @property
    def reason(self) -> str: ...

    def __call__(self, entry: Entry, captions: Captions) -> Captions | None: ...


@dataclass(frozen=True, kw_only=True)
class ShortCaption:
    """Drops captions of fewer than `words` words; a Chinese or Japanese character counts as a word."""

    words: int = 2

    @property
    def reason(self) -> str:
        return "caption too short"

    def __call__(self, entry: Entry, captions: Captions) -> Captions | None:
        return tuple(caption for caption in captions if len(_WORD.findall(caption.text)) >= self.words)


@dataclass(frozen=True, kw_only=True)
class Boilerplate:
    """Drops captions that are mostly boilerplate: dates, file names, credits, addresses."""

    share: float = 0.5  # of the letters and digits that may be boilerplate

    @property
    def reason(self) -> str:
        return "caption mostly boilerplate"

    def __call__(self, entry: Entry, captions: Captions) -> Captions | None:
        return tuple(caption for caption in captions if boilerplate_share(caption.text) <= self.share)


@dataclass(frozen=True, kw_only=True)
class InLanguage:
    """Drops captions in other languages. The paper keeps English alone, by cld3; we keep Korean too.

    A caption that carries its language is believed. Short ones are often ambiguous ("koala"), so only those
    are dropped for which py3langid finds another language `odds` times likelier than any allowed one.
    Raises BadInput for a language that py3langid does not know, MissingDependency without py3langid.
    """

    languages: tuple[str, ...] = ("en", "ko")  # ISO 639-1
    odds: float = 50.0

    @property
    def reason(self) -> str:
        return f"language not {' or '.join(self.languages)}"

    def __call__(self, entry: Entry, captions: Captions) -> Captions | None:
        return tuple(caption for caption in captions if self._passes(caption))

    def _passes(self, caption: Caption) -> bool:
        if caption.language:
            return caption.language in self.languages
        chances = dict(_identifier().rank(caption.text))
        for language in self.languages:
            if language not in chances:
                known = ", ".join(sorted(chances))
                raise BadInput(f"language {language!r} is not known; it is one of {known}.")
        return max(chances.values()) < self.odds * max(chances[language] for language in self.languages)


@dataclass(frozen=True, kw_only=True)
class AspectRatio:
    """Drops pictures more than `most` times as wide as high, or as high as wide."""

    most: float = 2.0

    @property
    def reason(self) -> str:
        return f"aspect ratio outside [1/{self.most:g}, {self.most:g}]"

    def __call__(self, entry: Entry, captions: Captions) -> Captions | None:
        width, height = entry.size
        return captions if max(width, height) <= self.most * min(width, height) else None


def paper_filters(languages: Sequence[str] = ("en", "ko")) -> list[Filter]:
    """All four, the cheap ones first."""
    return [ShortCaption(), Boilerplate(), InLanguage(languages=tuple(languages)), AspectRatio()]


class Filtered(Steady):
    """The samples of a source that pass every filter, with only the captions that do.

    Looks at every entry once, when it is made: text and header, no decoding where the source can `peek`.
    `skipped` holds what the source left out, what the filters dropped, and samples whose key came before.
    `captions_dropped` counts single captions by filter, those of samples that stayed included.
    """

    def __init__(
        self, source: Source, filters: Sequence[Filter], progress: Callable[[int, int], None] | None = None
    ):
        """progress: called with the number of entries seen and their total.

        Raises DataError when nothing is left.
        """
        super().__init__({reason: list(keys) for reason, keys in getattr(source, "skipped", {}).items()})
        self.source = source
        self.filters = tuple(filters)
        self.dropped: dict[str, int] = {}  # samples, by the filters' reasons
        self.captions_dropped: dict[str, int] = {}
        self._rows: list[int] = []  # kept samples, as numbers of the source
        self._keys: list[str] = []
        self._texts: dict[int, Captions] = {}  # of kept samples that lost some
        seen: set[str] = set()
        for row in range(len(source)):
            if progress is not None:
                progress(row, len(source))
            try:
                entry = _entry(source, row)
                reason = "duplicate key" if entry.key in seen else self._judge(entry, row)
            except Unreadable as error:
                self.skipped.setdefault(error.reason, []).append(error.key)
                continue
            seen.add(entry.key)
            if reason is None:
                self._rows.append(row)
                self._keys.append(entry.key)
            else:
                self.dropped[reason] = self.dropped.get(reason, 0) + 1
                self.skipped.setdefault(reason, []).append(entry.key)
        if not self._rows:
            counts = ", ".join(f"{count} {reason}" for reason, count in self.dropped.items())
            raise DataError(
                f"the filters leave none of {len(source)} samples ({counts}). Loosen or remove some."
            )

    def __len__(self) -> int:
        return len(self._rows)

    def key(self, index: int) -> str:
        return self._keys[index]

    def read(self, index: int) -> Sample:
        row = self._rows[index]
        sample = self.source.read(row) if isinstance(self.source, Steady) else self.source[row]
        return replace(sample, captions=self._texts[row]) if row in self._texts else sample

    def peek(self, index: int) -> Entry:
        row = self._rows[index]
        entry = _entry(self.source, row)
        return Entry(entry.key, self._texts.get(row, entry.captions), lambda: entry.size)

    def describe(self) -> dict[str, Any]:
        """The source's description with the filters and what they dropped."""
        return {
            **self.source.describe(),
            "samples": len(self),
            "filters": [filter.reason for filter in self.filters],
            "skipped": {reason: len(keys) for reason, keys in sorted(self.skipped.items())},
            "captions_dropped": dict(self.captions_dropped),
        }

    def _judge(self, entry: Entry, row: int) -> str | None:
        """Why the entry is dropped, or None; notes the captions that it keeps."""
        left = entry.captions
        for filter in self.filters:
            stays = filter(entry, left)
            lost = 0 if stays is None else len(left) - len(stays)
            if lost:
                self.captions_dropped[filter.reason] = self.captions_dropped.get(filter.reason, 0) + lost
            if stays is None or (left and not stays):
                return filter.reason
            left = stays
        if len(left) < len(entry.captions):
            self._texts[row] = left
        return None


def boilerplate_share(text: str) -> float:
    """Share of the letters and digits of `text` that are boilerplate: 0 .. 1; 1 if it has none at all."""
    whole = _letters(text)
    return 1.0 if whole == 0 else 1 - _letters(_BOILERPLATE.sub(" ", text)) / whole


def language_of(text: str) -> str:
    """The likeliest ISO 639-1 code, or "" for text without letters. Raises MissingDependency."""
    return _identifier().classify(text)[0] if _LETTER.search(text) else ""


def _entry(source: Source, row: int) -> Entry:
    if isinstance(source, Steady):
        return source.peek(row)
    sample = source[row]
    return Entry(sample.key, sample.captions, lambda: (sample.image.shape[1], sample.image.shape[0]))


def _letters(text: str) -> int:
    return sum(char.isalnum() for char in text)


@functools.cache
def _identifier() -> Any:
    """Loads in about a second, at the first use."""
    try:
        module = importlib.import_module("py3langid.langid")
    except ImportError:
        raise MissingDependency("py3langid", "train") from None
    return module.LanguageIdentifier.from_model_file(module.MODEL_FILE, norm_probs=True)


_LETTER = re.compile(r"[^\W\d_]")
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+(?:['’\-][^\W_]+)*")

# Boilerplate, in English and Korean
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec)[a-z]*\.?"
_WEEKDAY = r"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\.?,?\s+)?"
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_DATE = "|".join(
    (
        r"\d{4}[-/.:]\d{1,2}[-/.:]\d{1,2}",
        r"\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}",
        rf"{_WEEKDAY}{_DAY}\s+(?:of\s+)?{_MONTH},?(?:\s+\d{{4}})?",
        rf"{_WEEKDAY}{_MONTH}\s+{_DAY}\b,?(?:\s+\d{{4}})?",
        rf"{_MONTH}\s+\d{{4}}",
        r"\d{4}년(?:\s*\d{1,2}월)?(?:\s*\d{1,2}일)?",
        r"\d{1,2}월\s*\d{1,2}일",
    )
)
_DATE = rf"(?:{_DATE})(?:[t\s]+\d{{1,2}}:\d{{2}}(?::\d{{2}})?)?"
_MADE = (
    r"(?:photo(?:graph(?:ed|y)?)?|picture|image|shot|taken|captured|uploaded|posted|published|updated|added)"
)
_NAME = r"(?:(?-i:[A-Z])[\w.'-]*\s*){0,3}"  # the credited person: capitalised words
_PHRASES = (
    "all rights reserved|royalty[- ]free|stock (?:photos?|images?|photography|illustrations?|vectors?)",
    "shutterstock|getty images|alamy|istock(?:photo)?|dreamstime|depositphotos|123rf",
    "click (?:here )?to (?:enlarge|zoom|view)|(?:view|see) larger(?: image)?",
    "no (?:photo|image|description)(?: available)?|image not found|default (?:image|alt text)|alt text",
    "may contain|free download|hd wallpapers?|untitled|screenshot",
)
_PHRASES_KO = (
    r"무단\s*전재|재배포\s*금지|저작권자?|사진\s*제공|출처|클릭(?:하면|하시면)?\s*확대|이미지\s*확대"
    r"|(?:에\s*)?촬영(?:함|일|된 사진|한 사진)?"
)
_BOILERPLATE = re.compile(
    "|".join(
        (
            r"(?:https?://|www\.)\S+",
            r"\S+\.(?:jpe?g|png|gif|webp|bmp|tiff?|heic|raw|nef|cr2|html?|php)\b",
            r"\b(?:img|dsc[nf]?|pict?|image|photo|picture|screenshot|mvi|pxl|kakaotalk|사진|이미지)"
            r"[\s_#-]*\d[\d_\s-]*\b",
            rf"\b{_MADE}(?:\s+(?:was|taken|made|shot|captured))*\s*(?:on|at|in|:)?\s*{_DATE}",
            _DATE,
            rf"\b{_MADE}\s+(?:by|credits?|courtesy(?:\s+of)?)\b[:\s]*{_NAME}",
            r"\b(?:photographed|taken|captured|uploaded|posted)\s+on\b",
            rf"(?:©|\(c\)|copyright)\s*(?:\d{{4}})?[\s,]*(?:by\s+)?{_NAME}",
            rf"\b(?:{'|'.join(_PHRASES)})\b",
            rf"(?:{_PHRASES_KO})[\s:=©]*",
            r"\b\d{3,5}\s*[x×]\s*\d{3,5}\b",
        )
    ),
    re.IGNORECASE,
)
