"""The first upsampler as it ships: 64 px to 256 px on Emoji World.

Works on squares of 4 pixels as channels, on what bicubic enlarging lacks, and in one step: for drawings so
flat and sharp the mean of all that could be is nearly the picture, and more steps add noise before they add
detail (docs/log.md). The diffusion of many steps is --set task.net.times=1000 --set task.net.predicts=v --set
task.net.steps=trailing4.

Run      armchair train dalle2_upsample256_emoji
Needs    the drawings of Emoji World (npm fetches them)
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
        name="dalle2_upsample256_emoji",
        task=UpsamplerTaskConfig(
            net=UpsamplerConfig(
                unet=UNetConfig(
                    channels_in=6,
                    channels_out=3,
                    levels=(LevelSpec(width=64, depth=2), LevelSpec(width=96, depth=2)),
                    patch=4,
                    time_width=32,
                    groups=8,
                ),
                low=64,
                size=256,
                times=1,
                predicts="x0",
                residual=0.1,
                steps="1",
            ),
            degrade="blur",
            crops=4,
        ),
        data=WorldConfig(size=256, concepts=96),
        steps=8_000,
        batch=8,  # of 4 crops each
        optim=OptimConfig(name="adamw", lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-3),
        schedule=ScheduleConfig(kind="cosine", warmup=100, final=0.02),
        ema=0.998,
        precision="bfloat16",
        checkpoint_every=500,
        preview_every=1_000,
        evaluate_every=1_000,
        evaluate_samples=32,
    )
