"""DALL·E 2's decoder at toy size: 16 px, on the CLIP of clip_tiny, in under a minute on one core.

Run      armchair train dalle2_decoder_tiny --data PATH --using clip=runs/clip_tiny/bundle
Needs    a folder of pictures with words, and a clip_tiny bundle
Takes    60 updates of 16 pictures
Reaches  colours at best: it shows that the whole path works, not what the network can do
"""

from armchair.dalle2.config import CaptionConfig, DecoderConfig
from armchair.dalle2.decoder_task import DecoderTaskConfig, SamplingConfig
from armchair.nn.unet import LevelSpec
from armchair.train import OptimConfig, Recipe, ScheduleConfig


def recipe() -> Recipe:
    return Recipe(
        name="dalle2_decoder_tiny",
        task=DecoderTaskConfig(
            net=DecoderConfig(
                image_size=16,
                embed=64,
                caption=CaptionConfig(vocab=1_022, length=16, width=32, depth=1, heads=2),
                levels=(LevelSpec(width=32, depth=1), LevelSpec(width=64, depth=1, attention="keys")),
                patch=2,
                time_width=16,
                head_width=32,
                groups=8,
                dropout=0.1,
                qk_norm=True,
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
