"""DALL·E 3's captioner at toy size: two blocks on a toy CLIP, in under a minute on one core.

Run      armchair train dalle3_captioner_tiny --data PATH --using clip=DIR
Needs    a folder of pictures with words, and the bundle of clip_tiny
Takes    60 updates of 16 pictures
Reaches  better than chance: it shows that the whole path works, not what the network can do
"""

from armchair.clip.config import ClipConfig, TextConfig
from armchair.dalle3.captioner_config import CaptionerConfig
from armchair.dalle3.captioner_task import CaptionerTaskConfig
from armchair.train import OptimConfig, Recipe, ScheduleConfig


def recipe() -> Recipe:
    return Recipe(
        name="dalle3_captioner_tiny",
        task=CaptionerTaskConfig(
            net=CaptionerConfig(clip=ClipConfig(text=TextConfig(length=40)), depth=2), bpe_dropout=0.1
        ),
        steps=60,
        batch=16,
        optim=OptimConfig(name="muon", lr=3e-3, betas=(0.9, 0.98), weight_decay=0.05),
        schedule=ScheduleConfig(kind="cosine", warmup=5, final=0.05),
        ema=0.9,
        checkpoint_every=10,
        evaluate_every=60,
        evaluate_samples=16,
        enough=200_000,  # samples before its captions mean anything
    )
