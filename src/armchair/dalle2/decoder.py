"""DALL·E 2's decoder: from CLIP's image embedding, and a caption, to 64 pixels (arXiv:2204.06125, 2.1)."""

from __future__ import annotations

from typing import NotRequired, TypedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armchair.dalle2.caption import CaptionEncoder
from armchair.dalle2.cells import Cells, Seen
from armchair.dalle2.config import DecoderConfig
from armchair.dalle2.scale import Standardise
from armchair.diffusion.flow import TIMES
from armchair.nn.draft import Draft
from armchair.nn.embeddings import mean_state
from armchair.nn.layout import Layout
from armchair.nn.sketch import Sketch, filled
from armchair.nn.unet import UNet

PIXELS = 3  # channels of a picture


class Conditions(TypedDict):
    """What a picture is drawn from, computed once for all steps. B pictures."""

    extra: Tensor  # (B, E) joins the timestep
    context: Tensor  # (B, image_tokens + L, W) tokens
    # (B, 4, H, W) pixels that stay, in -1..1, 0 or a sketch elsewhere; and 1 where they stay. Or of cells
    known: Tensor
    keep: NotRequired[Tensor]  # (B, image_tokens + L) bool, False is no token; with CLIP's states
    beside: NotRequired[Tensor]  # (B, D, h, w) joins the first level, where the config has a layout


class Decoder(nn.Module):
    """GLIDE's U-Net (arXiv:2112.10741). The embedding joins the timestep and becomes four tokens more.

    Four input channels say what is known of the picture, so that one network draws and inpaints. B batch, E
    embedding width of the U-Net, Z numbers of a CLIP embedding, L places and W width of the caption, which a
    transformer of its own reads, or CLIP's text tower as in `ClipDecoder`.
    """

    def __init__(self, config: DecoderConfig):
        super().__init__()
        self.config = config
        width, emb_width = config.context_width, config.unet.emb_width
        self.unet = UNet(config.unet)
        self.cells = None if config.cells is None else Cells(config.cells, config.levels_of_noise)
        self.caption = None if config.caption is None else CaptionEncoder(config.caption)
        plan = config.sketch
        self.sketch = None if plan is None else Sketch(plan, config.vocab, config.channels)
        self.layout = None
        if config.layout is not None:
            self.layout = Layout(config.layout, width, config.levels[0].width, config.patch)
        self.draft = None
        if config.draft is not None and config.layout is not None:
            self.draft = Draft(config.draft, config.layout, width, config.channels)
        self.caption_to_time = nn.Linear(width, emb_width)  # of the last place, as in GLIDE, or of all
        self.scale = Standardise(config.embed)
        self.image_to_time = nn.Linear(config.embed, emb_width)
        self.image_to_tokens = nn.Linear(config.embed, config.image_tokens * width)
        self.no_image = nn.Parameter(torch.zeros(config.embed))  # stands for an embedding that is not given

    def conditions(
        self,
        words: Tensor,
        image_emb: Tensor,
        has_image: Tensor,
        known: Tensor | None = None,
        keep: Tensor | None = None,
        context: Tensor | None = None,
        spots: Tensor | None = None,
        drafted: Tensor | None = None,
    ) -> Conditions:
        """words: tokens (B, L), or states of CLIP's text tower (B, L, W) and keep (B, L) bool: False is none
        image_emb (B, Z) unit vectors, has_image (B,) bool: False hides the embedding; or shares in 0..1
        context: (B, L, W) what the sketch makes of the states, see `Sketch.read`; needed where there is one
        spots: (B, M, 5) what stands where; None: nobody says
        drafted: None is what `drafted` says

        known: as in Conditions; None: nothing is.
        """
        given = self.scale(image_emb.float())
        z = torch.lerp(self.no_image.float(), given, has_image[:, None].float())  # (B, Z)
        z = z.to(self.image_to_time.weight.dtype)
        images = self.image_to_tokens(z).unflatten(1, (self.config.image_tokens, -1))
        if self.caption is not None:
            words = self.caption(words)  # (B, L, W)
        words = words.to(z.dtype)
        if keep is None:
            whole = words[:, -1]
        elif self.config.pooled:
            whole = mean_state(words, keep)
        else:
            whole = words[torch.arange(len(words)), keep.sum(dim=1) - 1]
        if known is None:
            side = self.config.image_size
            known = z.new_zeros(len(z), PIXELS + 1, side, side)
        if self.cells is not None:
            known = self.cells.known(known)
        beside = None
        if self.sketch is not None:
            assert keep is not None and context is not None
            if self.layout is not None:
                spots = self.layout.config.nothing(len(z)).to(z.device) if spots is None else spots
                beside = self.layout(words, context, spots, *known.shape[2:])
            if drafted is None:
                drafted = self.drafted(words, keep, context, spots, *known.shape[2:])
            known = filled(known, drafted)
        made: Conditions = {
            "extra": self.caption_to_time(whole) + self.image_to_time(z),
            "context": torch.cat([images, words], dim=1),
            "known": known,
        }
        if keep is not None:
            made["keep"] = F.pad(keep, (self.config.image_tokens, 0), value=True)
        if beside is not None:
            made["beside"] = beside
        return made

    def drafted(
        self, words: Tensor, keep: Tensor, context: Tensor, spots: Tensor | None, height: int, width: int
    ) -> Tensor:
        """words, keep, context and spots as `conditions` has them -> what is to be expected of a picture of
        h x w cells or pixels: the draft (B, C, h, w); where there is none, the sketch (B, C, S, S)
        """
        assert self.sketch is not None
        sketch = self.sketch.of(context, keep)
        if self.draft is None:
            return sketch
        assert spots is not None
        return self.draft(words, context, keep, spots, sketch, height, width)

    @torch.no_grad()
    def seen(self, x: Tensor) -> Tensor:
        """x (B, 3, H, W) clean pixels -> what the U-Net has of them: themselves, or (B, C, h, w) cells"""
        if self.cells is None:
            return x
        return self.cells.known(F.pad(x, (0, 0, 0, 0, 0, 1), value=1.0))[:, :-1]

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        *,
        extra: Tensor,
        context: Tensor,
        known: Tensor,
        keep: Tensor | None = None,
        beside: Tensor | None = None,
    ) -> Tensor:
        """x (B, 3, H, W) noisy pixels in -1..1, t (B,) -> (B, 3, H, W), or (B, 6, H, W) with the variance"""
        cond: Conditions = {"extra": extra, "context": context, "known": known}
        if keep is not None:
            cond["keep"] = keep
        if beside is not None:
            cond["beside"] = beside
        return self.with_cells(x, t, cond)[0]

    def with_cells(
        self, x: Tensor, t: Tensor, cond: Conditions, drawn: int | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """As `forward`, and what the U-Net says of cells, (B, C, h, w), where it works on them; then the
        pixels of the first `drawn` pictures alone, None: of all.
        """
        known, read = cond["known"], {name: value for name, value in cond.items() if name != "known"}
        if self.cells is None:
            return self.unet(torch.cat([x, known.to(x)], dim=1), t, **read), None
        seen = self.cells.see(x, t)
        both, time = torch.cat([seen.cells, known.to(seen.cells)], dim=1), TIMES * seen.time.flatten()
        output = self.unet(both, time, **read)
        few = Seen(*(part[:drawn] for part in seen))
        return self.cells(output[:drawn], few), output[:, : self.config.channels]
