"""The judge at toy size: 32 px, eight concepts, in under a minute on two cores.

Run      armchair train judge_tiny
Needs    the drawings of Emoji World (npm fetches them)
Takes    60 updates of 16 pictures
Reaches  middles of large things: it shows that the whole path works, not what the network can do
"""

from armchair.data.world.scene import WorldConfig
from armchair.judge.config import JudgeConfig
from armchair.judge.task import JudgeTaskConfig
from armchair.train import OptimConfig, Recipe, ScheduleConfig


def recipe() -> Recipe:
    return Recipe(
        name="judge_tiny",
        task=JudgeTaskConfig(
            net=JudgeConfig(
                image_size=32,
                concepts=8,
                widths=(16, 32, 32),
                blocks=(1, 1, 1),
                merged=32,
                head=32,
                letters=8,
            )
        ),
        data=WorldConfig(size=32, concepts=8, natural=0.8, plain=1.0),
        steps=60,
        batch=16,
        optim=OptimConfig(name="muon", lr=3e-3, betas=(0.9, 0.98), weight_decay=0.02),
        schedule=ScheduleConfig(kind="cosine", warmup=5, final=0.05),
        ema=0.9,
        checkpoint_every=10,
        evaluate_every=60,
        evaluate_samples=64,
        enough=100_000,  # samples before its readings mean something
    )
