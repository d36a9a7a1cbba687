"""DALL·E 3's autoencoder as it ships: 64 px to 16 x 16 cells of 4 channels, on Emoji World.

Run      armchair train dalle3_autoencoder_emoji
         armchair train dalle3_autoencoder_emoji --init dalle3 --set task.frozen_encoder=true
             --set task.shaken=0.1                      the decoder alone: the latent model knows the cells
Needs    the drawings of Emoji World (npm fetches them)
Takes    see docs/status.md: the samples seen, the machine and the date
Reaches  see docs/status.md: PSNR of unseen scenes
"""

from armchair.dalle3.autoencoder_task import AutoencoderTaskConfig
from armchair.data.world.scene import shipped_mix
from armchair.nn.autoencoder import AutoencoderConfig, DecoderConfig
from armchair.train import OptimConfig, Recipe, ScheduleConfig


def recipe() -> Recipe:
    return Recipe(
        name="dalle3_autoencoder_emoji",
        task=AutoencoderTaskConfig(
            net=AutoencoderConfig(
                image_size=64,
                widths=(96,),
                depth=1,
                channels=4,
                patch=4,
                attention=False,
                groups=8,
                decoder=DecoderConfig(widths=(48, 128), depth=2, patch=2),
            ),
            absolute=0.5,
            squared=1.0,
            kl_weight=1e-4,
            augment=False,
            storage="int8",
        ),
        data=shipped_mix(),
        steps=2_200,
        batch=16,
        optim=OptimConfig(name="muon", lr=2e-3, muon_lr=3e-3, betas=(0.9, 0.95), weight_decay=0.01),
        schedule=ScheduleConfig(kind="linear", warmup=50, final=0.02),
        ema=0.998,
        precision="bfloat16",
        checkpoint_every=200,
        preview_every=600,
        evaluate_every=600,
        evaluate_samples=256,
    )
