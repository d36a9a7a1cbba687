"""From a source to a bundle: which format it is, its plan, and the writing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from armchair.core.bundle import MANIFEST, Bundle, Component, Streamed, save_bundle
from armchair.core.errors import BadInput, Unsupported
from armchair.core.tensorfile import Lazy
from armchair.weights.importing import clip, compvis, dvae, karlo, latent, unclip
from armchair.weights.importing.plan import Format, Options, Plan
from armchair.weights.importing.source import Source, open_source
from armchair.weights.precision import dtype_named
from armchair.weights.tables.keys import Unfit

FORMATS: tuple[Format, ...] = (
    dvae.FORMAT,
    unclip.FORMAT,
    karlo.FORMAT,
    *latent.FORMATS,
    compvis.FORMAT,
    *clip.FORMATS,
)
UNKNOWN = "unknown: ask where these weights come from"
NAMED = (  # where a folder says what its model is
    ("model_index.json", "_class_name"),
    ("config.json", "_class_name"),
    ("config.json", "model_type"),
)


def import_weights(
    text: str,
    out: str | Path,
    *,
    dtype: str = "keep",
    licence: str | None = None,
    lock: Path | None = None,
    offline: bool = False,
    options: Options | None = None,
) -> Bundle:
    """Make a bundle at `out` from a folder, a file or hub:OWNER/NAME@REVISION; one tensor is in memory at a
    time.

    dtype: of the stored numbers, "keep" as they come. licence: in place of what the source says. lock: a file
    of hashes, as in `open_source`. Raises ArmchairError in one line for all that can be wrong; nothing is
    written then.
    """
    out = Path(out)
    stored = dtype_named(dtype, "keep")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"{out} exists already; name a folder that does not")
    source = open_source(text, lock=lock, offline=offline)
    found = which(source)
    chosen = Options() if options is None else options
    for name, value in vars(chosen).items():
        if value is not None and name not in found.takes:
            raise BadInput(
                f"--{name} {value} says nothing about {found.name}, as which {source.name} was known"
            )
    try:
        plan = found.plan(source, chosen)
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError) as error:
        # what the networks say of sizes that cannot be, and configs with a list for a number
        raise Unsupported(f"{source.name}, known as {found.name}, cannot be built: {error}") from error
    stated = source.licence()
    bundle = save_bundle(
        out,
        kind=plan.kind,
        name=out.resolve().name,
        components=_in_dtype(plan, stored),
        languages=plan.languages,
        licence=next(text for text in (licence, stated, plan.licence, UNKNOWN) if text is not None),
        trained={
            "imported": {
                "format": found.name,
                **source.origin(),
                **({"others": dict(plan.others)} if plan.others else {}),
                "dropped": dict(plan.dropped),
            }
        },
        scores={},
        defaults=plan.defaults,
    )
    source.write_lock()
    return bundle


def which(source: Source) -> Format:
    """The format of a source. Raises BadInput saying what was looked for, Unsupported naming a model that is
    none of them.
    """
    for known in FORMATS:
        if known.matches(source):
            return known
    if source.has(MANIFEST):
        raise BadInput(f"{source.name} is a bundle already: --model takes it as it is")
    wanted = "; ".join(f"{known.looks_for} ({known.name})" for known in FORMATS)
    for file, key in NAMED:
        name = source.json(file).get(key) if source.has(file) else None
        if isinstance(name, str):
            raise Unsupported(
                f"{source.name} holds a model {name!r}, which is not supported. These are: {wanted}"
            )
    has = f"it has {', '.join(list(source.files)[:4])}" if source.files else "it is empty"
    raise BadInput(f"{source.name} is no known format, {has}{source.unfinished('')}. Looked for {wanted}")


def _in_dtype(plan: Plan, dtype: torch.dtype | None) -> Mapping[str, Component | Streamed]:
    if dtype is None:
        return plan.components
    return {
        name: replace(
            part,
            tensors={
                key: value if f"{name}/{key}" in plan.exact else _cast(key, value, dtype)
                for key, value in part.tensors.items()
            },
        )
        if isinstance(part, Streamed)
        else part
        for name, part in plan.components.items()
    }


def _cast(name: str, tensor: Lazy, dtype: torch.dtype) -> Lazy:
    if not tensor.dtype.is_floating_point:
        return tensor

    def read() -> Tensor:
        value = tensor.read()
        small = value.to(dtype)
        if not bool((small.isfinite() == value.isfinite()).all()):
            raise Unfit(
                f"{name} has values that {str(dtype).removeprefix('torch.')} cannot hold: keep its type"
            )
        return small

    return Lazy(dtype, tensor.shape, read)


def summary(bundle: Bundle) -> dict[str, Any]:
    """What a person wants to know of a new bundle."""
    origin = bundle.trained["imported"]
    return {
        "folder": str(bundle.folder),
        "kind": bundle.kind,
        "format": origin["format"],
        "licence": bundle.manifest.licence,
        "dropped": origin["dropped"],
        "digest": bundle.digest,
    }
