"""CLIP as it ships: Emoji World at 64 px, all concepts and styles, in English and Korean.

Run      armchair train clip_emoji
         armchair train clip_emoji --init clip    goes on from the shipped weights
Needs    the drawings of Emoji World (npm fetches them)
Takes    see docs/status.md: the samples seen, the machine and the date
Reaches  see docs/status.md: retrieval among unseen scenes, zero-shot naming by language
"""

from armchair.clip.config import ClipConfig, TextConfig, ViTConfig
from armchair.clip.task import ClipTaskConfig
from armchair.data.captions import CaptionMix
from armchair.data.world.scene import WorldConfig
from armchair.train import OptimConfig, Recipe, ScheduleConfig


def recipe() -> Recipe:
    return Recipe(
        name="clip_emoji",
        task=ClipTaskConfig(
            net=ClipConfig(
                image_size=64,
                embed=256,
                image=ViTConfig(patch=8, width=192, depth=6),
                text=TextConfig(vocab=4_098, length=64, width=192, depth=3),
                quick_gelu=False,
            ),
            bpe="shared",
            soften=0.3,
            captions=CaptionMix(
                kinds={"short": 0.6, "alt": 0.15, "long": 0.25}, languages={"en": 0.5, "ko": 0.5}
            ),
            storage="int8",
        ),
        data=WorldConfig(size=64),
        steps=8_000,
        batch=128,
        optim=OptimConfig(name="muon", lr=1e-3, muon_lr=2e-3, betas=(0.9, 0.98), weight_decay=0.05),
        schedule=ScheduleConfig(kind="constant-then-linear", warmup=100, final=0.02, tail=0.4),
        ema=0.998,
        precision="bfloat16",
        checkpoint_every=200,
        evaluate_every=1_000,
        evaluate_samples=512,
    )
