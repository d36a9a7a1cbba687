"""DALL·E 3's decoder distilled to two steps, at toy size, in under a minute on one core.

Run      armchair train dalle3_consistency_tiny --data PATH --using teacher=runs/dalle3_decoder_tiny/bundle \
             --using autoencoder=runs/dalle3_autoencoder_tiny/bundle
Needs    a folder of pictures, with or without words, and the bundles of both tiny recipes
Takes    60 updates of 16 pictures
Reaches  large shapes in two steps: it shows that the whole path works, not what the network can do
"""

from dataclasses import replace

from armchair.recipes.dalle3_decoder_tiny import recipe as teacher
from armchair.train import OptimConfig, Recipe


def recipe() -> Recipe:
    return replace(
        teacher(),
        name="dalle3_consistency_tiny",
        optim=OptimConfig(name="adamw", lr=5e-4, betas=(0.9, 0.99), weight_decay=0.0),
    )
