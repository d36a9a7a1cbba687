"""DALL·E 3's captioner as it ships: Emoji World at 64 px, in English and Korean, on the shipped CLIP.

Run      armchair train dalle3_captioner_emoji
         armchair train dalle3_captioner_emoji --init runs/dalle3_captioner_emoji/bundle --out runs/captioner
             --set steps=400 --set task.contrast=0 --set task.subject=true --set optim.muon_lr=5e-4
             --set 'task.captions.kinds={"short":0.4,"long":0.6}'
                                           the fine-tunes to main subjects and to descriptions, in one run
Needs    the drawings of Emoji World (npm fetches them), and a clip bundle
Takes    see docs/status.md: the samples seen, the machine and the date
Reaches  see docs/status.md: things, colours, counts and relations named rightly, by language and kind
"""

from armchair.clip.config import ClipConfig, TextConfig
from armchair.dalle3.captioner_config import CaptionerConfig
from armchair.dalle3.captioner_task import CaptionerTaskConfig
from armchair.data.captions import CaptionMix
from armchair.data.world.scene import WorldConfig
from armchair.train import OptimConfig, Recipe, ScheduleConfig


def recipe() -> Recipe:
    return Recipe(
        name="dalle3_captioner_emoji",
        task=CaptionerTaskConfig(
            net=CaptionerConfig(clip=ClipConfig(text=TextConfig(length=112)), depth=3, names=True),
            captions=CaptionMix(
                kinds={"short": 0.4, "alt": 0.2, "long": 0.4}, languages={"en": 0.5, "ko": 0.5}
            ),
            each=2,
            soften=0.2,
            naming=1.0,
            emphasis=4.0,
            storage="int6",
        ),
        data=WorldConfig(size=64, concepts=96),
        steps=2_000,
        batch=64,
        optim=OptimConfig(name="muon", lr=1e-3, muon_lr=1e-3, betas=(0.9, 0.98), weight_decay=0.05),
        schedule=ScheduleConfig(kind="constant-then-linear", warmup=50, final=0.02, tail=0.4),
        ema=0.995,
        rounding="int6",
        precision="bfloat16",
        checkpoint_every=100,
        evaluate_every=500,
        evaluate_samples=128,
    )
