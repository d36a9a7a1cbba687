"""DALL·E 3's prompt writer at toy size: two blocks, in under a minute on one core.

Run      armchair train dalle3_writer_tiny
Needs    nothing: the pairs are made
Takes    60 updates of 16 pairs
Reaches  better than chance: it shows that the whole path works, not what the network can do
"""

from armchair.data.world.writing import WritingConfig
from armchair.train import OptimConfig, Recipe, ScheduleConfig
from armchair.writer.config import WriterConfig
from armchair.writer.task import WriterTaskConfig


def recipe() -> Recipe:
    return Recipe(
        name="dalle3_writer_tiny",
        task=WriterTaskConfig(
            net=WriterConfig(vocab=512, length=320, width=64, depth=2, heads=2), bpe_dropout=0.1
        ),
        data=WritingConfig(concepts=8),
        steps=60,
        batch=16,
        optim=OptimConfig(name="muon", lr=3e-3, betas=(0.9, 0.98), weight_decay=0.02),
        schedule=ScheduleConfig(kind="cosine", warmup=5, final=0.05),
        ema=0.9,
        checkpoint_every=10,
        evaluate_every=60,
        evaluate_samples=8,
        enough=200_000,  # pairs before its words mean anything
    )
