"""DALL·E 3's diffusion decoder at the size of the one that was published for Stable Diffusion's latents.

Run      torchrun --nproc-per-node 64 -m armchair train dalle3_decoder_paper --data PATH \
             --using autoencoder=BUNDLE
Needs    a folder of pictures, with or without words, and an autoencoder of latent diffusion's sizes
Takes    621 million parameters; the paper (appendix B) describes neither sizes nor training
Reaches  it is the teacher that dalle3_consistency_paper distils
"""

from armchair.dalle3.config import ConsistencyConfig
from armchair.dalle3.consistency_task import ConsistencyTaskConfig
from armchair.train import OptimConfig, Recipe, ScheduleConfig


def recipe() -> Recipe:
    return Recipe(
        name="dalle3_decoder_paper",
        task=ConsistencyTaskConfig(net=ConsistencyConfig(), side=256),
        steps=500_000,
        batch=512,
        optim=OptimConfig(name="adamw", lr=1e-4, betas=(0.9, 0.999), weight_decay=0.0),
        schedule=ScheduleConfig(kind="constant", warmup=1_000),
        ema=0.9999,
        precision="bfloat16",
        checkpoint_every=1_000,
        preview_every=10_000,
        evaluate_every=10_000,
        evaluate_samples=1_024,
    )
