"""Networks, pictures and bundles small enough for tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from armchair.clip.config import ClipConfig, TextConfig, ViTConfig
from armchair.clip.network import Clip
from armchair.core.bundle import Bundle, Component, save_bundle
from armchair.core.config import to_json
from armchair.dalle2.ar_prior_task import ArPriorTask, ArPriorTaskConfig
from armchair.dalle2.config import ArPriorConfig, CaptionConfig, DecoderConfig, PriorConfig
from armchair.dalle2.decoder_task import DecoderTask, DecoderTaskConfig, SamplingConfig
from armchair.dalle2.prior_task import PriorSampling, PriorTask, PriorTaskConfig
from armchair.nn.unet import LevelSpec
from armchair.text.bpe import BPE
from tests.stages import Pictures, batch, saved, wake

__all__ = ["Pictures", "batch", "saved"]

CLIP_TINY = ClipConfig(
    image_size=16,
    embed=12,
    image=ViTConfig(patch=8, width=64, depth=1),
    text=TextConfig(vocab=290, length=8, width=64, depth=1),
)
DECODER_TINY = DecoderConfig(
    image_size=16,
    embed=99,  # as a recipe has it: CLIP's is the real one
    caption=CaptionConfig(vocab=99, length=6, width=16, depth=1, heads=2),
    levels=(LevelSpec(width=16, depth=1), LevelSpec(width=32, depth=1, attention="keys")),
    patch=2,
    time_width=8,
    head_width=16,
    groups=4,
    dropout=0.0,
    steps=100,
)
PRIOR_TINY = PriorConfig(embed=99, vocab=99, text_width=99, length=99, width=32, depth=2, heads=2, steps=50)
AR_TINY = ArPriorConfig(
    embed=12, components=6, buckets=8, caption=None, text_width=99, width=32, depth=2, heads=2
)
SAMPLING = SamplingConfig(steps=4, guidance=2.0, sampler="ddim")


def picture(index: int = 0, size: int = 16) -> Image.Image:
    return Image.fromarray(Pictures(size=size)[index].image)


def clip_bundle(folder: Path, seed: int = 1) -> Bundle:
    """An untrained CLIP with a BPE of its own, as its recipe would leave it; made once a folder."""
    if (folder / "bundle.json").exists():
        return Bundle.open(folder)
    bpe = BPE.train([sample.captions[0].text for sample in map(Pictures().__getitem__, range(40))], 288)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Clip(CLIP_TINY)
    return save_bundle(
        folder,
        kind="clip",
        name=folder.name,
        components={
            "clip": Component(config=to_json(CLIP_TINY), tensors=net.state_dict()),
            "text": Component(config={"vocab": bpe.vocab}, file=bpe.save(), storage="file"),
        },
        languages=["en"],
        licence="Apache-2.0",
        trained={},
        scores={},
    )


def decoder_task(
    folder: Path, using: Mapping[str, Bundle] | None = None, source: Any = None, **changes: Any
) -> DecoderTask:
    """On a CLIP in `folder`, prepared, with weights that are large enough to make pictures differ."""
    stages = {"clip": clip_bundle(folder / "clip"), **({} if using is None else using)}
    config = DecoderTaskConfig(
        **{"net": DECODER_TINY, "golden_prompt": "a red dog", "sampling": SAMPLING, **changes}
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        task = config.build(stages, None)
        wake(task.net)
        task.prepare(Pictures() if source is None else source, torch.Generator().manual_seed(3))
    return task


def prior_task(
    folder: Path, using: Mapping[str, Bundle] | None = None, source: Any = None, **changes: Any
) -> PriorTask:
    """The same for the diffusion prior."""
    stages = {"clip": clip_bundle(folder / "clip"), **({} if using is None else using)}
    config = PriorTaskConfig(
        **{
            "net": PRIOR_TINY,
            "golden_prompt": "a red dog",
            "sampling": PriorSampling(prior_steps=3),
            **changes,
        }
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        task = config.build(stages, None)
        wake(task.net)
        with torch.no_grad():
            task.net.out.weight.mul_(30)
        task.prepare(Pictures() if source is None else source, torch.Generator().manual_seed(3))
    return task


def ar_prior_task(
    folder: Path, using: Mapping[str, Bundle] | None = None, source: Any = None, **changes: Any
) -> ArPriorTask:
    """The same for the autoregressive prior."""
    stages = {"clip": clip_bundle(folder / "clip"), **({} if using is None else using)}
    config = ArPriorTaskConfig(**{"net": AR_TINY, "golden_prompt": "a red dog", "fitted": 64, **changes})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        task = config.build(stages, None)
        wake(task.net)
        with torch.no_grad():
            task.net.head.weight.mul_(30)
        task.prepare(Pictures() if source is None else source, torch.Generator().manual_seed(3))
    return task


def whole_bundle(folder: Path) -> Bundle:
    """A complete system, `whole`: CLIP, both priors, the decoder; made once a folder."""
    if (folder / "whole" / "bundle.json").exists():
        return Bundle.open(folder / "whole")
    prior = saved(folder / "prior", prior_task(folder))
    ar_prior = saved(folder / "ar_prior", ar_prior_task(folder))
    # v: an untrained network that says eps divides its error by the little signal that the last level has
    net = replace(DECODER_TINY, prediction="v")
    task = decoder_task(folder, {"prior": prior, "ar_prior": ar_prior}, net=net)
    return saved(folder / "whole", task)
