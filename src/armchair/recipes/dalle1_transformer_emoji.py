"""DALL·E 1's transformer as it ships: Emoji World in English and Korean, on the codes of the shipped dVAE.

Run      armchair train dalle1_transformer_emoji
         armchair train dalle1_transformer_emoji --init dalle1    goes on from the shipped weights
Needs    the drawings of Emoji World (npm fetches them)
Takes    see docs/status.md: the samples seen, the machine and the date
Reaches  see docs/status.md: nats a token, and the share of single objects that the judge names rightly
"""

from armchair.dalle1.config import TransformerConfig
from armchair.dalle1.task import TransformerTaskConfig
from armchair.data.captions import CaptionMix
from armchair.data.world.scene import WorldConfig
from armchair.train import OptimConfig, Recipe, ScheduleConfig


def recipe() -> Recipe:
    return Recipe(
        name="dalle1_transformer_emoji",
        task=TransformerTaskConfig(
            net=TransformerConfig(
                text_vocab=4_096, image_vocab=1_024, text_length=32, grid=16, width=256, depth=6, heads=4
            ),
            bpe="shared",
            bpe_dropout=0.1,
            drop_text=0.1,
            augment=False,  # scenes are drawn to fit
            captions=CaptionMix(
                kinds={"short": 0.9, "alt": 0.07, "long": 0.03}, languages={"en": 0.5, "ko": 0.5}
            ),
            storage="int8",
        ),
        data=WorldConfig(
            size=64,
            concepts=96,
            single=0.75,
            natural=0.75,
            plain=0.8,
            signs=0.02,
            styles={"glossy": 0.5, "soft": 0.15, "flat": 0.15, "line": 0.05, "sticker": 0.15},
        ),
        steps=20_000,
        batch=16,
        optim=OptimConfig(name="muon", lr=1e-3, muon_lr=2e-3, betas=(0.9, 0.96), weight_decay=0.02),
        schedule=ScheduleConfig(kind="constant-then-linear", warmup=100, final=0.02, tail=0.4),
        ema=0.998,
        clip=1.0,
        precision="bfloat16",
        checkpoint_every=200,
        preview_every=1_000,
        evaluate_every=1_000,
        evaluate_samples=256,
    )
