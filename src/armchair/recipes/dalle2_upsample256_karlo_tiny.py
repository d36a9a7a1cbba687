"""The first upsampler in Karlo's form at toy size, for dalle2_decoder_karlo_tiny: seven steps of DDPM on the
picture itself, from a small picture that is not rounded.

Run      armchair train dalle2_upsample256_karlo_tiny --data PATH
Needs    a folder of pictures of 256 px and more
Takes    60 updates of 16 pictures
Reaches  less than bicubic enlarging: it shows that the path works, not what the network can do
"""

from armchair.nn.unet import LevelSpec, UNetConfig
from armchair.train import OptimConfig, Recipe, ScheduleConfig
from armchair.upsample.config import UpsamplerConfig
from armchair.upsample.task import UpsamplerTaskConfig


def recipe() -> Recipe:
    return Recipe(
        name="dalle2_upsample256_karlo_tiny",
        task=UpsamplerTaskConfig(
            net=UpsamplerConfig(
                unet=UNetConfig(
                    channels_in=6,
                    channels_out=3,
                    levels=(LevelSpec(width=16, depth=1), LevelSpec(width=16, depth=1)),
                    time_width=16,
                    groups=4,
                ),
                predicts="x0",
                steps="7",
                sampler="ddpm",
                kernel="smooth",
                rounded=False,
            ),
            crop=0.125,
            storage="float16",
        ),
        steps=60,
        batch=16,
        optim=OptimConfig(name="adamw", lr=3e-3, betas=(0.9, 0.99), weight_decay=1e-3),
        schedule=ScheduleConfig(kind="cosine", warmup=5, final=0.05),
        ema=0.9,
        checkpoint_every=10,
        preview_every=60,
        evaluate_every=60,
        evaluate_samples=4,
        enough=200_000,  # samples before its pictures are worth looking at
    )
