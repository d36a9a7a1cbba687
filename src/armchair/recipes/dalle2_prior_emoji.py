"""DALL·E 2's diffusion prior as it ships: Emoji World in English and Korean, on the shipped CLIP.

Run      armchair train dalle2_prior_emoji
         armchair train dalle2_prior_emoji --using decoder=dalle2    previews draw, and so does its bundle
Needs    the drawings of Emoji World (npm fetches them), and a clip bundle
Takes    see docs/status.md: the samples seen, the machine and the date
Reaches  see docs/status.md: the cosine to the picture's own embedding and to another's, retrieval
"""

from armchair.dalle2.config import PriorConfig
from armchair.dalle2.prior_task import PriorSampling, PriorTaskConfig
from armchair.data.captions import CaptionMix
from armchair.data.world.scene import shipped_mix
from armchair.train import OptimConfig, Recipe, ScheduleConfig


def recipe() -> Recipe:
    return Recipe(
        name="dalle2_prior_emoji",
        task=PriorTaskConfig(
            net=PriorConfig(embed=256, words="clip", text_width=192, length=32, width=192, depth=4, heads=3),
            scale="fitted",
            captions=CaptionMix(
                kinds={"short": 0.9, "alt": 0.05, "long": 0.05}, languages={"en": 0.5, "ko": 0.5}
            ),
            storage="int6",
            sampling=PriorSampling(prior_steps=16, prior_guidance=1.5),
        ),
        data=shipped_mix(),
        steps=3_000,
        batch=64,
        optim=OptimConfig(name="muon", lr=1e-3, muon_lr=2e-3, betas=(0.9, 0.98), weight_decay=0.02),
        schedule=ScheduleConfig(kind="constant-then-linear", warmup=50, final=0.02, tail=0.4),
        ema=0.998,
        clip=1.0,
        rounding="int6",
        precision="bfloat16",
        checkpoint_every=200,
        evaluate_every=500,
        evaluate_samples=256,
    )
