"""From a bundle to another library's folder."""

from __future__ import annotations

import importlib
from pathlib import Path

from armchair.core.bundle import Bundle
from armchair.core.errors import BadInput, Unsupported, nearest
from armchair.core.files import dump_json, new_folder
from armchair.weights.precision import dtype_named

ANY = "any"
FORMATS = {  # name -> kinds that it takes, and the module whose `export` writes it
    "diffusers": (("dalle2", "dalle3", "autoencoder"), "armchair.weights.exporting.diffusers"),
    "hf-clip": (("clip",), "armchair.weights.exporting.hf_clip"),
    "safetensors": ((ANY,), "armchair.weights.exporting.plain"),
}


def export_bundle(bundle: Bundle, form: str, out: Path, dtype: str = "float32") -> Path:
    """Write a bundle as a folder, whole or not at all. Raises BadInput for an unknown format or dtype,
    Unsupported for a bundle that the format cannot hold.
    """
    if form not in FORMATS:
        raise BadInput(f"format {form!r} is not one of {', '.join(FORMATS)}.{nearest(form, FORMATS)}")
    precision = dtype_named(dtype)
    assert precision is not None
    kinds, module = FORMATS[form]
    if bundle.kind not in kinds and ANY not in kinds:
        able = [name for name, (taken, _) in FORMATS.items() if bundle.kind in taken or ANY in taken]
        raise Unsupported(f"{form} holds {', '.join(kinds)} bundles, {bundle.name} is of kind {bundle.kind}: "
                          f"--format {' or '.join(able)}")  # fmt: skip
    with new_folder(out) as folder:
        importlib.import_module(module).export(bundle, folder, precision)
        (folder / "README.md").write_text(card(bundle, form), encoding="utf-8")
    return out


def card(bundle: Bundle, form: str) -> str:
    """A model card: the licence where others look for it, and where the weights come from."""
    licence, trained = bundle.manifest.licence, dump_json(bundle.trained).decode().strip()
    languages = "".join(f"\n- {language}" for language in bundle.manifest.languages)
    head = f"---\nlicense: {licence}" + (f"\nlanguage:{languages}" if languages else "") + "\n---\n"
    return (
        f"{head}# {bundle.name}\n\nA {bundle.kind} bundle of Armchair as {form}.\n\n```json\n{trained}\n```\n"
    )
