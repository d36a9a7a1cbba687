"""DALL·E 1's transformer at the paper's size: 12 billion parameters (arXiv:2102.12092, appendix B.2).

Run      torchrun --nproc-per-node 1024 -m armchair train dalle1_transformer_paper --data PATH \
             --using dvae=BUNDLE
Needs    a quarter of a billion pictures with words, and a dalle1_dvae_paper bundle
Takes    430,000 updates of 1,024 pictures; the paper had 1,024 GPUs of 16 GB
Reaches  the paper gives no loss; armchair inspect dalle1_paper prints the sizes
"""

from armchair.dalle1.config import TransformerConfig
from armchair.dalle1.task import TransformerTaskConfig
from armchair.train import OptimConfig, Recipe, ScheduleConfig


def recipe() -> Recipe:
    return Recipe(
        name="dalle1_transformer_paper",
        task=TransformerTaskConfig(
            net=TransformerConfig(), bpe="fit", bpe_dropout=0.1, checkpoint_activations=True
        ),
        steps=430_000,
        batch=1_024,
        optim=OptimConfig(name="adamw", lr=4.5e-4, betas=(0.9, 0.96), eps=1e-8, weight_decay=4.5e-2),
        schedule=ScheduleConfig(kind="halving", warmup=5_000, final=0.0),
        ema=0.99,
        clip=4.0,
        precision="bfloat16",
        checkpoint_every=1_000,
        preview_every=5_000,
        evaluate_every=10_000,
        evaluate_samples=4_096,
    )
