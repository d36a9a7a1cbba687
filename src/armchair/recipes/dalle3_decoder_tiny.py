"""DALL·E 3's diffusion decoder at toy size: pixels of 32 px from latents, in under a minute on one core.

Run      armchair train dalle3_decoder_tiny --data PATH \
             --using autoencoder=runs/dalle3_autoencoder_tiny/bundle
Needs    a folder of pictures, with or without words, and a dalle3_autoencoder_tiny bundle
Takes    60 updates of 16 pictures
Reaches  large shapes: it is the teacher that dalle3_consistency_tiny distils
"""

from armchair.dalle3.config import ConsistencyConfig
from armchair.dalle3.consistency_task import ConsistencyTaskConfig
from armchair.nn.unet import LevelSpec
from armchair.train import OptimConfig, Recipe, ScheduleConfig


def recipe() -> Recipe:
    return Recipe(
        name="dalle3_decoder_tiny",
        task=ConsistencyTaskConfig(
            net=ConsistencyConfig(
                levels=(LevelSpec(width=32, depth=1), LevelSpec(width=48, depth=1)),
                patch=2,
                time_width=16,
                groups=8,
            ),
            side=32,
        ),
        steps=60,
        batch=16,
        optim=OptimConfig(name="muon", lr=3e-3, betas=(0.9, 0.99), weight_decay=0.01),
        schedule=ScheduleConfig(kind="cosine", warmup=5, final=0.05),
        ema=0.9,
        checkpoint_every=10,
        preview_every=30,
        evaluate_every=60,
        evaluate_samples=32,
        enough=200_000,  # samples before its pictures are worth looking at
    )
