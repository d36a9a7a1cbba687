"""Which bundle answers to which name."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from armchair.serve import errors
from armchair.serve.dialects import BY_NAME, OWN, Dialect
from armchair.serve.settings import Settings

# what a person does with an operation, and the bundles that bring it
DOING = {
    "generate": ("draw prompts", "dalle1, dalle2 or dalle3"),
    "complete": ("complete pictures", "dalle1"),
    "variations": ("make variations", "dalle2"),
    "inpaint": ("edit pictures", "dalle2 or dalle3"),
    "outpaint": ("go on beyond a picture's edges", "dalle2 or dalle3"),
    "interpolate": ("blend pictures", "dalle2"),
    "text_diff": ("change pictures as texts differ", "dalle2"),
}


class Target(NamedTuple):
    """A name as it was asked for, and the bundle that draws for it."""

    name: str
    dialect: Dialect
    model: str  # the worker's name for the bundle
    operation: str
    about: Mapping[str, Any]  # what the worker said of it: operations, sizes, options ...

    @property
    def options(self) -> Mapping[str, Any]:
        """What the model takes for the operation, with its defaults."""
        return self.about["options"][self.operation]


class Catalog:
    """models: what the workers can do, as `Pool.models` tells; empty until a worker is ready"""

    def __init__(self, settings: Settings, models: Callable[[], Mapping[str, Mapping[str, Any]]]):
        self.settings, self._models = settings, models

    @property
    def bundles(self) -> dict[str, str]:
        """Public names of the bundles -> the workers' names. A folder's path stays private."""
        return {(about["name"] if os.sep in name else name): name for name, about in self._models().items()}

    def names(self) -> list[str]:
        return list(dict.fromkeys([*self.bundles, *self.settings.aliases]))

    def target(self, name: str | None, operation: str) -> Target:
        """Who does this. Raises ApiError: 404 for a name that nobody knows, 400 where no bundle can do it,
        503 before any is loaded.
        """
        asked = "dall-e-2" if name is None else name
        bundles, models = self.bundles, self._models()
        if not models:
            raise errors.overloaded(5)
        if asked in bundles:
            candidates, dialect = [asked], OWN
        elif asked in self.settings.aliases:
            listed = [bundle for bundle in self.settings.aliases[asked] if bundle in bundles]
            candidates = list(dict.fromkeys([*listed, *bundles]))
            dialect = BY_NAME.get(asked, OWN)
        else:
            raise errors.no_model(asked)
        for candidate in candidates:
            about = models[bundles[candidate]]
            if operation in about["operations"]:
                return Target(asked, dialect, bundles[candidate], operation, about)
        doing, needs = DOING[operation]
        able = [public for public, inner in bundles.items() if operation in models[inner]["operations"]]
        remedy = f"{', '.join(able)} can: ask for one of those" if able else f"it needs {needs}"
        raise errors.unsupported(
            f"The model `{asked[:200]}` cannot {doing} here: {remedy}. `armchair models` lists what is "
            "installed."
        )

    def entry(self, name: str) -> dict[str, Any]:
        """A model as /v1/models tells it. Raises ApiError 404."""
        target = self._anything(name)
        entry = {
            "id": name,
            "object": "model",
            "created": target.about["created"],
            "owned_by": "armchair",
        }
        if self.settings.strict:
            return entry
        return {
            **entry,
            "bundle": next(public for public, inner in self.bundles.items() if inner == target.model),
            "operations": target.about["operations"],
            "sizes": list(target.dialect.sizes or target.about["sizes"]),
        }

    def _anything(self, name: str) -> Target:
        """Some bundle behind a name, whatever it can do."""
        for operation in DOING:
            try:
                return self.target(name, operation)
            except errors.ApiError as error:
                if error.code != "unsupported_operation":
                    raise
        raise errors.no_model(name)
