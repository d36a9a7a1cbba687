"""API keys: compared in constant time, kept as digests, never shown."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence

from armchair.serve.errors import no_key, wrong_key

ANYONE = "00000000"  # the owner of everything where no key is set


class Keys:
    """The keys that are admitted; none admits everybody (who can connect, which is this machine alone)."""

    def __init__(self, keys: Sequence[str]):
        self._digests = [_digest(key) for key in keys]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def owner(self, header: str | None) -> str:
        """Whose call it is, by its Authorization header: eight hex digits that do not tell the key.

        Raises ApiError 401.
        """
        if not self._digests:
            return ANYONE
        if header is None or not header.strip():
            raise no_key()
        match = re.fullmatch(r"\s*bearer\s+(\S+)\s*", header, re.IGNORECASE)
        if match is None:
            raise no_key()
        given = _digest(match[1])
        found = [hmac.compare_digest(given, known) for known in self._digests]  # all of them, every time
        if not any(found):
            raise wrong_key(masked(match[1]))
        return owner_of(given)

    def admit(self, key: str, until: float) -> str:
        """What a browser keeps in the key's place, for any server with the same keys, until a time in seconds
        since 1970. Raises ApiError 401.
        """
        owner = self.owner(f"Bearer {key}")
        return _pass(_digest(key), owner, int(until))

    def admitted(self, shown: str, now: float) -> str | None:
        """Whose pass it is; None for one that is over or none of ours."""
        match = re.fullmatch(r"([0-9]{1,12})-([0-9a-f]{8})-[0-9a-f]{64}", shown)
        if match is None or int(match[1]) <= now:
            return None
        wanted = [_pass(digest, match[2], int(match[1])) for digest in self._digests]
        mine = [owner_of(digest) == match[2] for digest in self._digests]
        right = [hmac.compare_digest(shown, each) for each in wanted]
        return match[2] if any(a and b for a, b in zip(mine, right, strict=True)) else None


def owner_of(digest: bytes) -> str:
    return hashlib.sha256(b"owner " + digest).hexdigest()[:8]


def _pass(digest: bytes, owner: str, until: int) -> str:
    return f"{until}-{owner}-{hmac.new(digest, f'page {owner} {until}'.encode(), hashlib.sha256).hexdigest()}"


def masked(key: str) -> str:
    """What an error shows of a key that a caller sent: enough to tell which of theirs it was."""
    return f"{key[:3]}***{key[-4:]}" if len(key) >= 16 else "***"


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
