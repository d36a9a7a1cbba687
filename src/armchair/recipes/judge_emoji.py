"""The judge: names the single object of a 64-px picture, also a soft one.

Run      armchair train judge_emoji
Needs    the drawings of Emoji World (npm fetches them)
Takes    see docs/status.md: the samples seen, the machine and the date
Reaches  see docs/status.md: the share of held-out renders named rightly, sharp and softened
"""

from armchair.data.world.scene import WorldConfig
from armchair.judge.config import JudgeConfig
from armchair.judge.task import JudgeTaskConfig
from armchair.train import OptimConfig, Recipe, ScheduleConfig


def recipe() -> Recipe:
    return Recipe(
        name="judge_emoji",
        task=JudgeTaskConfig(net=JudgeConfig(concepts=96)),
        data=WorldConfig(size=64, concepts=96, single=1.0, signs=0.0),
        steps=1_000,
        batch=32,
        optim=OptimConfig(name="muon", lr=2e-3, betas=(0.9, 0.98), weight_decay=0.02),
        schedule=ScheduleConfig(kind="cosine", warmup=50, final=0.02),
        ema=0.995,
        precision="bfloat16",
        checkpoint_every=250,
        evaluate_every=500,
        evaluate_samples=512,
    )
