"""Sizes of the captioner, and the manners in which it speaks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import get_args

from armchair.clip.config import ClipConfig, ViTConfig
from armchair.core.task import CaptionKind, Language

# a row of the network's table each: what kind of caption, in which language; the order is part of a bundle
MANNERS: tuple[tuple[str, str], ...] = tuple(
    (kind, language) for kind in get_args(CaptionKind) for language in get_args(Language)
)


@dataclass(frozen=True, kw_only=True)
class CaptionerConfig:
    """CLIP's two towers, whose text tower is the first half of the language model, and the second half."""

    clip: ClipConfig = field(default_factory=ClipConfig)  # its text.length is the longest caption
    depth: int = 12  # blocks of the second half, which read the picture
    names: bool = False  # image tokens come with the name that each says it shows; not in the papers

    def __post_init__(self) -> None:
        if not isinstance(self.clip.image, ViTConfig):
            raise ValueError("clip.image is a ResNet, which has no image tokens: a captioner needs a ViT")
        if self.depth < 1:
            raise ValueError(f"depth {self.depth}: at least 1 block is needed")
