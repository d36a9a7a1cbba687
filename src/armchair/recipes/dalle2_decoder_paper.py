"""DALL·E 2's decoder at the paper's size: 3.5 billion parameters (arXiv:2204.06125, table 3).

Run      torchrun --nproc-per-node 256 -m armchair train dalle2_decoder_paper --data PATH --using clip=BUNDLE
Needs    a quarter of a billion pictures with words, and a clip bundle with 1,024 numbers an embedding
Takes    800,000 updates of 2,048 pictures; the paper does not name its machines
Reaches  the paper gives no loss; armchair inspect dalle2_paper prints the sizes
"""

from armchair.dalle2.config import DecoderConfig
from armchair.dalle2.decoder_task import DecoderTaskConfig
from armchair.train import OptimConfig, Recipe, ScheduleConfig


def recipe() -> Recipe:
    return Recipe(
        name="dalle2_decoder_paper",
        task=DecoderTaskConfig(net=DecoderConfig()),
        steps=800_000,
        batch=2_048,
        optim=OptimConfig(name="adamw", lr=1.2e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0),
        schedule=ScheduleConfig(kind="constant", warmup=1_000),
        ema=0.9999,
        precision="bfloat16",
        checkpoint_every=1_000,
        preview_every=10_000,
        evaluate_every=10_000,
        evaluate_samples=4_096,
    )
