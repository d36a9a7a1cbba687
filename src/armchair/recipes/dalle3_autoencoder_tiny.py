"""DALL·E 3's autoencoder at toy size: 32 px to 8 x 8 cells of 4 channels, in under a minute on one core.

Run      armchair train dalle3_autoencoder_tiny --data PATH
Needs    a folder of pictures, with or without words
Takes    60 updates of 16 pictures
Reaches  the shape and colour of large things: it shows that the whole path works, not what the network can do
"""

from armchair.dalle3.autoencoder_task import AutoencoderTaskConfig
from armchair.nn.autoencoder import AutoencoderConfig
from armchair.train import OptimConfig, Recipe, ScheduleConfig


def recipe() -> Recipe:
    return Recipe(
        name="dalle3_autoencoder_tiny",
        task=AutoencoderTaskConfig(
            net=AutoencoderConfig(image_size=32, widths=(32, 48), depth=1, channels=4, patch=2, groups=8),
            squared=1.0,
            kl_weight=1e-3,
        ),
        steps=60,
        batch=16,
        optim=OptimConfig(name="muon", lr=5e-3, betas=(0.9, 0.95), weight_decay=0.01),
        schedule=ScheduleConfig(kind="cosine", warmup=5, final=0.05),
        ema=0.9,
        checkpoint_every=10,
        preview_every=20,
        evaluate_every=60,
        evaluate_samples=32,
        enough=200_000,  # samples before its pictures are worth looking at
    )
