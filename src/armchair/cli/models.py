"""armchair models: the bundles that are here."""

from __future__ import annotations

from typing import Any

from armchair.cli import options as o


def command(as_json: o.Json = False) -> None:
    """List the shipped bundles and those of the runs in ./runs.

    \b
    Example
      armchair models
    """
    from armchair.artist.find import Found, available
    from armchair.cli.out import line, note, show_json, table
    from armchair.core.bundle import Bundle, ComponentEntry
    from armchair.core.errors import BundleError

    def row(found: Found) -> dict[str, Any]:
        entry: dict[str, Any] = {"name": found.name, "where": found.where, "folder": str(found.folder)}
        try:
            bundle = Bundle.open(found.folder)
        except BundleError as error:
            return {**entry, "error": str(error)}
        own = [part for part in bundle.components.values() if isinstance(part, ComponentEntry)]
        return {
            **entry,
            "kind": bundle.kind,
            "languages": bundle.manifest.languages,
            "bytes": sum(file.bytes for part in own for file in part.files),
            "samples_seen": bundle.trained.get("samples_seen"),
            "scores": bundle.manifest.scores,
            "digest": bundle.digest,
        }

    rows = [row(found) for found in available()]
    if as_json:
        show_json(rows)
        return
    sound = [entry for entry in rows if "error" not in entry]
    shown = [("name", "kind", "where", "size", "languages", "samples seen")]
    for entry in sound:
        seen = entry["samples_seen"]
        size, languages = f"{entry['bytes'] / 2**20:.1f} MiB", " ".join(entry["languages"])
        told = "" if seen is None else f"{seen:,}"
        shown.append((entry["name"], entry["kind"], entry["where"], size, languages, told))
    if sound:
        table(shown, right=frozenset({3, 5}))
    for entry in rows:
        if "error" in entry:
            note(entry["error"])
    if not rows:
        line("no bundles: none is shipped with this installation, and ./runs has none")
