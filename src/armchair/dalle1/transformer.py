"""DALL·E 1's transformer: one stream of text tokens, then image codes (arXiv:2102.12092, section 2.2)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from armchair.dalle1.config import TransformerConfig
from armchair.nn.sparse import Places
from armchair.nn.transformer import Block, init_blocks

PAD = -1  # what fills a row of `tokens` after its last BPE id


class Dalle1Transformer(nn.Module):
    """Predict every next token of a caption and of its picture.

    `start_of_image` (the default layout), T text places and N = grid * grid image places:

        start of text | BPE ids | pads          ┆ start of image | code 0 ... code N - 2
        └────────────── T ──────────────────────┘ └───────────────── N ──────────────────┘

    An image place carries the row and column of the cell that it predicts. A pad is one learned vector a
    place. `bos` has T + 1 text places (one more id, pads as ids beyond the vocabulary) and N - 1 image
    places, which carry the row and column of the code they hold. Both are T + N long. B batch, D width, K
    codes, V text ids.
    """

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.config = config
        self.checkpoint_activations = False  # compute each block again in the backward pass: less memory
        shifted = config.layout == "start_of_image"
        self.text_places = config.text_length if shifted else config.text_length + 1
        pads = 1 if shifted else config.text_length
        self.text_classes = config.text_vocab + pads  # the first pad is a target too: where the caption ends

        self.text_embedding = nn.Embedding(config.text_vocab, config.width)
        self.text_position = nn.Embedding(self.text_places, config.width)
        self.pad_embedding = nn.Embedding(self.text_places, config.width)  # row i stands at place i
        self.start_of_text = nn.Parameter(torch.empty(config.width))
        self.image_embedding = nn.Embedding(config.image_vocab, config.width)
        self.start_of_image = nn.Parameter(torch.empty(config.width)) if shifted else None
        self.row_embedding = nn.Embedding(config.grid, config.width)
        self.column_embedding = nn.Embedding(config.grid, config.width)

        self.blocks = nn.ModuleList(
            Block(config.width, config.heads, mlp_ratio=config.mlp_ratio, qk_norm=config.qk_norm)
            for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.width)
        self.text_head = nn.Linear(config.width, self.text_classes)
        self.image_head = nn.Linear(config.width, config.image_vocab)
        self.text_head.no_muon = self.image_head.no_muon = True  # type: ignore[assignment]  # unembeddings
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for module in self.children():
            if isinstance(module, nn.Embedding | nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.start_of_text, std=0.02)
        if self.start_of_image is not None:
            nn.init.normal_(self.start_of_image, std=0.02)
        init_blocks(self.blocks)

    def embed_text(self, tokens: Tensor) -> Tensor:
        """tokens (B, text_places - 1) ids, PAD after the last -> (B, text_places, D)"""
        start = self.start_of_text.expand(len(tokens), 1, -1)
        h = torch.cat([start, self.text_embedding(tokens.clamp(min=0))], dim=1) + self.text_position.weight
        keep = F.pad(tokens != PAD, (1, 0), value=True).unsqueeze(-1)  # (B, text_places, 1)
        return torch.where(keep, h, self.pad_embedding.weight)

    def embed_image(self, codes: Tensor) -> Tensor:
        """codes (B, n) in raster order, n < N -> (B, n + 1, D), or (B, n, D) in the layout `bos`"""
        h = self.image_embedding(codes)
        if self.start_of_image is not None:
            h = torch.cat([self.start_of_image.expand(len(codes), 1, -1), h], dim=1)
        cell = torch.arange(h.shape[1], device=h.device)
        grid = self.config.grid
        return h + self.row_embedding(cell // grid) + self.column_embedding(cell % grid)

    def forward(self, tokens: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """tokens (B, text_places - 1), codes (B, N) of which the last is only ever a target
        -> text logits (B, text_places - 1, text_classes), image logits (B, N, K), float32
        """
        h = torch.cat([self.embed_text(tokens), self.embed_image(codes[:, :-1])], dim=1)
        for block, places in zip(self.blocks, self.places(h.shape[1] - self.text_places), strict=True):
            if self.checkpoint_activations and torch.is_grad_enabled():
                h = checkpoint(block, h, places, use_reentrant=False)
            else:
                h = block(h, places)
        return self.logits(h)

    def places(self, cells: int) -> list[Places]:
        """What each layer's places may look at, with `cells` image places in the stream."""
        c = self.config
        return [Places(p, self.text_places, c.grid, cells, c.conv_kernel) for p in c.layer_patterns]

    def logits(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """h (B, T + N, D) -> the logits of `forward`; text and image vocabularies never mix"""
        h = self.norm(h)
        first = self.config.length - self.config.image_length  # the place that predicts code 0
        with torch.autocast(h.device.type, enabled=False):
            return self.text_head(h[:, : self.text_places - 1].float()), self.image_head(h[:, first:].float())
