"""Turn a trained dalle1 bundle into the shipped one: shared text, a better decoder, chosen sampling.

Run      python scripts/ship.py runs/dalle1/bundle --out src/armchair/bundles/dalle1 [--dvae BUNDLE] \\
             [--guidance 2 --temperature 0.9 --top-k 64] [--scores FILE]
Checks   that the other dVAE has the same encoder, bit for bit: the transformer has learned its codes
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from armchair.core.bundle import Bundle, Component, Shared, save_bundle
from armchair.core.images import to_image
from armchair.dalle1.pipeline import PLAIN, Dalle1

GOLDEN = ("a red apple", 1)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--name", default="dalle1")
    parser.add_argument("--dvae", type=Path, help="a bundle with a better decoder for the same codes")
    parser.add_argument("--text", type=Path, default=Path("src/armchair/bundles/text"))
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--top-k", type=int)
    parser.add_argument("--top-p", type=float)
    parser.add_argument("--scores", type=Path, help="JSON to put in place of the bundle's scores")
    args = parser.parse_args()

    old = Bundle.open(args.bundle)
    dvae = old if args.dvae is None else Bundle.open(args.dvae)
    check_encoders(old, dvae)
    text = Bundle.open(args.text)
    if text.bytes("text") != old.bytes("text"):
        raise SystemExit(f"{args.bundle} was trained on another tokenizer than {args.text}")
    components: dict[str, Component | Shared] = {
        "dvae": Component(config=dvae.config("dvae"), tensors=dvae.tensors("dvae"), storage="float16"),
        "text": text.share("text"),
        "transformer": Component(
            config=old.config("transformer"), tensors=old.tensors("transformer"), storage="int8"
        ),
        "words": Component(config=old.config("words"), file=old.bytes("words"), storage="file"),
    }
    chosen = {key: getattr(args, key) for key in PLAIN}
    made: dict[str, Any] = {
        "kind": old.kind,
        "name": args.name,
        "components": components,
        "languages": old.manifest.languages,
        "licence": old.manifest.licence,
        "trained": {**old.trained, "dvae": dvae.trained},
        "scores": old.manifest.scores if args.scores is None else json.loads(args.scores.read_text("utf-8")),
        "defaults": chosen,
    }
    first = save_bundle(
        args.out, **made, replace=True
    )  # rounded to int8: what the golden picture is drawn with
    pipeline = Dalle1.from_bundle(first, torch.device("cpu"), torch.float32)
    prompt, seed = GOLDEN
    *_, last = pipeline.stream(prompt, [seed], pipeline.sizes[0])
    save_bundle(args.out, **made, golden=(prompt, seed, to_image(last.images[0])), replace=True)


def check_encoders(one: Bundle, other: Bundle) -> None:
    """Stops the program where the codes of two dVAEs mean different things."""
    a, b = one.tensors("dvae"), other.tensors("dvae")
    for key, value in a.items():
        if key.startswith("encoder.") and not torch.equal(value, b[key]):
            raise SystemExit(f"the dVAEs differ in {key}: the transformer would not know the codes")


if __name__ == "__main__":
    main()
