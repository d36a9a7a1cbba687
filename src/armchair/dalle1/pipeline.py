"""DALL·E 1 as a person uses it: words in, pictures out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from armchair.core.config import from_json
from armchair.core.errors import BadInput
from armchair.core.images import square, to_tensor
from armchair.core.packing import fill_module
from armchair.core.rng import SeedBatch
from armchair.core.step import Preview
from armchair.core.unfilled import Unfilled
from armchair.dalle1.config import DVAEConfig, TransformerConfig
from armchair.dalle1.dvae import DVAE
from armchair.dalle1.sampling import Decoder, sample
from armchair.dalle1.transformer import PAD, Dalle1Transformer
from armchair.text.bpe import BPE, fit

if TYPE_CHECKING:
    from PIL import Image

    from armchair.core.bundle import Bundle

# ancestral sampling from the model as it is, as the paper does (section 2.6)
PLAIN = {"guidance": 1.0, "temperature": 1.0, "top_k": None, "top_p": None}


class Dalle1:
    """The tokenizers and the transformer, loaded."""

    kind = "dalle1"
    operations = frozenset({"generate", "complete"})
    lacking: Mapping[str, str] = {}
    together = True
    expands = False

    def __init__(
        self,
        dvae: DVAE,
        net: Dalle1Transformer,
        bpe: BPE,
        languages: Sequence[str] = (),
        defaults: Mapping[str, Any] | None = None,
    ):
        self.dvae = dvae.eval()
        self.net = net.eval()
        self.bpe = bpe
        self.languages = tuple(languages)
        self.side = dvae.config.image_size  # pixels that its codes hold
        self.sizes = [f"{self.side}x{self.side}"]
        self.defaults: Mapping[str, Any] = {**PLAIN, **({} if defaults is None else defaults)}

    @cached_property
    def decoder(self) -> Decoder:
        """The transformer packed for drawing, when the first picture is drawn."""
        return Decoder(self.net)

    @classmethod
    def from_bundle(cls, bundle: Bundle, device: torch.device, dtype: torch.dtype) -> Dalle1:
        """Raises BundleError for a component that is damaged or does not fit its config."""
        with Unfilled():
            dvae = DVAE(from_json(DVAEConfig, bundle.config("dvae"), "dvae"))
            net = Dalle1Transformer(from_json(TransformerConfig, bundle.config("transformer"), "transformer"))
        fill_module(dvae, bundle.tensors("dvae"), f"{bundle.name}/dvae")
        fill_module(net, bundle.tensors("transformer"), f"{bundle.name}/transformer")
        bpe, shown = BPE.load(bundle.bytes("text")), bundle.manifest
        return cls(dvae.to(device), net.to(device, dtype), bpe, shown.languages, shown.defaults)

    def stream(
        self, prompt: str | Sequence[str], seeds: Sequence[int], size: str, **options: Any
    ) -> Iterator[Preview]:
        """A preview as each row of codes fills in; what is not drawn yet is grey. prompt: of all pictures, or
        one a seed: each is then the picture that it would be alone.
        """
        yield from self._draw(prompt, seeds, None, **options)

    def complete(
        self,
        image: Image.Image,
        prompt: str,
        seeds: Sequence[int],
        keep_rows: int | None = None,
        **options: Any,
    ) -> Iterator[Preview]:
        """Keep the codes of the top rows of a picture and draw the rest. keep_rows: None is half of the grid.

        Raises BadInput where no row is kept or none would be drawn.
        """
        grid = self.dvae.config.grid
        rows = grid // 2 if keep_rows is None else keep_rows
        if not 0 < rows < grid:
            raise BadInput(
                f"keep_rows {rows}: the picture has {grid} rows of codes, so 1 to {grid - 1} can be kept"
            )
        pixels = to_tensor(square(image, self.side)).unsqueeze(0)
        codes = self.dvae.encode(pixels.to(self._device))  # (1, h, w)
        yield from self._draw(prompt, seeds, codes[0, :rows], **options)

    @torch.no_grad()
    def reconstruct(self, images: Tensor) -> Tensor:
        """images (B, 3, S, S) in 0..1, of `side` pixels -> what their codes keep of them"""
        return self.dvae.decode(self.dvae.encode(images))

    @torch.no_grad()
    def _draw(
        self,
        prompt: str | Sequence[str],
        seeds: Sequence[int],
        start: Tensor | None,
        **options: Any,
    ) -> Iterator[Preview]:
        settings = {**self.defaults, **options}
        words = [prompt] if isinstance(prompt, str) else prompt
        read = [caption_tokens(self.bpe.encode(text), self.net.text_places) for text in words]
        tokens = read[0] if isinstance(prompt, str) else torch.stack(read)
        for step in sample(self.decoder, tokens, SeedBatch(seeds), start=start, **settings):
            yield Preview(step.index, step.total, partial(self._decode, step.x.clone()), len(step.x))

    @torch.no_grad()
    def _decode(self, codes: Tensor) -> Tensor:
        """codes (B, h, w), -1 where none is drawn yet -> (B, 3, H, W) in 0..1, grey below the last row"""
        images = self.dvae.decode(codes.clamp(min=0))
        drawn = int((codes[0, :, 0] >= 0).sum()) * self.dvae.config.stride
        images[:, :, drawn:] = 0.5
        return images

    @property
    def _device(self) -> torch.device:
        return next(self.dvae.parameters()).device


def caption_tokens(ids: Sequence[int], text_places: int) -> Tensor:
    """BPE ids -> (text_places - 1,) int64, cut or filled up with PAD; the start of text has its own place."""
    kept, _ = fit(ids, text_places - 1)
    return torch.tensor([*kept, *[PAD] * (text_places - 1 - len(kept))], dtype=torch.int64)
