"""The errors a user can cause. Each names the value that was wrong and what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ArmchairError(Exception):
    """Base of every error that a user's input, files or machine can cause: one clear line."""


class BadInput(ArmchairError):
    """A value that a person gave is wrong."""


class Unsupported(ArmchairError):
    """The model cannot do this; the message names those that can, or what is needed."""


class BundleError(ArmchairError):
    """A bundle is damaged, incomplete or of another format."""


class DataError(ArmchairError):
    """Training data cannot be read or has nothing usable in it."""


class TrainingError(ArmchairError):
    """A run cannot start or must stop."""


class MissingDependency(ArmchairError):
    """A package or program of an optional extra is not installed.

    name: what is missing, "webdataset"        extra: the extra of ours that brings it, "train"
    """

    def __init__(self, name: str, extra: str):
        super().__init__(f"{name} is not installed; pip install 'armchair[{extra}]' brings it")
        self.name = name
        self.extra = extra

    def __reduce__(self):
        return type(self), (self.name, self.extra)


def nearest(word: str, options: Iterable[str]) -> str:
    """The end of an error message: " Did you mean 'x'?" where an option resembles the word, else ""."""
    spelled = {option.lower(): option for option in options}
    close = difflib.get_close_matches(word.lower(), list(spelled), n=1, cutoff=0.5)
    return f" Did you mean {spelled[close[0]]!r}?" if close else ""
