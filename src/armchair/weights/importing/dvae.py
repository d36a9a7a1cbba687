"""OpenAI's dVAE, published as two pickled modules (arXiv:2102.12092, appendix A)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from armchair.core.bundle import Streamed
from armchair.core.config import to_json
from armchair.core.errors import BadInput
from armchair.core.tensorfile import Lazy
from armchair.dalle1.config import DVAEConfig
from armchair.weights.importing.plan import Format, Options, Plan
from armchair.weights.importing.source import Source
from armchair.weights.kinds import network_on_meta
from armchair.weights.tables.keys import Unfit, fit, row

HALVES = ("encoder", "decoder")
ENDINGS = (".pkl", ".pt", ".pth", ".safetensors")
LICENCE = "modified MIT (OpenAI, https://github.com/openai/DALL-E)"

TABLE = tuple(
    row(f"{half}.blocks.{{rest}}.{theirs}", f"{half}.blocks.{{rest}}.{ours}")
    for half in HALVES
    for theirs, ours in (("w", "weight"), ("b", "bias"))
)


def config_of(tensors: Mapping[str, Lazy]) -> DVAEConfig:
    """The sizes that a dVAE's shapes tell; pictures of 256 pixels, as it was trained. Raises Unfit."""
    sides = {
        name: tensors[name].shape if name in tensors else None
        for name in ("encoder.blocks.input.w", "encoder.blocks.output.conv.w", "decoder.blocks.input.w")
    }
    missing = [name for name, shape in sides.items() if shape is None or len(shape) != 4]
    if missing:
        raise Unfit(f"this is no dVAE: there is no {missing[0]} of four dimensions")
    into, out, code = (shape for shape in sides.values() if shape is not None)
    places = [re.match(r"encoder\.blocks\.group_(\d+)\.block_(\d+)\.", name) for name in tensors]
    numbers = [(int(match[1]), int(match[2])) for match in places if match is not None]
    if not numbers:
        raise Unfit("this is no dVAE: there is no encoder.blocks.group_1.block_1")
    try:
        return DVAEConfig(
            width=into[0],
            groups=max(group for group, _ in numbers),
            blocks=max(block for _, block in numbers),
            vocab=out[0],
            code_width=code[0],
        )
    except ValueError as error:
        raise Unfit(f"this dVAE is not supported: {error}") from error


def files_of(source: Source) -> dict[str, str | None]:
    """encoder and decoder -> the name of its file."""
    return {
        half: next((half + ending for ending in ENDINGS if half + ending in source.files), None)
        for half in HALVES
    }


def plan(source: Source, options: Options) -> Plan:
    tensors: dict[str, Lazy] = {}
    for half, name in files_of(source).items():
        if name is None:
            part = source.unfinished(half)
            raise BadInput(f"{source.name}: a dVAE has two files, and there is no {half}.pkl{part}")
        tensors |= {f"{half}.{key}": tensor for key, tensor in source.tensors(name).items()}
    config = config_of(tensors)
    fitted = fit(TABLE, tensors, network_on_meta(config).state_dict(), "this dVAE")
    return Plan(
        kind="dvae",
        components={"dvae": Streamed(config=to_json(config), tensors=fitted.tensors)},
        dropped=fitted.dropped,
        licence=LICENCE,
    )


FORMAT = Format(
    name="OpenAI's dVAE",
    looks_for="encoder.pkl and decoder.pkl",
    matches=lambda source: any(name is not None for name in files_of(source).values()),
    plan=plan,
)
