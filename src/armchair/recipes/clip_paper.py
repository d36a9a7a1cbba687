"""CLIP as DALL·E 2 has it: ViT-H/16 at 256 px and a text tower of 24 blocks, 986 million parameters.

arXiv:2204.06125, appendix C; what it does not say is CLIP's own (arXiv:2103.00020, table 18).

Run      torchrun --nproc-per-node 512 -m armchair train clip_paper --data PATH
Needs    650 million pictures with words (half of them CLIP's, half DALL·E's in the paper)
Takes    the paper says neither updates nor batch; here CLIP's 32 epochs of 400 million, 32,768 an update
Reaches  the paper gives no number; armchair inspect clip_paper prints the sizes
"""

from armchair.clip.config import VARIANTS
from armchair.clip.task import ClipTaskConfig
from armchair.train import OptimConfig, Recipe, ScheduleConfig


def recipe() -> Recipe:
    return Recipe(
        name="clip_paper",
        task=ClipTaskConfig(net=VARIANTS["ViT-H/16"], bpe="fit", chunk=16),
        steps=390_625,
        batch=32_768,  # 64 a replica of 512
        optim=OptimConfig(name="adamw", lr=3e-4, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.2, sam=0.1),
        schedule=ScheduleConfig(kind="cosine", warmup=2_000),
        ema=0.0,
        clip=0.0,  # the paper names none
        precision="bfloat16",
        checkpoint_every=1_000,
        evaluate_every=5_000,
        evaluate_samples=4_096,
    )
