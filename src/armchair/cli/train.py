"""armchair train: a recipe in, a run folder with a bundle out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from armchair.core.bundle import Bundle
    from armchair.core.task import Source
    from armchair.train.recipe import Recipe


def command(
    recipe: Annotated[
        str | None, typer.Argument(metavar="RECIPE", help="A recipe's name. [default: list them]")
    ] = None,
    data: Annotated[
        str | None, typer.Option(metavar="PATH", help="Pictures with words. [default: what the recipe says]")
    ] = None,
    using: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STAGE=BUNDLE", help="An earlier stage, as in dvae=runs/A. [default: the shipped one]"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The run's folder. [default: runs/RECIPE]", show_default=False),
    ] = None,
    init: Annotated[str | None, typer.Option(metavar="BUNDLE", help="Start from these weights.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a field, as in optim.lr=1e-4."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the newest checkpoint in the folder.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan: parameters, FLOPs, speed here, time, memory.")
    ] = False,
) -> None:
    """Train a network. Each --using, --set may be given several times. Start several processes with torchrun.

    \b
    Examples
      armchair train                                   lists the recipes
      armchair train dalle1_dvae_tiny --data pictures --out A
      armchair train dalle1_transformer_tiny --data pictures --using dvae=A/bundle --out B
      armchair train dalle1_dvae_tiny --out A --resume
    """
    from armchair.cli.out import line, table
    from armchair.cli.recipe_names import about, load_recipe, recipe_names
    from armchair.core.config import override
    from armchair.core.errors import Unsupported

    if recipe is None:
        table([(name, about(path)) for name, path in recipe_names().items()])
        return
    if recipe == "all":
        raise Unsupported(
            "train all comes with a later version; train the stages one by one: `armchair train`"
        )
    chosen = load_recipe(recipe)
    folder = Path("runs") / recipe if out is None else out
    from armchair.core.memory import keep_blocks
    from armchair.train import build_task, run, saved_recipe

    keep_blocks()
    given = {name: open_bundle(place) for name, place in map(stage, using or [])}
    stages = shipped_stages(chosen) | given
    if resume and (folder / "recipe.json").exists():
        chosen = saved_recipe(chosen, folder)
        stages |= earlier_stages(folder, given)
    chosen = override(chosen, settings or [])
    source = open_data(chosen, data)
    task = build_task(chosen, stages, None if init is None else open_bundle(init))
    run(chosen, source=source, task=task, out=folder, using=stages, resume=resume, dry_run=dry_run)
    if not dry_run and os.environ.get("RANK", "0") == "0":  # torchrun's first process speaks for all
        line(folder / "bundle")


def stage(text: str) -> tuple[str, str]:
    """ "dvae=runs/A" -> ("dvae", "runs/A"). Raises BadInput."""
    from armchair.core.errors import BadInput

    name, equals, place = text.partition("=")
    if not equals or not name.strip() or not place.strip():
        raise BadInput(f"--using takes STAGE=BUNDLE, as in dvae=runs/A/bundle, not {text!r}")
    return name.strip(), place.strip()


def shipped_stages(recipe: Recipe) -> dict[str, Bundle]:
    """The earlier stages that a task names in `shipped_stages` (stage -> shipped bundle), those that are
    here.
    """
    from armchair.core.bundle import MANIFEST, SHIPPED, Bundle

    names: dict[str, str] = getattr(recipe.task, "shipped_stages", {})
    return {
        stage: Bundle.open(SHIPPED / name)
        for stage, name in names.items()
        if (SHIPPED / name / MANIFEST).is_file()
    }


def earlier_stages(folder: Path, given: Mapping[str, Bundle]) -> dict[str, Bundle]:
    """The bundles that a run began with, but for those that are given now. Raises BundleError where one is
    gone.
    """
    from armchair.artist.find import find_digest
    from armchair.train import saved_using

    return {
        name: open_bundle(find_digest(was["sha256"], was["folder"], was["bundle"]))
        for name, was in saved_using(folder).items()
        if name not in given
    }


def open_bundle(place: str) -> Bundle:
    from armchair.artist.find import find
    from armchair.core.bundle import Bundle

    return Bundle.open(find(place))


def open_data(recipe: Recipe, path: str | None) -> Source:
    """The samples at a path, else the recipe's own. Raises BadInput where there are neither."""
    from armchair.core.errors import BadInput
    from armchair.data.open import open_source

    if path is not None:
        return open_source(path)
    if recipe.data is None:
        raise BadInput(f"{recipe.name} has no data of its own: name a folder of pictures with --data")
    if not hasattr(recipe.data, "open"):
        raise BadInput(f"data={recipe.data!r} is no data set; name pictures with --data, not --set")
    return recipe.data.open()
