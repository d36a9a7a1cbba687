"""Turn a trained bundle into a shipped one: what others ship is pointed at, drawing options are chosen.

Run      python scripts/ship.py runs/clip/bundle --name clip
         python scripts/ship.py runs/dalle1/bundle --name dalle1 --default guidance=3 --default top_k=256 \\
             [--component dvae=runs/dvae/bundle] [--scores FILE] [--out FOLDER]
Checks   that a dVAE from elsewhere has the same encoder, bit for bit: the transformer has learned its codes
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from armchair.core.bundle import (
    SHIPPED,
    Bundle,
    Component,
    ComponentEntry,
    Shared,
    component_hash,
    save_bundle,
)
from armchair.core.images import to_image
from armchair.weights.kinds import PIPELINES, pipeline_class

GOLDEN = ("a red apple", 1)
SIDE = 64  # pixels that a golden picture is kept at


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--out", type=Path, help="default: where the package keeps the bundle of that name")
    parser.add_argument("--component", action="append", default=[], metavar="NAME=BUNDLE")
    parser.add_argument("--default", action="append", default=[], metavar="OPTION=VALUE")
    parser.add_argument("--storage", action="append", default=[], metavar="COMPONENT=TYPE")
    parser.add_argument("--scores", type=Path, help="JSON to put in place of the bundle's scores")
    args = parser.parse_args()
    out = SHIPPED / args.name if args.out is None else args.out

    trained = Bundle.open(args.bundle)
    homes = {name: trained for name in trained.components}
    for name, place in (pair.split("=", 1) for pair in args.component):
        homes[name] = Bundle.open(place)
    check_encoders(trained, homes)
    stored = dict(pair.split("=", 1) for pair in args.storage)
    if unknown := sorted(stored.keys() - homes.keys()):
        raise SystemExit(f"--storage {unknown[0]}: the components are {', '.join(sorted(homes))}")
    options = {key: json.loads(value) for key, value in (pair.split("=", 1) for pair in args.default)}
    others = {name: history(name, home) for name, home in homes.items() if home is not trained}
    made: dict[str, Any] = {
        "kind": trained.kind,
        "name": args.name,
        "components": {
            name: component(home, name, args.name, stored.get(name)) for name, home in homes.items()
        },
        "languages": trained.manifest.languages,
        "licence": trained.manifest.licence,
        "trained": {**trained.trained, **others},
        "scores": trained.manifest.scores
        if args.scores is None
        else json.loads(args.scores.read_text("utf-8")),
        "defaults": {**trained.manifest.defaults, **options},
    }
    first = save_bundle(out, **made, replace=True)
    if first.kind in PIPELINES:  # the golden picture is drawn with the weights as they are stored
        pipeline = pipeline_class(first.kind).from_bundle(first, torch.device("cpu"), torch.float32)
        prompt, seed = GOLDEN
        *_, last = pipeline.stream(prompt, [seed], pipeline.sizes[0])
        small = to_image(last.images[0]).resize((SIDE, SIDE), Image.Resampling.LANCZOS)  # as `verify` does
        save_bundle(out, **made, golden=(prompt, seed, small), replace=True)


def component(bundle: Bundle, name: str, target: str, storage: str | None) -> Component | Shared:
    """The component as it is stored, or a pointer to the same one in another shipped bundle. storage: another
    type.
    """
    _, _, entry = bundle.home(name)
    for folder in sorted(SHIPPED.iterdir()):
        if folder.name == target or not (folder / "bundle.json").is_file():
            continue
        other = Bundle.open(folder)
        for there, found in other.components.items():
            if isinstance(found, ComponentEntry) and component_hash(found) == component_hash(entry):
                return other.share(there)
    if entry.storage == "file":
        return Component(config=entry.config, file=bundle.bytes(name), storage="file")
    return Component(config=entry.config, tensors=bundle.tensors(name), storage=storage or entry.storage)


def history(name: str, home: Bundle) -> dict[str, Any]:
    """How a bundle's component was trained, without what is said there of the others."""
    said = home.trained
    while name in said:  # it came from another bundle itself
        said = said[name]
    return {key: value for key, value in said.items() if key not in home.components}


def check_encoders(trained: Bundle, homes: dict[str, Bundle]) -> None:
    """Stops the program where the codes of two dVAEs mean different things."""
    other = homes.get("dvae", trained)
    if other is trained:
        return
    a, b = trained.tensors("dvae"), other.tensors("dvae")
    for key, value in a.items():
        if key.startswith("encoder.") and not torch.equal(value, b[key]):
            raise SystemExit(f"the dVAEs differ in {key}: the transformer would not know the codes")


if __name__ == "__main__":
    main()
