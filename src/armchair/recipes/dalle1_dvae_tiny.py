"""DALL·E 1's image tokenizer at toy size: 32 px to 8 x 8 codes of 128, in under a minute on two cores.

Run      armchair train dalle1_dvae_tiny --data PATH
Needs    a folder of pictures, with or without words
Takes    60 updates of 16 pictures
Reaches  the shape and colour of large things: it shows that the whole path works, not what the network can do
"""

from armchair.dalle1.config import DVAEConfig
from armchair.dalle1.dvae_task import DVAETaskConfig
from armchair.train import OptimConfig, Recipe, ScheduleConfig


def recipe() -> Recipe:
    return Recipe(
        name="dalle1_dvae_tiny",
        task=DVAETaskConfig(
            net=DVAEConfig(image_size=32, width=16, groups=3, blocks=1, vocab=128, code_width=32),
            kl_weight=1.0,
            kl_warmup=20,
            temperature_steps=50,
        ),
        steps=60,
        batch=16,
        optim=OptimConfig(name="adamw", lr=5e-3, betas=(0.9, 0.99), weight_decay=1e-4),
        schedule=ScheduleConfig(kind="cosine", warmup=5, final=0.05),
        ema=0.9,
        checkpoint_every=10,
        preview_every=20,
        evaluate_every=60,
        evaluate_samples=32,
        enough=200_000,  # samples before its pictures are worth looking at
    )
