"""DALL·E 1's image tokenizer at the paper's size: 256 px to 32 x 32 codes of 8,192.

arXiv:2102.12092, appendix A.2.

Run      torchrun --nproc-per-node 64 -m armchair train dalle1_dvae_paper --data PATH
Needs    pictures of 288 px and more, millions of them; the paper had 64 GPUs of 16 GB
Takes    3,000,000 updates of 512 pictures
Reaches  the paper gives no number; armchair inspect dalle1_dvae_paper prints the sizes
"""

from armchair.dalle1.config import DVAEConfig
from armchair.dalle1.dvae_task import DVAETaskConfig
from armchair.train import OptimConfig, Recipe, ScheduleConfig


def recipe() -> Recipe:
    return Recipe(
        name="dalle1_dvae_paper",
        task=DVAETaskConfig(net=DVAEConfig(), storage="float32"),
        steps=3_000_000,
        batch=512,
        optim=OptimConfig(name="adamw", lr=1e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-4),
        schedule=ScheduleConfig(kind="cosine", warmup=0, steps=1_200_000, final=1.25e-6 / 1e-4),
        ema=0.999,
        clip=0.0,  # the paper names none for this network
        precision="bfloat16",
        checkpoint_every=5_000,
        preview_every=5_000,
        evaluate_every=25_000,
        evaluate_samples=1_024,
    )
