"""Words that a prompt uses and the model has never seen: reported, not silently ignored."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Collection, Iterable

from armchair.core.bundle import Bundle, Component
from armchair.core.errors import BundleError

COMPONENT = "words"  # optional in a bundle: a JSON list of the words of the training captions

# Korean particles and endings that stand glued to a noun, the longest first
PARTICLES = sorted(
    (
        "은 는 이 가 을 를 의 에 에서 에게 와 과 랑 이랑 로 으로 도 만 까지 부터 처럼 "
        "위에 옆에 들 들이 들을 들의 하고 이나 나"
    ).split(),
    key=len,
    reverse=True,
)


def words_of(text: str) -> list[str]:
    """The words of a text: letters and digits of any script, lower-case, NFC, in order."""
    return re.findall(r"[^\W_]+(?:['’][^\W_]+)?", unicodedata.normalize("NFC", text).lower())


def words_component(captions: Iterable[str]) -> Component:
    """The component that lets a bundle report unseen words, from the captions it was trained on."""
    known = sorted({word for caption in captions for word in words_of(caption)})
    return Component(config={"count": len(known)}, file=json.dumps(known, ensure_ascii=False).encode())


def known_words(bundle: Bundle) -> frozenset[str] | None:
    """The words a bundle has seen; None where it does not say. Raises BundleError for a damaged list."""
    if COMPONENT not in bundle.components:
        return None
    try:
        return frozenset(json.loads(bundle.bytes(COMPONENT)))
    except (ValueError, TypeError) as error:
        raise BundleError(f"{bundle.folder}: component {COMPONENT} is no list of words: {error}") from error


def unseen(prompt: str, known: Collection[str]) -> list[str]:
    """The prompt's words that are not among the known ones, each once, in order.

    Numbers are never unseen, nor is what stands in quotes: it is written on a sign.
    """
    text = re.sub(r'"[^"]*"|“[^”]*”', " ", prompt)
    return list(dict.fromkeys(w for w in words_of(text) if not w.isdigit() and not _seen(w, known)))


def has_hangul(text: str) -> bool:
    return re.search(r"[ㄱ-ㆎ가-힣]", unicodedata.normalize("NFC", text)) is not None


def _seen(word: str, known: Collection[str]) -> bool:
    if word in known:
        return True
    if has_hangul(word):
        stems = [word.removesuffix(particle) for particle in PARTICLES if word.endswith(particle)]
    else:
        stems = [word[: -len(end)] for end in ("'s", "’s", "es", "s") if word.endswith(end)]
        stems += [word + "s", word + "es"]
    return any(stem and stem in known for stem in stems)


def capitals(text: str) -> str:
    """A text of whole sentences with their first letters as capitals, which tokenizers drop; others as they
    are.
    """
    text = text.strip()
    if not text.endswith((".", "!", "?")):
        return text
    return re.sub(r"(^|[.!?] )([a-z])", lambda found: found[1] + found[2].upper(), text)
