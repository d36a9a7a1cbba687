"""An upsampler at toy size: 8 px to 32 px, in under a minute on two cores.

Run      armchair train dalle2_upsample256_tiny --data PATH
Needs    a folder of pictures of 32 px and more
Takes    60 updates of 16 pictures
Reaches  edges a little sharper than bicubic ones: it shows that the path works, not what the network can do
"""

from armchair.nn.unet import LevelSpec, UNetConfig
from armchair.train import OptimConfig, Recipe, ScheduleConfig
from armchair.upsample.config import UpsamplerConfig
from armchair.upsample.task import UpsamplerTaskConfig


def recipe() -> Recipe:
    return Recipe(
        name="dalle2_upsample256_tiny",
        task=UpsamplerTaskConfig(
            net=UpsamplerConfig(
                unet=UNetConfig(
                    channels_in=6,
                    channels_out=3,
                    levels=(LevelSpec(width=16, depth=1), LevelSpec(width=16, depth=1)),
                    patch=2,
                    time_width=16,
                    groups=4,
                ),
                low=8,
                size=32,
                predicts="v",
                residual=0.2,
                steps="trailing4",
            ),
            crop=0.5,
            crops=2,
        ),
        steps=60,
        batch=16,
        optim=OptimConfig(name="adamw", lr=3e-3, betas=(0.9, 0.99), weight_decay=1e-3),
        schedule=ScheduleConfig(kind="cosine", warmup=5, final=0.05),
        ema=0.9,
        checkpoint_every=10,
        preview_every=20,
        evaluate_every=60,
        evaluate_samples=16,
        enough=200_000,  # samples before its pictures are worth looking at
    )
