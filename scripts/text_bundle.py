"""Make the bundle `text`: the BPE that the shipped systems share, trained on Emoji World's captions.

Run      python scripts/text_bundle.py --out src/armchair/bundles/text
Takes    about half a minute; needs no drawings, since only the words of the scenes are read
"""

import argparse
from pathlib import Path

from armchair.core.bundle import Component, save_bundle
from armchair.data.world.scene import WorldConfig
from armchair.data.world.source import World, captions
from armchair.text.bpe import BPE
from armchair.text.words import words_component


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=30_000)
    parser.add_argument("--vocab", type=int, default=4_096)
    args = parser.parse_args()

    world = World(WorldConfig())
    texts = [caption.text for i in range(args.scenes) for caption in captions(world.scene(i))]
    bpe = BPE.train(texts, args.vocab)
    save_bundle(
        args.out,
        kind="text",
        name="text",
        components={
            "text": Component(config={"vocab": bpe.vocab}, file=bpe.save(), storage="file"),
            "words": words_component(texts),
        },
        languages=["en", "ko"],
        licence="Apache-2.0",
        trained={
            "recipe": {"name": "text", "vocab": args.vocab},
            "data": world.describe(),
            "samples_seen": len(texts),
        },
        scores={"vocab": bpe.vocab},
    )


if __name__ == "__main__":
    main()
