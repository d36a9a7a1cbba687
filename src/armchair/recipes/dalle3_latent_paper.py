"""DALL·E 3's latent model at the size of the paper's ablation (appendix A): 256 px, T5-XXL beside it.

Run      torchrun --nproc-per-node 64 -m armchair train dalle3_latent_paper --data PATH \
             --using autoencoder=BUNDLE --using text_encoder=BUNDLE
Needs    a billion pictures with long captions (armchair data recaption), an autoencoder of latent
         diffusion's sizes, and a T5-XXL encoder, which stands frozen
Takes    500,000 updates of 2,048 pictures; the paper does not name its machines, nor the U-Net's widths,
         which are Stable Diffusion's here
Reaches  the paper prints curves alone; armchair inspect dalle3_paper prints the sizes
"""

from armchair.dalle3.config import LatentConfig
from armchair.dalle3.latent_task import LatentTaskConfig
from armchair.train import OptimConfig, Recipe, ScheduleConfig


def recipe() -> Recipe:
    return Recipe(
        name="dalle3_latent_paper",
        task=LatentTaskConfig(net=LatentConfig()),
        steps=500_000,
        batch=2_048,
        optim=OptimConfig(name="adamw", lr=1e-4, betas=(0.9, 0.999), weight_decay=0.01),
        schedule=ScheduleConfig(kind="constant", warmup=10_000),
        ema=0.9999,
        precision="bfloat16",
        checkpoint_every=1_000,
        preview_every=10_000,
        evaluate_every=10_000,
        evaluate_samples=4_096,
    )
