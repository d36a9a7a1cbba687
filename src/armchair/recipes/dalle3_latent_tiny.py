"""DALL·E 3's latent model at toy size: 32 px, its text encoder with it, in under a minute on one core.

Run      armchair train dalle3_latent_tiny --data PATH --using autoencoder=runs/dalle3_autoencoder_tiny/bundle
Needs    a folder of pictures with words, and a dalle3_autoencoder_tiny bundle
Takes    60 updates of 16 pictures
Reaches  colours at best: it shows that the whole path works, not what the network can do
"""

from armchair.dalle3.config import LatentConfig, T5Config
from armchair.dalle3.latent_task import LatentTaskConfig, SamplingConfig
from armchair.nn.unet import LevelSpec
from armchair.train import OptimConfig, Recipe, ScheduleConfig


def recipe() -> Recipe:
    return Recipe(
        name="dalle3_latent_tiny",
        task=LatentTaskConfig(
            net=LatentConfig(
                side=32,
                stride=4,
                words=T5Config(length=24, width=32, depth=1, heads=2, head_width=16, hidden=64),
                pooled=True,
                levels=(LevelSpec(width=32, depth=1, attention="cross"), LevelSpec(width=64, depth=1)),
                middle_attention="cross",
                time_width=16,
                head_width=16,
                heads=0,
                groups=8,
                qk_norm=True,
                prediction="v",
            ),
            sampling=SamplingConfig(steps=10, guidance=2.0, sampler="ddim"),
        ),
        steps=60,
        batch=16,
        optim=OptimConfig(name="muon", lr=3e-3, betas=(0.9, 0.99), weight_decay=0.01),
        schedule=ScheduleConfig(kind="cosine", warmup=5, final=0.05),
        ema=0.9,
        checkpoint_every=10,
        preview_every=30,
        evaluate_every=60,
        evaluate_samples=32,
        enough=200_000,  # samples before its pictures are worth looking at
    )
