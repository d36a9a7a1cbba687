"""The captioner as a person uses it: pictures in, captions out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from armchair.clip.pipeline import BATCH
from armchair.clip.preprocess import fit_picture, to_batch
from armchair.core.config import from_json
from armchair.core.errors import BadInput, nearest
from armchair.core.packing import fill_module
from armchair.core.rng import SeedBatch
from armchair.core.unfilled import Unfilled
from armchair.dalle3.captioner import Captioner
from armchair.dalle3.captioner_config import MANNERS, CaptionerConfig
from armchair.nn.cross import KeyedBlock
from armchair.nn.decode import LayerCache, PackedBlock, PackedNorm, padded
from armchair.nn.sparse import Places
from armchair.nn.tokens import speak
from armchair.nn.transformer import Block
from armchair.text.tokenizer import AnyBPE, load_tokenizer
from armchair.text.words import capitals

if TYPE_CHECKING:
    from PIL import Image

    from armchair.core.bundle import Bundle


class CaptionerModel:
    """The network, packed for speaking, and its tokenizer. B pictures, W the text's width."""

    kind = "captioner"

    def __init__(self, net: Captioner, bpe: AnyBPE, languages: Sequence[str] = ()):
        """net: float32, whose later changes do not reach this"""
        net.eval().requires_grad_(False)
        self.net, self.bpe, self.languages = net, bpe, tuple(languages)
        self.config: CaptionerConfig = net.config
        self.device = net.head.weight.device
        text = net.clip.text
        self._tower = [PackedBlock(cast(Block, block)) for block in text.blocks]
        self._norm = PackedNorm(text.norm)
        self._multiple = max(block.multiple for block in self._tower)

    @classmethod
    def from_bundle(cls, bundle: Bundle, device: torch.device) -> CaptionerModel:
        """Raises BundleError for a component that is damaged or does not fit its config."""
        config = from_json(CaptionerConfig, bundle.config("captioner"), "captioner")
        with Unfilled():
            net = Captioner(config)
        fill_module(net, bundle.tensors("captioner"), f"{bundle.name}/captioner")
        return cls(net.to(device), load_tokenizer(bundle.bytes("text")), bundle.manifest.languages)

    @torch.no_grad()
    def caption(
        self,
        images: Sequence[Image.Image] | Tensor,
        kind: str = "short",
        language: str = "en",
        *,
        temperature: float = 0.0,
        top_p: float | None = None,
        seeds: Sequence[int] = (),
    ) -> list[str]:
        """B pictures, or (B, 3, S, S) in 0..1 at its own size -> a caption each.

        kind: short names the main subject, long describes the picture, alt is as the web has it. temperature:
        0 takes the likeliest word each time, above it `seeds` (one a picture) choose. A captioner whose
        captions came without kinds and languages has one manner alone. Raises BadInput for a kind or language
        that it does not speak.
        """
        manner = self._manner(kind, language)
        rows: list[list[int]] = []
        for start in range(0, len(images), BATCH):
            part = images[start : start + BATCH]
            if not isinstance(part, Tensor):
                pixels = [fit_picture(image, self.config.clip.image_size) for image in part]
                part = to_batch(pixels).float() / 255
            chosen = SeedBatch(seeds[start : start + len(part)]) if temperature > 0 else None
            rows += self._say(part.to(self.device), manner, chosen, temperature, top_p)
        return [capitals(self.bpe.decode(row)) for row in rows]

    def _manner(self, kind: str, language: str) -> int:
        kinds, languages = (list(dict.fromkeys(part)) for part in zip(*MANNERS, strict=True))
        spoken = self.languages if self.languages else [name for name in languages if name]
        if language not in spoken:
            raise BadInput(f"this captioner does not speak {language!r}; it speaks {', '.join(spoken)}")
        if kind not in kinds:
            raise BadInput(
                f"no captions of kind {kind!r}.{nearest(kind, kinds)} There are {', '.join(kinds)}"
            )
        # a folder of pictures tells neither kind nor language: what was learned there is one manner
        return MANNERS.index((kind, language) if self.languages else ("alt", ""))

    def _say(
        self, x: Tensor, manner: int, seeds: SeedBatch | None, temperature: float, top_p: float | None
    ) -> list[list[int]]:
        text, rows = self.net.clip.text, len(x)
        length = text.config.length
        _, seen = self.net.see(x)
        context = self.net.context(seen, torch.full((rows,), manner, device=self.device))
        upper = [block for block in self.net.blocks if isinstance(block, KeyedBlock)]
        before = [block.context(context) for block in upper]  # grows by a place a word
        start = torch.full((rows,), text.config.start, device=self.device)
        h = text.embed(start[:1, None])  # (1, 1, W), the start that all texts share
        places = Places("full", 1, 1, length - 1)
        caches: list[LayerCache] = []
        for block in self._tower:
            h, kv = block.prefill(h, torch.ones(1, 1, dtype=torch.bool, device=self.device))
            caches.append(LayerCache(places, kv, rows))
        first = h[:, 0].expand(rows, -1)
        place = 0

        def step(ids: Tensor) -> Tensor:
            """ids (B,) -> logits (B, V) of the next"""
            nonlocal place
            h = first
            if place > 0:
                h = first.new_zeros(padded(rows, self._multiple), first.shape[-1])
                h[:rows] = text.token_embedding(ids) + text.position_embedding[place]
                for block, cache in zip(self._tower, caches, strict=True):
                    h = block.step(h, cache, place - 1)
            place += 1
            h = self._norm(h)[:rows].unsqueeze(1)  # (B, 1, W)
            for i, block in enumerate(upper):
                h, before[i] = block(h, before[i])
            logits = self.net.logits(h[:, 0])
            logits[:, self.bpe.vocab : text.config.end] = -torch.inf  # no words: the start, ids without one
            return logits

        noise = None if seeds is None else seeds.uniform(length - 1)
        return speak(
            step,
            start,
            end=text.config.end,
            length=length - 1,
            noise=noise,
            temperature=temperature,
            top_p=top_p,
        )
