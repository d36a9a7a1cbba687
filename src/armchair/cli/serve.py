"""armchair serve: the Images API on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from armchair.cli import options as o


def command(
    host: Annotated[
        str | None,
        typer.Option(
            metavar="HOST",
            help="Address to listen on; other than this machine's needs a key.  [default: 127.0.0.1]",
            show_default=False,
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(metavar="PORT", help="0 takes a free one. [default: 8000]", show_default=False),
    ] = None,
    api_key: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY",
            envvar="ARMCHAIR_API_KEY",
            show_envvar=False,
            help="Admit callers with this key; several times for several. [default: $ARMCHAIR_API_KEY]",
        ),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME|DIR", help="Serve this bundle; several times for several. [default: all]"),
    ] = None,
    alias: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=BUNDLES", help="What a name stands for, as in dall-e-2=dalle2,dalle1."),
    ] = None,
    strict_openai: Annotated[
        bool,
        typer.Option("--strict-openai", help="Refuse what OpenAI refused, answer nothing it did not."),
    ] = False,
    device: Annotated[
        list[str] | None,
        typer.Option(metavar="auto|cpu|cuda:0", help="A worker on this device; several times for several."),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|URL",
            help="Where results behind URLs lie; several servers may share it. [default: a temporary folder]",
        ),
    ] = None,
    public_url: Annotated[
        str | None, typer.Option(metavar="URL", help="What result URLs start with. [default: as called]")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON with any of the settings in docs/serving.md.")
    ] = None,
    dtype: o.Dtype = "auto",
) -> None:
    """Serve OpenAI's Images API over local bundles. Change the client's base URL; nothing else.

    \b
    Examples
      armchair serve
      armchair serve --host 0.0.0.0 --api-key "$KEY" --models dalle1
    """
    from armchair.cli.out import note
    from armchair.core.errors import MissingDependency

    given: dict[str, Any] = {
        "host": host,
        "port": port,
        "keys": api_key,
        "models": models,
        "devices": device,
        "store": store,
        "public_url": public_url,
        "dtype": None if dtype == "auto" else dtype,
        "strict": True if strict_openai else None,
    }
    settings = read_settings(
        config, {name: value for name, value in given.items() if value not in (None, [])}, alias or []
    )
    check_models(settings.models)
    try:
        from armchair.serve.server import run
    except ModuleNotFoundError as error:
        raise MissingDependency(error.name or "fastapi", "serve") from None
    run(settings, lambda address: note(f"Armchair is at {address}/v1; it draws once its models are loaded"))


def read_settings(config: Path | None, given: dict[str, Any], aliases: list[str]) -> Any:
    """The file's settings, the flags on top. Raises BadInput."""
    import json

    from armchair.core.config import from_json
    from armchair.core.errors import BadInput
    from armchair.serve.settings import Settings, usual_aliases

    values: Any = {}
    if config is not None:
        try:
            values = json.loads(config.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BadInput(f"{config}: {error}") from error
    if not isinstance(values, dict):
        raise BadInput(f"{config} is not a JSON object")
    values = cast(dict[str, Any], values) | given
    table = {**usual_aliases(), **values.get("aliases", {})}
    for entry in aliases:
        name, equals, bundles = entry.partition("=")
        if not equals or not name.strip():
            raise BadInput(f"--alias takes NAME=BUNDLES, as in dall-e-2=dalle2,dalle1, not {entry!r}")
        table[name.strip()] = [bundle.strip() for bundle in bundles.split(",") if bundle.strip()]
    values["aliases"] = {name: bundles for name, bundles in table.items() if bundles}
    return from_json(Settings, values, "settings" if config is None else str(config))


def check_models(models: tuple[str, ...]) -> None:
    """What cannot be served is said now, not in the log of a worker. Raises ArmchairError."""
    from armchair.artist.find import find
    from armchair.core.bundle import Bundle
    from armchair.core.errors import Unsupported
    from armchair.weights.kinds import PIPELINES

    for model in models:
        kind = Bundle.open(find(model)).kind
        if kind not in PIPELINES:
            raise Unsupported(
                f"{model} is a {kind} bundle, which does not draw by itself; those of kind "
                f"{', '.join(PIPELINES)} do"
            )
