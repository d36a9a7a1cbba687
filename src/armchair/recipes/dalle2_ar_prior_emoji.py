"""DALL·E 2's autoregressive prior as it ships: Emoji World in English and Korean, on the shipped CLIP.

Narrow, so that a bundle holds it, its components and the diffusion prior beside the decoder: 1.5 MB.

Run      armchair train dalle2_ar_prior_emoji
         armchair train dalle2_ar_prior_emoji --using decoder=dalle2    previews draw, and so does its bundle
Needs    the drawings of Emoji World (npm fetches them), and a clip bundle
Takes    see docs/status.md: the samples seen, the machine and the date
Reaches  see docs/status.md: nats a code, and how its embeddings compare with the diffusion prior's
"""

from armchair.dalle2.ar_prior_task import ArPriorSampling, ArPriorTaskConfig
from armchair.dalle2.config import ArPriorConfig
from armchair.data.captions import CaptionMix
from armchair.data.world.scene import shipped_mix
from armchair.train import OptimConfig, Recipe, ScheduleConfig


def recipe() -> Recipe:
    return Recipe(
        name="dalle2_ar_prior_emoji",
        task=ArPriorTaskConfig(
            net=ArPriorConfig(
                embed=256,
                components=96,
                buckets=128,
                caption=None,
                text_width=192,
                width=128,
                depth=4,
                heads=4,
            ),
            fitted=8_192,
            scale="fitted",
            captions=CaptionMix(
                kinds={"short": 0.9, "alt": 0.05, "long": 0.05}, languages={"en": 0.5, "ko": 0.5}
            ),
            storage="int6",
            sampling=ArPriorSampling(prior_guidance=1.5),
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
