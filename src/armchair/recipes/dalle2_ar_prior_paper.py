"""DALL·E 2's autoregressive prior at the paper's size: two transformers of 24 layers (arXiv:2204.06125,
table 3).

Run      torchrun --nproc-per-node 64 -m armchair train dalle2_ar_prior_paper --data PATH --using clip=BUNDLE
Needs    a quarter of a billion pictures with words, and a clip bundle with 1,024 numbers an embedding
Takes    a million updates of 4,096 pictures; the paper does not name its machines
Reaches  the paper gives no loss; armchair inspect dalle2_paper prints the sizes
"""

from armchair.dalle2.ar_prior_task import ArPriorTaskConfig
from armchair.dalle2.config import ArPriorConfig
from armchair.train import OptimConfig, Recipe, ScheduleConfig


def recipe() -> Recipe:
    return Recipe(
        name="dalle2_ar_prior_paper",
        task=ArPriorTaskConfig(net=ArPriorConfig()),
        steps=1_000_000,
        batch=4_096,
        optim=OptimConfig(name="adamw", lr=1.6e-4, betas=(0.9, 0.91), eps=1e-10, weight_decay=4.0e-2),
        schedule=ScheduleConfig(kind="constant", warmup=1_000),
        ema=0.999,
        precision="bfloat16",
        checkpoint_every=1_000,
        evaluate_every=10_000,
        evaluate_samples=4_096,
    )
