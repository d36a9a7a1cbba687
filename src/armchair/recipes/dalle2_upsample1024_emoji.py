"""The second upsampler as it ships: 256 px to 1024 px on Emoji World.

Works on squares of 4 pixels as channels, on what bicubic enlarging lacks, and in one step, as the first one
does: narrow rather than tiled, since 1024 px then take little time and memory.

Run      armchair data world --out big --n 600 --size 1024
         armchair train dalle2_upsample1024_emoji --data big
         Without --data the scenes are drawn while it trains, which takes longer than the training.
Needs    the drawings of Emoji World (npm fetches them); 300 MB for the pictures
Takes    see docs/status.md: the samples seen, the machine and the date
Reaches  see docs/status.md: PSNR of unseen scenes beside that of bicubic enlarging
"""

from armchair.data.world.scene import WorldConfig
from armchair.nn.unet import LevelSpec, UNetConfig
from armchair.train import OptimConfig, Recipe, ScheduleConfig
from armchair.upsample.config import UpsamplerConfig
from armchair.upsample.task import UpsamplerTaskConfig


def recipe() -> Recipe:
    return Recipe(
        name="dalle2_upsample1024_emoji",
        task=UpsamplerTaskConfig(
            net=UpsamplerConfig(
                unet=UNetConfig(
                    channels_in=6,
                    channels_out=3,
                    levels=(LevelSpec(width=48, depth=1), LevelSpec(width=64, depth=1)),
                    patch=4,
                    time_width=32,
                    groups=8,
                ),
                low=256,
                size=1024,
                times=1,
                predicts="x0",
                residual=0.05,
                steps="1",
            ),
            degrade="bsr_light",
            chance=0.5,
            crops=4,
        ),
        data=WorldConfig(size=1024, concepts=96),
        steps=5_000,
        batch=2,  # of 4 crops each
        optim=OptimConfig(name="adamw", lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-3),
        schedule=ScheduleConfig(kind="cosine", warmup=100, final=0.02),
        ema=0.998,
        precision="bfloat16",
        checkpoint_every=500,
        preview_every=1_000,
        evaluate_every=1_000,
        evaluate_samples=8,
    )
