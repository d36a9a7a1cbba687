"""DALL·E 2's decoder in Karlo's form at toy size: with its prior and upsampler what `armchair export --format
diffusers` can write.

Captions are read through CLIP's text tower, CLIP's embeddings are of any length, and it does not inpaint. The
text tower is as wide as the embeddings, as in Karlo.

Run      armchair train clip_tiny --data PATH --out runs/clip
         armchair train dalle2_prior_karlo_tiny --data PATH --using clip=runs/clip/bundle --out runs/prior
         armchair train dalle2_upsample256_karlo_tiny --data PATH --out runs/up
         armchair train dalle2_decoder_karlo_tiny --data PATH --using clip=runs/clip/bundle
             --using prior=runs/prior/bundle --using upsample_256=runs/up/bundle --out runs/karlo
         armchair export runs/karlo/bundle --format diffusers --out folder
Needs    a folder of pictures with words, of 256 px and more for the upsampler
Takes    60 updates of 16 pictures
Reaches  colours at best: it shows that the whole path works, not what the network can do
"""

from armchair.dalle2.config import ClipDecoderConfig
from armchair.dalle2.decoder_task import DecoderTaskConfig, SamplingConfig
from armchair.nn.unet import LevelSpec
from armchair.train import OptimConfig, Recipe, ScheduleConfig


def recipe() -> Recipe:
    return Recipe(
        name="dalle2_decoder_karlo_tiny",
        task=DecoderTaskConfig(
            net=ClipDecoderConfig(
                text_width=64,
                image_size=16,
                embed=64,
                context_width=32,
                levels=(LevelSpec(width=32, depth=1), LevelSpec(width=64, depth=1, attention="keys")),
                time_width=32,
                head_width=32,
                groups=8,
                prediction="x0",
            ),
            v_weight=5.0,
            everything_masked=1.0,
            sampling=SamplingConfig(steps=10, guidance=2.0),
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
