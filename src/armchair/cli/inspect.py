"""armchair inspect: what a model or a recipe consists of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from armchair.cli import options as o

if TYPE_CHECKING:
    from armchair.core.bundle import Bundle

Rows = list[tuple[str, ...]]


def command(
    name: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|RECIPE|SYSTEM_SIZE",
            help="A bundle, a recipe, or all recipes of a size.",
            show_default=False,
        ),
    ],
    as_json: o.Json = False,
) -> None:
    """Show the components of a bundle or the networks of recipes: parameters (matrices, biases, gains,
    embeddings), config, training, scores. Networks are built without memory, so the paper's sizes fit
    anywhere.

    \b
    Examples
      armchair inspect dalle1
      armchair inspect dalle1_paper
      armchair inspect dalle1_dvae_tiny --json
    """
    from armchair.cli.out import show_json
    from armchair.cli.recipe_names import recipe_names

    names = recipe_names()
    found = [recipe for recipe in names if belongs(recipe, name)]
    report: dict[str, Any]
    if name in names:
        report = recipe_report(name)
    elif found:
        report = {"name": name, "type": "system", "recipes": [recipe_report(recipe) for recipe in found]}
    else:
        report = model_report(name, list(names))
    if as_json:
        show_json(report)
    elif report["type"] == "system":
        for entry in report["recipes"]:
            show(entry)
    else:
        show(report)


def belongs(recipe: str, system_size: str) -> bool:
    """Is a recipe SYSTEM_NETWORK_SIZE one of SYSTEM_SIZE."""
    system, _, size = system_size.rpartition("_")
    return bool(system and size) and recipe.startswith(f"{system}_") and recipe.endswith(f"_{size}")


def recipe_report(name: str) -> dict[str, Any]:
    """A recipe's network, counted on the meta device, and every field of the recipe."""
    from armchair.cli.recipe_names import about, load_recipe, recipe_names
    from armchair.core.config import to_json
    from armchair.weights.count import count_kinds, count_parts, shapes_of
    from armchair.weights.kinds import network_class, network_on_meta

    recipe = load_recipe(name)
    config = getattr(recipe.task, "net", None)
    if config is not None and network_class(config) is not None:
        net = network_on_meta(config)
    else:  # a network that only its task can build, at its real size
        net = recipe.task.build({}, None).net
    shapes = shapes_of(net)
    return {
        "name": name,
        "type": "recipe",
        "about": about(recipe_names()[name]),
        "parameters": total(count_kinds(shapes)),
        "kinds": count_kinds(shapes),
        "parts": count_parts(shapes),
        "config": to_json(recipe),
    }


def model_report(name: str, recipes: list[str]) -> dict[str, Any]:
    """A bundle's components as bundle.json lists them."""
    from armchair.artist.find import available, find
    from armchair.core.bundle import Bundle
    from armchair.core.errors import BadInput, nearest

    try:
        folder = find(name)
    except BadInput:
        sizes = {f"{recipe.split('_')[0]}_{recipe.split('_')[-1]}" for recipe in recipes}
        options = [*(found.name for found in available()), *recipes, *sorted(sizes)]
        hint = nearest(name, options)
        raise BadInput(
            f"no model or recipe {name!r}.{hint} `armchair models` and `armchair train` list them"
        ) from None
    bundle = Bundle.open(folder)
    components = {key: component_report(bundle, key) for key in bundle.components}
    manifest = bundle.manifest
    golden = manifest.golden
    return {
        "name": bundle.name,
        "type": "bundle",
        "kind": bundle.kind,
        "folder": str(folder),
        "digest": bundle.digest,
        "format": manifest.format,
        "languages": manifest.languages,
        "licence": manifest.licence,
        "parameters": sum(entry["parameters"] for entry in components.values()),
        "components": components,
        "trained": manifest.trained,
        "scores": manifest.scores,
        "golden": None if golden is None else {"prompt": golden.prompt, "seed": golden.seed},
    }


def component_report(bundle: Bundle, name: str) -> dict[str, Any]:
    from armchair.core.bundle import SharedEntry
    from armchair.weights.count import count_kinds, count_parts

    listed = bundle.entry(name)
    _, _, entry = bundle.home(name)
    shapes = list(entry.tensors.items())
    return {
        "shared_from": f"{listed.bundle}/{listed.component}" if isinstance(listed, SharedEntry) else None,
        "storage": entry.storage,
        "bytes": sum(file.bytes for file in entry.files),
        "files": [file.path for file in entry.files],
        "parameters": total(count_kinds(shapes)),
        "kinds": count_kinds(shapes),
        "parts": count_parts(shapes),
        "config": entry.config,
    }


def total(counts: Mapping[str, int]) -> int:
    return sum(counts.values())


def show(report: dict[str, Any]) -> None:
    """For a person."""
    from armchair.cli.out import line

    if report["type"] == "recipe":
        line(f"{report['name']}: {report['about']}")
        numbers("parameters", report)
        section("recipe", report["config"])
    else:
        line(f"{report['name']}: a bundle of kind {report['kind']} at {report['folder']}")
        facts = {key: report[key] for key in ("digest", "format", "languages", "licence", "golden")}
        section("bundle", facts)
        for name, entry in report["components"].items():
            shared = f", shared from {entry['shared_from']}" if entry["shared_from"] else ""
            line(f"component {name}: {entry['storage']}, {entry['bytes'] / 2**20:.2f} MiB{shared}")
            if entry["parameters"]:
                numbers("parameters", entry)
            section("config", entry["config"])
        section("trained", report["trained"])
        section("scores", report["scores"])
    line()


def numbers(title: str, entry: dict[str, Any]) -> None:
    """The parameter counts, by kind and by part."""
    from armchair.cli.out import line, table

    line(f"  {title}")
    rows: Rows = [("total", f"{entry['parameters']:,}")]
    rows += [(kind, f"{count:,}") for kind, count in entry["kinds"].items()]
    if len(entry["parts"]) > 1:
        rows += [(f"in {part}", f"{count:,}") for part, count in entry["parts"].items()]
    table(rows, indent=4, right=frozenset({1}))


def section(title: str, values: Mapping[str, Any]) -> None:
    from armchair.cli.out import line, table

    rows = flat(values)
    if rows:
        line(f"  {title}")
        table(rows, indent=4)


def flat(values: Mapping[str, Any], start: str = "") -> Rows:
    """Nested objects as dotted names."""
    import json

    rows: Rows = []
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            rows += flat(cast(Mapping[str, Any], value), f"{start}{key}.")
        else:
            rows.append(
                (f"{start}{key}", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
            )
    return rows
