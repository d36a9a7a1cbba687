"""DALL·E 3's decoder distilled to two steps (appendix B), at the published size.

Run      torchrun --nproc-per-node 64 -m armchair train dalle3_consistency_paper --data PATH \
             --using teacher=BUNDLE --using autoencoder=BUNDLE
Needs    a folder of pictures, with or without words, a dalle3_decoder_paper bundle and its autoencoder
Takes    621 million parameters, and the teacher beside them; the paper does not describe its training
Reaches  the paper shows pictures alone: better text and faces than the autoencoder's own decoder
"""

from dataclasses import replace

from armchair.recipes.dalle3_decoder_paper import recipe as teacher
from armchair.train import OptimConfig, Recipe


def recipe() -> Recipe:
    return replace(
        teacher(),
        name="dalle3_consistency_paper",
        steps=100_000,
        optim=OptimConfig(name="adamw", lr=1e-5, betas=(0.9, 0.999), weight_decay=0.0),
    )
