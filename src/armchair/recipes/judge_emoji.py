"""The judge: reads the things, colours, style, background and sign of a 64-px picture, also a soft one.

Run      armchair train judge_emoji
Needs    the drawings of Emoji World (npm fetches them)
Takes    see docs/status.md: the samples seen, the machine and the date
Reaches  see docs/status.md: the tasks of GenEval on held-out renders, sharp and softened
"""

from armchair.data.world.scene import WorldConfig
from armchair.judge.config import JudgeConfig
from armchair.judge.task import JudgeTaskConfig
from armchair.train import OptimConfig, Recipe, ScheduleConfig


def recipe() -> Recipe:
    return Recipe(
        name="judge_emoji",
        task=JudgeTaskConfig(net=JudgeConfig(concepts=96)),
        data=WorldConfig(
            size=64,
            concepts=96,
            single=0.25,
            counting=0.2,
            pairs=0.6,
            natural=0.35,
            plain=0.6,
            signs=0.2,
            styles={"glossy": 0.3, "soft": 0.175, "flat": 0.175, "line": 0.175, "sticker": 0.175},
        ),
        steps=4_000,
        batch=32,
        optim=OptimConfig(name="muon", lr=2e-3, betas=(0.9, 0.98), weight_decay=0.02),
        schedule=ScheduleConfig(kind="cosine", warmup=100, final=0.02),
        ema=0.998,
        precision="bfloat16",
        checkpoint_every=250,
        evaluate_every=1_000,
        evaluate_samples=1_000,
    )
