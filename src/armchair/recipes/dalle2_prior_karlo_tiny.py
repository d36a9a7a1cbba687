"""DALL·E 2's diffusion prior in Karlo's form at toy size, for dalle2_decoder_karlo_tiny.

It reads CLIP's text tower, hides a caption by the empty text, draws one embedding of any length, and steps
with the variance of DDPM.

Run      armchair train dalle2_prior_karlo_tiny --data PATH --using clip=runs/clip_tiny/bundle
Needs    a folder of pictures with words, and a clip_tiny bundle
Takes    60 updates of 32 pictures
Reaches  better than chance at best: it shows that the whole path works, not what the network can do
"""

from armchair.dalle2.config import PriorConfig
from armchair.dalle2.prior_task import PriorSampling, PriorTaskConfig
from armchair.train import OptimConfig, Recipe, ScheduleConfig


def recipe() -> Recipe:
    return Recipe(
        name="dalle2_prior_karlo_tiny",
        task=PriorTaskConfig(
            net=PriorConfig(
                embed=64,
                unit=False,
                words="clip",
                text_width=64,
                length=32,
                width=64,
                depth=2,
                heads=2,
                hidden="empty",
                candidates=1,
            ),
            scale="fitted",
            measured=False,
            sampling=PriorSampling(prior_steps=8),
        ),
        steps=60,
        batch=32,
        optim=OptimConfig(name="muon", lr=3e-3, betas=(0.9, 0.96), weight_decay=0.06),
        schedule=ScheduleConfig(kind="cosine", warmup=5, final=0.05),
        ema=0.9,
        checkpoint_every=10,
        evaluate_every=60,
        evaluate_samples=32,
        enough=200_000,  # samples before its embeddings mean anything
    )
