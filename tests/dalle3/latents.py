"""An autoencoder, a latent model and their bundles, small enough for tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from armchair.core.bundle import SHIPPED, Bundle, Component, save_bundle
from armchair.core.config import to_json
from armchair.core.task import Batch, Caption, Sample
from armchair.dalle3.autoencoder_task import AutoencoderTask, AutoencoderTaskConfig
from armchair.dalle3.config import LatentConfig, T5Config
from armchair.dalle3.latent_task import LatentTask, LatentTaskConfig, SamplingConfig
from armchair.nn.autoencoder import AutoencoderConfig
from armchair.nn.unet import LevelSpec, UNetConfig
from armchair.upsample.config import UpsamplerConfig
from armchair.upsample.network import Upsampler
from tests.stages import WORDS, saved, wake
from tests.stages import Pictures as Squares
from tests.stages import batch as batch_of

__all__ = ["saved"]

CODER_TINY = AutoencoderConfig(image_size=32, widths=(8, 16), depth=1, channels=3, patch=2, groups=4)
T5_TINY = T5Config(length=10, width=16, depth=2, heads=2, head_width=8, hidden=24)
SAMPLING = SamplingConfig(steps=3, guidance=2.0, sampler="euler")


def latent_config(**changes: Any) -> LatentConfig:
    """For 32 px and the tiny autoencoder."""
    made: dict[str, Any] = {
        "side": 32,
        "stride": 4,
        "channels": 3,
        "words": T5_TINY,
        "pooled": True,
        "levels": (LevelSpec(width=16, depth=1, attention="cross"), LevelSpec(width=32, depth=1)),
        "time_width": 8,
        "head_width": 8,
        "heads": 0,
        "groups": 4,
        "prediction": "flow",
    }
    return LatentConfig(**{**made, **changes})


class Pictures(Squares):
    """As those, but every third is wide, every third tall."""

    def __init__(self, count: int = 40, size: int = 36, captioned: bool = True):
        super().__init__(count, size, captioned)

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng(index)
        rows, columns = [(4, 4), (4, 7), (7, 4)][index % 3]
        image = np.empty((self.size * rows // 4, self.size * columns // 4, 3), np.uint8)
        image[:] = rng.integers(0, 256, 3)
        top, left = rng.integers(0, self.size // 2, 2)
        image[top : top + self.size // 2, left : left + self.size // 2] = rng.integers(0, 256, 3)
        words = " ".join(rng.choice(WORDS, rng.integers(1, 5)))
        return Sample(str(index), image, (Caption(words, language="en"),) if self.captioned else ())


def coder_task(**changes: Any) -> AutoencoderTask:
    """Prepared, with weights that are large enough to make pictures differ."""
    config = AutoencoderTaskConfig(**{"net": CODER_TINY, "squared": 1.0, "kl_weight": 1e-3, **changes})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        task = config.build({}, None)
        wake(task.net)
        task.prepare(Pictures(), torch.Generator().manual_seed(3))
    return task


def stages(folder: Path) -> dict[str, Bundle]:
    """The autoencoder, made once a folder, and the shipped tokenizer."""
    place = folder / "coder"
    coder = Bundle.open(place) if (place / "bundle.json").exists() else saved(place, coder_task())
    return {"autoencoder": coder, "text": Bundle.open(SHIPPED / "text")}


def latent_task(
    folder: Path,
    using: Mapping[str, Bundle] | None = None,
    source: Any = None,
    init: Bundle | None = None,
    **changes: Any,
) -> LatentTask:
    """On an autoencoder in `folder`, prepared, with weights that are large enough to make pictures differ."""
    given = {**stages(folder), **({} if using is None else using)}
    made: dict[str, Any] = {"net": latent_config(), "golden_prompt": "a red dog", "sampling": SAMPLING}
    config = LatentTaskConfig(**{**made, **changes})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        task = config.build(given, init)
        if init is None:
            wake(task.net)
        task.prepare(Pictures() if source is None else source, torch.Generator().manual_seed(3))
    return task


def upsamplers(folder: Path) -> dict[str, Bundle]:
    """Both at toy size: 32 px to 128 to 512, with names that say what they would be."""
    made: dict[str, Bundle] = {}
    for name, size in (("upsample_256", 128), ("upsample_1024", 512)):
        unet = UNetConfig(channels_in=6, levels=(LevelSpec(width=4, depth=1),), time_width=4, groups=2)
        config = UpsamplerConfig(unet=unet, low=size // 4, size=size, times=20, steps="1")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(6)
            net = Upsampler(config)
            wake(net)
        made[name] = save_bundle(
            folder / name,
            kind="upsampler",
            name=name,
            components={name: Component(config=to_json(config), tensors=net.state_dict())},
            languages=[],
            licence="Apache-2.0",
            trained={},
            scores={},
        )
    return made


def batch(task: Any, indices: list[int], totals: dict[str, float] | None = None, step: int = 0) -> Batch:
    """Examples of these pictures by number."""
    return batch_of(task, indices, totals, step, Pictures())
