"""DALL·E 2's autoregressive prior at toy size, on the CLIP of clip_tiny, in under a minute on one core.

Run      armchair train dalle2_ar_prior_tiny --data PATH --using clip=runs/clip_tiny/bundle
Needs    a folder of pictures with words, and a clip_tiny bundle
Takes    60 updates of 32 pictures
Reaches  better than chance at best: it shows that the whole path works, not what the network can do
"""

from armchair.dalle2.ar_prior_task import ArPriorTaskConfig
from armchair.dalle2.config import ArPriorConfig, CaptionConfig
from armchair.train import OptimConfig, Recipe, ScheduleConfig


def recipe() -> Recipe:
    return Recipe(
        name="dalle2_ar_prior_tiny",
        task=ArPriorTaskConfig(
            net=ArPriorConfig(
                embed=64,
                components=16,
                buckets=16,
                caption=CaptionConfig(vocab=1_022, length=16, width=32, depth=1, heads=2),
                width=64,
                depth=2,
                heads=2,
            ),
            fitted=256,
        ),
        steps=60,
        batch=32,
        optim=OptimConfig(name="muon", lr=3e-3, betas=(0.9, 0.96), weight_decay=0.04),
        schedule=ScheduleConfig(kind="cosine", warmup=5, final=0.05),
        ema=0.9,
        checkpoint_every=10,
        evaluate_every=60,
        evaluate_samples=32,
        enough=200_000,  # samples before its embeddings mean anything
    )
