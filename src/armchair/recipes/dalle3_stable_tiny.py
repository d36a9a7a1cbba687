"""A latent model of Stable Diffusion's form at toy size: what `armchair export --format diffusers` can write.

A CLIP text tower is trained with it, the timestep is added, and it does not inpaint.

Run      armchair train dalle3_autoencoder_tiny --data PATH --set task.net.patch=1 --out runs/coder
         armchair train dalle3_stable_tiny --data PATH --using autoencoder=runs/coder/bundle
Needs    a folder of pictures with words, and an autoencoder without folded pixels
Takes    60 updates of 16 pictures
Reaches  colours at best: it shows that the whole path works, not what the network can do
"""

from armchair.clip.config import TextConfig
from armchair.dalle3.config import ClipWordsConfig, LatentConfig
from armchair.dalle3.latent_task import LatentTaskConfig, SamplingConfig
from armchair.nn.unet import LevelSpec
from armchair.train import OptimConfig, Recipe, ScheduleConfig


def recipe() -> Recipe:
    return Recipe(
        name="dalle3_stable_tiny",
        task=LatentTaskConfig(
            net=LatentConfig(
                side=32,
                ratios=("1:1",),
                words=ClipWordsConfig(
                    text=TextConfig(length=24, width=32, depth=1, head_width=16), quick_gelu=False
                ),
                levels=(LevelSpec(width=32, depth=1, attention="cross"), LevelSpec(width=64, depth=1)),
                time_width=32,
                heads=2,
                modulation="add",
                groups=8,
                inpaints=False,
                prediction="v",
                spacing="trailing",
            ),
            everything_masked=1.0,
            sampling=SamplingConfig(steps=10, guidance=2.0, sampler="ddim"),
        ),
        steps=60,
        batch=16,
        optim=OptimConfig(name="muon", lr=3e-3, betas=(0.9, 0.99), weight_decay=0.01),
        schedule=ScheduleConfig(kind="cosine", warmup=5, final=0.05),
        ema=0.9,
        checkpoint_every=10,
        preview_every=30,
        evaluate_every=60,
        evaluate_samples=32,
        enough=200_000,  # samples before its pictures are worth looking at
    )
