"""DALL·E 2's decoder as it ships: Emoji World at 64 px in English and Korean, on the shipped CLIP.

Run      armchair train dalle2_decoder_emoji
         armchair train dalle2_decoder_emoji --init dalle2    goes on from the shipped weights
         With --set task.alone=sketch the sketch alone learns, several times as fast:
         first that, then with --init of its bundle the whole; with task.alone=layout what stands where.
         The shipped one began as DALL·E 3's latent model, which scripts/decoder_from_latent.py makes a
         decoder of.
Needs    the drawings of Emoji World (npm fetches them), and a clip bundle
Takes    see docs/status.md: the samples seen, the machine and the date
Reaches  see docs/status.md: the error of the clean picture, and what the judge sees in what it draws
"""

from armchair.dalle2.config import CellsConfig, DecoderConfig
from armchair.dalle2.decoder_task import DecoderTaskConfig, SamplingConfig
from armchair.data.captions import CaptionMix
from armchair.data.world.scene import STYLES, shipped_mix
from armchair.nn.draft import DraftConfig
from armchair.nn.layout import LayoutConfig
from armchair.nn.sketch import SketchConfig
from armchair.nn.unet import LevelSpec
from armchair.train import OptimConfig, Recipe, ScheduleConfig


def recipe() -> Recipe:
    return Recipe(
        name="dalle2_decoder_emoji",
        task=DecoderTaskConfig(
            net=DecoderConfig(
                embed=256,
                caption=None,
                text_width=192,
                vocab=4_098,
                sketch=SketchConfig(width=192, depth=2, heads=3, head_width=64, hidden=384, side=4),
                layout=LayoutConfig(looks=STYLES),
                draft=DraftConfig(),
                pooled=True,
                levels=(
                    LevelSpec(width=160, depth=1, attention="keys"),
                    LevelSpec(width=224, depth=1, attention="keys"),
                ),
                cells=CellsConfig(),
                patch=2,
                time_width=32,
                head_width=32,
                resample="conv",
                groups=16,
                dropout=0.0,
                qk_norm=True,
                places=3,
                prediction="x0",
            ),
            drop_image=0.3,
            drop_text=0.3,
            stray=1.4,
            v_weight=5.0,
            vlb_weight=0.01,
            noise_power=0.35,
            pixels_share=0.25,
            scale="fitted",
            captions=CaptionMix(
                kinds={"short": 0.9, "alt": 0.05, "long": 0.05}, languages={"en": 0.5, "ko": 0.5}
            ),
            storage="int6",
            sampling=SamplingConfig(steps=8, shift=3.0, guidance=2.0, sampler="dpm", prior_weight=0.25),
        ),
        data=shipped_mix(),
        steps=10_000,
        batch=32,
        optim=OptimConfig(name="muon", lr=1e-3, muon_lr=2e-3, betas=(0.9, 0.98), weight_decay=0.01),
        schedule=ScheduleConfig(kind="constant-then-linear", warmup=100, final=0.02, tail=0.4),
        ema=0.9985,
        clip=1.0,
        rounding="int6",
        precision="bfloat16",
        checkpoint_every=200,
        preview_every=1_000,
        evaluate_every=1_000,
        evaluate_samples=192,
    )
