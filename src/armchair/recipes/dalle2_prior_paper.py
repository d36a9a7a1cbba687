"""DALL·E 2's diffusion prior at the paper's size: a billion parameters (arXiv:2204.06125, table 3).

Run      torchrun --nproc-per-node 64 -m armchair train dalle2_prior_paper --data PATH --using clip=BUNDLE
Needs    a quarter of a billion pictures with words, and a clip bundle with 1,024 numbers an embedding
Takes    600,000 updates of 4,096 pictures; the paper does not name its machines
Reaches  the paper gives no loss; armchair inspect dalle2_paper prints the sizes
"""

from armchair.dalle2.config import PriorConfig
from armchair.dalle2.prior_task import PriorTaskConfig
from armchair.train import OptimConfig, Recipe, ScheduleConfig


def recipe() -> Recipe:
    return Recipe(
        name="dalle2_prior_paper",
        task=PriorTaskConfig(net=PriorConfig()),
        steps=600_000,
        batch=4_096,
        optim=OptimConfig(name="adamw", lr=1.1e-4, betas=(0.9, 0.96), eps=1e-6, weight_decay=6.0e-2),
        schedule=ScheduleConfig(kind="constant", warmup=1_000),
        ema=0.9999,
        precision="bfloat16",
        checkpoint_every=1_000,
        evaluate_every=10_000,
        evaluate_samples=4_096,
    )
