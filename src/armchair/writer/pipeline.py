"""The writer as a person uses it: a prompt in, a description out that holds all that was asked for.

What the network writes is read again (`data.world.reading`): a description that has lost a thing, its colour,
count or relation, or has another one in it, is no good, and the next attempt is taken. Where all are bad, the
description is told from the graph of what was said, by the sentences that the network has learned from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch

from armchair.core.config import from_json
from armchair.core.errors import BadInput, nearest
from armchair.core.packing import fill_module
from armchair.core.rng import SeedBatch, mix
from armchair.core.unfilled import Unfilled
from armchair.data.world.reading import Told, agrees, read
from armchair.data.world.revising import is_new, revise, strange
from armchair.data.world.telling import surround, tell
from armchair.nn.decode import LayerCache, PackedBlock, PackedNorm, padded
from armchair.nn.sparse import Places
from armchair.nn.tokens import speak
from armchair.nn.transformer import Block
from armchair.text.tokenizer import AnyBPE, load_tokenizer
from armchair.text.words import capitals, has_hangul
from armchair.writer.config import LANGUAGES, WriterConfig
from armchair.writer.network import Writer, prefix_of

if TYPE_CHECKING:
    from armchair.core.bundle import Bundle

ATTEMPTS = 4  # descriptions written side by side, of which the first good one is taken
LONGEST = 144  # tokens of a description: 80 words are rarely more than 110
TEMPERATURE = 0.8
NO_LETTER = "\ufffd"  # what bytes that make no letter decode to
TOP_P = 0.95


@dataclass(frozen=True, kw_only=True)
class Written:
    """A description, and how it came about."""

    text: str
    how: str  # network, repaired (told from the graph), or own words (kept, with what surrounds them)
    new: bool = False  # of a request: whether it asked for another picture


class WriterModel:
    """The network, packed for writing, and its tokenizer. R descriptions side by side, P places read."""

    kind = "writer"

    def __init__(self, net: Writer, bpe: AnyBPE):
        """net: float32, whose later changes do not reach this"""
        net.eval().requires_grad_(False)
        self.net, self.bpe = net, bpe
        self.config: WriterConfig = net.config
        self.device = net.out.weight.device
        self._blocks = [PackedBlock(cast(Block, block)) for block in net.blocks]
        self._norm = PackedNorm(net.norm)
        self._multiple = max(block.multiple for block in self._blocks)

    @classmethod
    def from_bundle(cls, bundle: Bundle, device: torch.device) -> WriterModel:
        """Raises BundleError for a component that is damaged or does not fit its config."""
        config = from_json(WriterConfig, bundle.config("writer"), "writer")
        with Unfilled():
            net = Writer(config)
        fill_module(net, bundle.tensors("writer"), f"{bundle.name}/writer")
        return cls(net.to(device), load_tokenizer(bundle.bytes("text")))

    def write(self, prompt: str, language: str | None = None, seed: int = 0) -> Written:
        """A short prompt, English or Korean, as a description of 15 to 80 words that keeps all that it names.

        language: of the description; None is the prompt's. The same seed gives the same words. Raises
        BadInput for a language that it does not write.
        """
        language = self._language(prompt, language)
        told = read(prompt)
        if not told.things or told.joined or strange(prompt):
            return own_words(prompt, told, language, seed)
        return self._checked(prompt, "", told, language, seed)

    def revise(self, description: str, request: str, language: str | None = None, seed: int = 0) -> Written:
        """The whole description after a request to change it; a request for another picture is written out
        by itself, without what came before.
        """
        language = self._language(description, language)
        before = read(description)
        if is_new(request, before):
            return Written(**{**vars(self.write(request, language, seed)), "new": True})
        wanted = None if before.joined or strange(description) else revise(before, request)
        if wanted is None or strange(request):
            return Written(text=appended(description, request), how="own words")
        return self._checked(description, request, wanted, language, seed)

    def _checked(self, source: str, request: str, told: Told, language: str, seed: int) -> Written:
        """The network's first attempt that says what was told, in letters all of it; else told in our own."""
        for text in self.attempts(source, request, language, seed, ATTEMPTS):
            if NO_LETTER not in text and agrees(text, told, loose=has_hangul(source)):
                return Written(text=text, how="network")
        return Written(text=tell(told, language, seed, usual=True), how="repaired")

    @torch.no_grad()
    def attempts(self, source: str, request: str, language: str, seed: int, count: int) -> list[str]:
        """So many descriptions as the network writes them, unchecked."""
        ids = prefix_of(self.config, self.bpe.encode(source), self.bpe.encode(request), language)
        prefix = torch.tensor([ids], device=self.device)
        h = self.net.embed(prefix, 0)  # (1, P, D)
        cells = min(self.config.length - len(ids), LONGEST)
        places = Places("full", len(ids), 1, cells)
        look = torch.ones(len(ids), len(ids), dtype=torch.bool, device=self.device).tril()
        caches: list[LayerCache] = []
        for block in self._blocks:
            h, kv = block.prefill(h, look)
            caches.append(LayerCache(places, kv, count))
        first, place = h[:, -1].expand(count, -1), len(ids) - 1

        def step(said: torch.Tensor) -> torch.Tensor:
            """said (R,) -> logits (R, V) of the next"""
            nonlocal place
            h = first
            if place >= len(ids):
                h = first.new_zeros(padded(count, self._multiple), first.shape[-1])
                h[:count] = self.net.embed(said.unsqueeze(1), place)[:, 0]
                for block, cache in zip(self._blocks, caches, strict=True):
                    h = block.step(h, cache, place - len(ids))
            place += 1
            logits = self.net.logits(self._norm(h)[:count])
            logits[:, self.bpe.vocab : self.config.end] = -torch.inf  # no words
            return logits

        seeds = SeedBatch([mix(seed, "write", i) for i in range(count)])
        rows = speak(
            step,
            torch.full((count,), self.config.write, device=self.device),
            end=self.config.end,
            length=cells,
            noise=seeds.uniform(cells),
            temperature=TEMPERATURE,
            top_p=TOP_P,
        )
        return [capitals(self.bpe.decode(row)) for row in rows]

    def _language(self, text: str, language: str | None) -> str:
        chosen = ("ko" if has_hangul(text) else "en") if language is None else language
        if chosen not in LANGUAGES:
            raise BadInput(
                f"the writer does not write {chosen!r}.{nearest(chosen, LANGUAGES)} It writes en and ko"
            )
        return chosen


def own_words(prompt: str, told: Told, language: str, seed: int) -> Written:
    """The person's words as they are, and after them what they leave open: style and background."""
    text = f"{prompt.rstrip(' .')}. {surround(told, language, seed)}".strip()
    return Written(text=text, how="own words")


def appended(description: str, request: str) -> str:
    """A description with a request that nobody understood, word for word."""
    return f"{description.rstrip(' .')}. {request.strip()}"
