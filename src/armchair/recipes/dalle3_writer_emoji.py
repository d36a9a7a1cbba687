"""DALL·E 3's prompt writer as it ships: descriptions of Emoji World, in English and Korean.

Run      armchair train dalle3_writer_emoji
         armchair train dalle3_writer_emoji --init writer    goes on from the shipped weights
Needs    nothing: the pairs are made, and the tokenizer ships
Takes    see docs/status.md: the samples seen, the machine and the date
Reaches  see docs/status.md: descriptions that keep all that was asked for, by trained and other frames
"""

from armchair.data.world.writing import WritingConfig
from armchair.train import OptimConfig, Recipe, ScheduleConfig
from armchair.writer.config import WriterConfig
from armchair.writer.task import WriterTaskConfig


def recipe() -> Recipe:
    return Recipe(
        name="dalle3_writer_emoji",
        task=WriterTaskConfig(
            net=WriterConfig(vocab=4_096, length=256, width=192, depth=4, heads=3),
            bpe="shared",
            storage="int8",
        ),
        data=WritingConfig(concepts=96),
        steps=2_000,
        batch=64,
        optim=OptimConfig(name="muon", lr=3e-3, muon_lr=3e-3, betas=(0.9, 0.98), weight_decay=0.02),
        schedule=ScheduleConfig(kind="constant-then-linear", warmup=50, final=0.02, tail=0.4),
        ema=0.995,
        precision="bfloat16",
        checkpoint_every=100,
        evaluate_every=500,
        evaluate_samples=128,
    )
