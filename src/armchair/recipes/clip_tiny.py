"""CLIP at toy size: 32 px, two blocks a tower, in under a minute on one core.

Run      armchair train clip_tiny --data PATH
Needs    a folder of pictures with words
Takes    60 updates of 32 pictures
Reaches  better than chance: it shows that the whole path works, not what the network can do
"""

from armchair.clip.config import ClipConfig, TextConfig, ViTConfig
from armchair.clip.task import ClipTaskConfig
from armchair.train import OptimConfig, Recipe, ScheduleConfig


def recipe() -> Recipe:
    return Recipe(
        name="clip_tiny",
        task=ClipTaskConfig(
            net=ClipConfig(
                image_size=32,
                embed=64,
                image=ViTConfig(patch=8, width=64, depth=2),
                text=TextConfig(vocab=1_024, length=32, width=64, depth=2),
            ),
            bpe="fit",
            bpe_dropout=0.1,
        ),
        steps=60,
        batch=32,
        optim=OptimConfig(name="muon", lr=3e-3, betas=(0.9, 0.98), weight_decay=0.05),
        schedule=ScheduleConfig(kind="cosine", warmup=5, final=0.05),
        ema=0.9,
        checkpoint_every=10,
        evaluate_every=60,
        evaluate_samples=32,
        enough=200_000,  # samples before its scores mean anything
    )
