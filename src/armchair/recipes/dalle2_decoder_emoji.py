"""DALL·E 2's decoder as it ships: Emoji World at 64 px in English and Korean, on the shipped CLIP.

Run      armchair train dalle2_decoder_emoji
         armchair train dalle2_decoder_emoji --init dalle2    goes on from the shipped weights
         With --set task.sketch_alone=true the sketch alone learns, several times as fast:
         first that, then with --init of its bundle the whole.
Needs    the drawings of Emoji World (npm fetches them), and a clip bundle
Takes    see docs/status.md: the samples seen, the machine and the date
Reaches  see docs/status.md: the error of the clean picture, and what the judge sees in what it draws
"""

from armchair.dalle2.config import DecoderConfig
from armchair.dalle2.decoder_task import DecoderTaskConfig, SamplingConfig
from armchair.data.captions import CaptionMix
from armchair.data.world.scene import shipped_mix
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
                sketch=SketchConfig(
                    width=192, depth=1, heads=3, head_width=64, hidden=256, token_width=24, side=4
                ),
                levels=(
                    LevelSpec(width=64, depth=1),
                    LevelSpec(width=128, depth=2, attention="keys"),
                    LevelSpec(width=160, depth=1, attention="keys"),
                ),
                patch=4,
                time_width=64,
                head_width=32,
                dropout=0.0,
                qk_norm=True,
                prediction="x0",
            ),
            drop_image=0.3,
            drop_text=0.2,
            v_weight=5.0,
            vlb_weight=0.01,
            noise_power=0.45,
            scale="fitted",
            captions=CaptionMix(
                kinds={"short": 0.9, "alt": 0.05, "long": 0.05}, languages={"en": 0.5, "ko": 0.5}
            ),
            storage="int8",
            sampling=SamplingConfig(steps=8, shift=3.0, guidance=3.0, sampler="dpm"),
        ),
        data=shipped_mix(),
        steps=10_000,
        batch=32,
        optim=OptimConfig(name="muon", lr=1e-3, muon_lr=2e-3, betas=(0.9, 0.98), weight_decay=0.01),
        schedule=ScheduleConfig(kind="constant-then-linear", warmup=100, final=0.02, tail=0.4),
        ema=0.9985,
        clip=1.0,
        precision="bfloat16",
        checkpoint_every=200,
        preview_every=1_000,
        evaluate_every=1_000,
        evaluate_samples=192,
    )
