"""DALL·E 1's image tokenizer as it ships: 64 px to 16 x 16 codes of 1,024, on Emoji World.

Run      armchair train dalle1_dvae_emoji --set task.codebook=learned --set steps=2500 --out runs/first
         armchair train dalle1_dvae_emoji --init runs/first/bundle
         armchair train dalle1_dvae_emoji --init dalle1 --set task.codebook=learned \
             --set task.frozen_encoder=true
         The first run learns to see and uses few codes; the second spreads all of them over what it saw; the
         third goes on with the decoder alone, once a transformer has learned the codes.
Needs    the drawings of Emoji World (npm fetches them)
Takes    see docs/status.md: the samples seen, the machine and the date
Reaches  see docs/status.md: PSNR of unseen scenes, the share of the codebook in use
"""

from armchair.dalle1.config import DVAEConfig
from armchair.dalle1.dvae_task import DVAETaskConfig
from armchair.data.world.scene import WorldConfig
from armchair.train import OptimConfig, Recipe, ScheduleConfig


def recipe() -> Recipe:
    return Recipe(
        name="dalle1_dvae_emoji",
        task=DVAETaskConfig(
            net=DVAEConfig(image_size=64, width=64, groups=3, blocks=1, vocab=1_024, code_width=64),
            kl_weight=0.1,
            kl_warmup=500,
            temperature_steps=6_000,
            codebook="clusters",
            smallest_scale=0.4,
            augment=False,
        ),
        data=WorldConfig(size=64),
        steps=8_000,
        batch=16,
        optim=OptimConfig(name="adamw", lr=2e-3, betas=(0.9, 0.99), weight_decay=1e-4),
        schedule=ScheduleConfig(kind="cosine", warmup=50, final=0.02),
        ema=0.998,
        precision="bfloat16",
        checkpoint_every=500,
        preview_every=1_000,
        evaluate_every=1_000,
        evaluate_samples=256,
    )
