"""DALL·E 2's second upsampler at the paper's size: 256 px to 1024 px, 282 million parameters.

arXiv:2204.06125, appendix C.

Run      torchrun --nproc-per-node 64 -m armchair train dalle2_upsample1024_paper --data PATH
Needs    pictures of 1024 px and more, millions of them
Takes    1,000,000 updates of 512 crops of 256 px
Reaches  the paper gives no number; armchair inspect dalle2_upsample1024_paper prints the sizes
"""

from armchair.train import OptimConfig, Recipe, ScheduleConfig
from armchair.upsample.config import PAPER_1024
from armchair.upsample.task import UpsamplerTaskConfig


def recipe() -> Recipe:
    return Recipe(
        name="dalle2_upsample1024_paper",
        task=UpsamplerTaskConfig(net=PAPER_1024, degrade="bsr", chance=1.0, storage="float16"),
        steps=1_000_000,
        batch=512,
        optim=OptimConfig(name="adamw", lr=1e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0),
        schedule=ScheduleConfig(kind="constant", warmup=0),
        ema=0.9999,
        clip=0.0,  # the paper names none
        precision="bfloat16",
        checkpoint_every=5_000,
        preview_every=5_000,
        evaluate_every=25_000,
        evaluate_samples=64,
    )
