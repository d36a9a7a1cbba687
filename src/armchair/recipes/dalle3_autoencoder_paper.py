"""DALL·E 3's autoencoder at the paper's size, that of latent diffusion: 256 px to 32 x 32 cells.

Run      torchrun --nproc-per-node 8 -m armchair train dalle3_autoencoder_paper --data PATH
Needs    a folder of pictures, with or without words
Takes    84 million parameters; the paper took published weights, whose training it does not describe
Reaches  the published weights learned against a perceptual loss and an adversary too, which are not here:
         expect as much PSNR and softer textures
"""

from armchair.dalle3.autoencoder_task import AutoencoderTaskConfig
from armchair.nn.autoencoder import AutoencoderConfig
from armchair.train import OptimConfig, Recipe, ScheduleConfig


def recipe() -> Recipe:
    return Recipe(
        name="dalle3_autoencoder_paper",
        task=AutoencoderTaskConfig(net=AutoencoderConfig(), storage="float32"),
        steps=500_000,
        batch=96,
        optim=OptimConfig(name="adamw", lr=1e-4, betas=(0.5, 0.9), weight_decay=0.0),
        schedule=ScheduleConfig(kind="constant", warmup=1_000),
        ema=0.999,
        precision="bfloat16",
        checkpoint_every=5_000,
        preview_every=10_000,
        evaluate_every=10_000,
        evaluate_samples=1_024,
    )
