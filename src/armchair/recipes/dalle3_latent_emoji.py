"""DALL·E 3's latent model as it ships: Emoji World at 64 px in English and Korean, read by CLIP's text tower.

Run      armchair train dalle3_latent_emoji --using autoencoder=runs/dalle3_autoencoder_emoji/bundle \\
             --using text_encoder=clip
         armchair train dalle3_latent_emoji --init dalle3 --using text_encoder=clip    goes on from it
         With --set task.alone=sketch the sketch alone learns, several times as fast:
         first that, then with --init of its bundle the whole; with task.alone=layout what stands where.
         Without the text encoder one in T5's form learns with the model.
Needs    the drawings of Emoji World (npm fetches them), an autoencoder bundle and a clip bundle
Takes    see docs/status.md: the samples seen, the machine and the date
Reaches  see docs/status.md: the error of the velocity, and what the judge sees in what it draws
"""

from armchair.dalle3.config import LatentConfig, T5Config
from armchair.dalle3.latent_task import LatentTaskConfig, SamplingConfig
from armchair.data.captions import CaptionMix
from armchair.data.world.scene import STYLES, shipped_mix
from armchair.nn.draft import DraftConfig
from armchair.nn.layout import LayoutConfig
from armchair.nn.sketch import SketchConfig
from armchair.nn.unet import LevelSpec
from armchair.train import OptimConfig, Recipe, ScheduleConfig


def recipe() -> Recipe:
    return Recipe(
        name="dalle3_latent_emoji",
        task=LatentTaskConfig(
            net=LatentConfig(
                side=64,
                stride=4,
                channels=4,
                words=T5Config(length=72, width=192, depth=3, heads=3, head_width=64, hidden=384),
                sketch=SketchConfig(width=192, depth=2, heads=3, head_width=64, hidden=384, side=4),
                layout=LayoutConfig(looks=STYLES),
                draft=DraftConfig(),
                pooled=True,
                levels=(
                    LevelSpec(width=160, depth=1, attention="keys"),
                    LevelSpec(width=224, depth=1, attention="keys"),
                ),
                middle_attention="keys",
                patch=2,
                time_width=32,
                head_width=32,
                heads=0,
                groups=16,
                qk_norm=True,
                places=3,
                prediction="flow",
                shift=3.0,
            ),
            everything_masked=0.9,
            captions=CaptionMix(
                kinds={"long": 0.5, "short": 0.45, "alt": 0.05}, languages={"en": 0.5, "ko": 0.5}
            ),
            storage="int6",
            sampling=SamplingConfig(steps=8, guidance=2.5, sampler="euler"),
        ),
        data=shipped_mix(),
        steps=5_000,
        batch=64,
        optim=OptimConfig(name="muon", lr=1e-3, muon_lr=2e-3, betas=(0.9, 0.98), weight_decay=0.01),
        schedule=ScheduleConfig(kind="constant-then-linear", warmup=100, final=0.02, tail=0.5),
        ema=0.9985,
        clip=1.0,
        precision="bfloat16",
        rounding="int6",
        checkpoint_every=200,
        preview_every=500,
        evaluate_every=500,
        evaluate_samples=192,
    )
