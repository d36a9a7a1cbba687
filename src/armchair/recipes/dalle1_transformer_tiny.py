"""DALL·E 1's transformer at toy size, on the codes of dalle1_dvae_tiny, in under a minute on two cores.

Run      armchair train dalle1_transformer_tiny --data PATH --using dvae=runs/dalle1_dvae_tiny/bundle
Needs    a folder of pictures with words, and a dalle1_dvae_tiny bundle
Takes    60 updates of 16 pictures
Reaches  backgrounds and layout at best: it shows that the whole path works, not what the network can do
"""

from armchair.dalle1.config import TransformerConfig
from armchair.dalle1.task import TransformerTaskConfig
from armchair.train import OptimConfig, Recipe, ScheduleConfig


def recipe() -> Recipe:
    return Recipe(
        name="dalle1_transformer_tiny",
        task=TransformerTaskConfig(
            net=TransformerConfig(
                text_vocab=1_024,
                image_vocab=128,
                text_length=32,
                grid=8,
                width=64,
                depth=4,
                heads=2,
                conv_kernel=5,
            ),
            bpe="fit",
            bpe_dropout=0.1,
            drop_text=0.1,
        ),
        steps=60,
        batch=16,
        optim=OptimConfig(name="muon", lr=3e-3, betas=(0.9, 0.96), weight_decay=0.045),
        schedule=ScheduleConfig(kind="cosine", warmup=5, final=0.05),
        ema=0.9,
        clip=4.0,
        checkpoint_every=10,
        preview_every=30,
        evaluate_every=60,
        evaluate_samples=32,
        enough=200_000,  # samples before its pictures are worth looking at
    )
