"""A system small enough for tests: coloured noise from a prompt and a seed, with every duty of a real
pipeline.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from armchair.core.bundle import Bundle, Component, save_bundle
from armchair.core.errors import BadInput
from armchair.core.images import to_image, to_tensor
from armchair.core.packing import fill_module
from armchair.core.rng import SeedBatch
from armchair.core.step import Preview
from armchair.text.words import words_component

SIDE = 16


class ToyPipeline:
    kind = "toy"
    operations = frozenset({"generate", "complete"})
    sizes = ["16x16", "8x8"]
    languages = ["en"]
    defaults = {"guidance": 1.0, "temperature": 1.0, "top_k": None}
    lacking: Mapping[str, str] = {}
    together = False
    expands = False

    def __init__(self, net: torch.nn.Linear):
        self.net = net

    @classmethod
    def from_bundle(cls, bundle: Bundle, device: torch.device, dtype: torch.dtype) -> ToyPipeline:
        net = torch.nn.Linear(1, 3)
        fill_module(net, bundle.tensors("net"), f"{bundle.folder}: net")
        return cls(net)

    def stream(self, prompt: str, seeds: Sequence[int], size: str, **options: Any) -> Iterator[Preview]:
        assert set(options) == set(self.defaults)
        side = int(size.split("x")[0])
        noise = SeedBatch(seeds).normal(3, side, side) * options["temperature"]  # (B, 3, H, W)
        hue = hashlib.sha256(prompt.encode()).digest()[0] / 255
        for index in range(2):
            with torch.no_grad():
                tint = self.net(torch.tensor([hue * options["guidance"]]))[:, None, None]  # (3, 1, 1)
            yield Preview(index, 2, (0.5 + 0.1 * (index + 1) * noise + tint).clamp(0, 1))

    def complete(
        self,
        image: Image.Image,
        prompt: str,
        seeds: Sequence[int],
        keep_rows: int | None = None,
        **options: Any,
    ) -> Iterator[Preview]:
        rows = SIDE // 2 if keep_rows is None else keep_rows
        if rows >= SIDE:
            raise BadInput(f"keep_rows is {rows}; the grid has {SIDE} rows, so at most {SIDE - 1} can stay")
        for preview in self.stream(prompt, seeds, "16x16", **options):
            images = preview.images.clone()
            images[:, :, :rows] = to_tensor(image)[:, :rows]
            yield Preview(preview.index, preview.total, images)


def save_toy(folder: Path, **changes: Any) -> Bundle:
    """A toy bundle, golden picture and words included."""
    net = torch.nn.Linear(1, 3)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[0.1], [0.2], [-0.3]]))
        net.bias.zero_()
    stored = {k: v.half().float() for k, v in net.state_dict().items()}
    net.load_state_dict(stored)
    *_, last = ToyPipeline(net).stream("a red apple", [3], "16x16", **ToyPipeline.defaults)
    values: dict[str, Any] = {
        "kind": "toy",
        "name": folder.name,
        "components": {
            "net": Component(config={"width": 1}, tensors=stored),
            "words": words_component(["a red apple", "Apples on the table", "빨간 사과"]),
        },
        "languages": ["en"],
        "licence": "Apache-2.0",
        "trained": {"recipe": "toy", "samples_seen": 12_000, "enough": 1_000},
        "scores": {"psnr": 24.5},
        "golden": ("a red apple", 3, to_image(last.images[0])),
    }
    return save_bundle(folder, **{**values, **changes})
