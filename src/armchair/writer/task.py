"""Training the writer on pairs from Emoji World (DALL·E 3, section 3.5 and appendix C)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from armchair.core.bundle import Bundle, Component, Shared
from armchair.core.config import from_json, to_json
from armchair.core.errors import BadInput
from armchair.core.packing import fill_module, pack, unpack
from armchair.core.rng import SeedBatch
from armchair.core.task import Batch, Sample, Source
from armchair.data.world.reading import agrees, read
from armchair.data.world.writing import Pair
from armchair.text.bpe import BPE, fit
from armchair.text.tokenizer import AnyBPE, tokenizer_of
from armchair.writer.config import WriterConfig
from armchair.writer.network import Writer, prefix_of
from armchair.writer.pipeline import WriterModel

FITTED = 2_000  # pairs whose texts a BPE is fitted on
GROUPS = 4  # of texts of like length, each computed no longer than its longest
WRITTEN = 64  # descriptions that evaluation has written, at most
NOTHING = -100  # what is no target


@dataclass(frozen=True, kw_only=True)
class WriterTaskConfig:
    """How to train the writer."""

    net: WriterConfig = field(default_factory=WriterConfig)
    bpe: Literal["shared", "fit"] = "fit"  # the BPE of bundle `text`, or one fitted to the pairs
    bpe_dropout: float = 0.0  # of merges in what it reads, in training only
    reading: float = 0.1  # weight of the tokens that it reads: it learns the language from them too
    storage: str = "float16"  # of the weights in the bundle

    shipped_stages: ClassVar[Mapping[str, str]] = {"text": "text"}

    def __post_init__(self) -> None:
        for name in ("bpe_dropout", "reading"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadInput(f"task.{name}={getattr(self, name)}: a share from 0 to 1 is needed")

    def build(self, using: Mapping[str, Bundle], init: Bundle | None) -> WriterTask:
        """using: `text` (for bpe="shared"). init: a writer to go on from.

        Raises BadInput for a stage that is missing or unknown.
        """
        unknown = sorted(set(using) - {"text"})
        if unknown:
            raise BadInput(f"--using {unknown[0]}: the writer builds on text alone")
        home, net = using.get("text") if init is None else init, self.net
        bpe = shared = None
        if self.bpe == "shared" or init is not None:
            if home is None:
                raise BadInput('bpe="shared" needs a tokenizer: --using text=BUNDLE, or --set task.bpe=fit')
            bpe, shared = tokenizer_of(home)
            net = replace(net, vocab=bpe.vocab)
        if init is not None:
            net = from_json(WriterConfig, init.config("writer"), "writer")
        task = WriterTask(replace(self, net=net), bpe, shared)
        if init is not None:
            fill_module(task.net, init.tensors("writer"), "writer")
        return task


class WriterTask:
    """One network, `net`."""

    bundle_kind = "writer"
    languages: tuple[str, ...] = ("en", "ko")
    defaults: Mapping[str, float] = {}

    def __init__(self, config: WriterTaskConfig, bpe: AnyBPE | None, shared: Shared | None):
        """shared: where the BPE lies, if it ships; None: the bundle gets a copy."""
        self.config, self.bpe, self.shared = config, bpe, shared
        self.net = Writer(config.net)

    def prepare(self, source: Source, rng: torch.Generator) -> None:
        """Fit the BPE where the recipe says so. Raises BadInput for a source that holds no pairs."""
        first = pair_of(source[0])
        if self.bpe is None:
            pairs = [first, *(pair_of(source[i]) for i in range(1, min(len(source), FITTED)))]
            texts = (text for pair in pairs for text in (pair.source, pair.request, pair.target) if text)
            self.bpe = BPE.train(texts, self.config.net.vocab)

    def example(self, sample: Sample, generator: torch.Generator) -> dict[str, Tensor]:
        """tokens (length,): the whole sequence and zeros; written (length,) bool: what is to be learned"""
        assert self.bpe is not None
        config, pair, dropout = self.config.net, pair_of(sample), self.config.bpe_dropout
        source, request = (self.bpe.encode(t, dropout, generator) for t in (pair.source, pair.request))
        before = prefix_of(config, source, request, pair.language)
        told, _ = fit(self.bpe.encode(pair.target), config.length - len(before) - 1)
        row = [*before, *told, config.end]
        tokens = torch.zeros(config.length, dtype=torch.int64)
        tokens[: len(row)] = torch.tensor(row)
        places = torch.arange(config.length)
        return {
            "tokens": tokens,
            "written": (places >= len(before)) & (places < len(row)),
            "length": torch.tensor(len(row)),
        }

    def counts(self, data: dict[str, Tensor]) -> dict[str, float]:
        """written and read: tokens of descriptions, and of what they are written from"""
        written = float(data["written"].sum())
        return {"written": written, "read": float(data["length"].sum()) - len(data["length"]) - written}

    def loss(self, batch: Batch, rng: SeedBatch) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Nats a token of the descriptions, and of what is read by its weight."""
        written, read = self._nats(batch.data)
        written, read = written / batch.totals["written"], read / max(1.0, batch.totals["read"])
        return written + self.config.reading * read, {"written": written.detach(), "read": read.detach()}

    def _nats(self, data: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """() nats of all that is written, and of all that is read; texts of like length go together"""
        lengths = data["length"]
        order = lengths.argsort(stable=True)
        sums: list[Tensor] = []
        for rows in order.chunk(GROUPS):
            longest = int(lengths[rows[-1]])
            tokens, written = (data[name][rows, :longest] for name in ("tokens", "written"))
            real = torch.arange(longest - 1, device=tokens.device) < (lengths[rows] - 1).unsqueeze(1)
            h = self.net(tokens[:, :-1])[real]  # (N, D): zeros after the end are not computed
            nats = F.cross_entropy(self.net.logits(h), tokens[:, 1:][real], reduction="none")
            own = written[:, 1:][real]
            sums.append(torch.stack([nats[own].sum(), nats[~own].sum()]))
        total = torch.stack(sums).sum(dim=0)
        return total[0], total[1]

    def preview(self, rng: SeedBatch) -> None:
        """It draws nothing."""
        return None

    def evaluate(self, source: Source, n: int) -> dict[str, float]:
        """Nats a token; of up to 64 descriptions, as they come from the network: the share that holds all
        that was asked for ("kept"), by trained and other frames, and distinct-2.
        """
        assert self.bpe is not None
        pairs = [pair_of(source[i]) for i in range(min(n, len(source)))]
        data = [self.example(source[i], torch.Generator().manual_seed(i)) for i in range(len(pairs))]
        device = self.net.out.weight.device
        whole = {k: torch.stack([d[k] for d in data]).to(device) for k in data[0]}
        counts = self.counts(whole)
        scores = {"nats": self._nats(whole)[0].item() / counts["written"]}
        model = WriterModel(self._packed(), self.bpe)
        kept: dict[str, list[float]] = {}
        texts: list[str] = []
        for i, pair in enumerate(pairs[:WRITTEN]):
            text = model.attempts(pair.source, pair.request, pair.language, i, 1)[0]
            texts.append(text)
            kind = "request" if pair.request else "prompt"
            right = float(agrees(text, pair.told if pair.request else read(pair.source)))
            for name in (f"kept_{kind}", f"kept_{'seen' if pair.seen else 'unseen'}_frames"):
                kept.setdefault(name, []).append(right)
        return (
            scores | {k: sum(v) / len(v) for k, v in sorted(kept.items())} | {"distinct_2": distinct(texts)}
        )

    def components(self) -> dict[str, Component | Shared]:
        assert self.bpe is not None
        config = to_json(self.config.net)
        weights = {k: v.detach().cpu() for k, v in self.net.state_dict().items()}
        copy = Component(config={"vocab": self.bpe.vocab}, file=self.bpe.save(), storage="file")
        return {
            "writer": Component(config=config, tensors=weights, storage=self.config.storage),
            "text": copy if self.shared is None else self.shared,
        }

    def golden(self) -> None:
        return None

    def _packed(self) -> Writer:
        """A copy with the weights that the bundle will have."""
        copy = Writer(self.config.net).to(self.net.out.weight.device)
        weights = {k: v.detach().cpu() for k, v in self.net.state_dict().items()}
        fill_module(copy, unpack(pack(weights, self.config.storage)), "writer")
        return copy


def pair_of(sample: Sample) -> Pair:
    """Raises BadInput for a sample that is no pair."""
    if not isinstance(sample.truth, Pair):
        raise BadInput(
            "the writer learns from pairs of texts, which pictures are not: leave --data away, its recipe "
            "makes them"
        )
    return sample.truth


def distinct(texts: Sequence[str], n: int = 2) -> float:
    """distinct-n: different runs of n words over all such runs (arXiv:1510.03055, section 5)."""
    runs = [tuple(words[i : i + n]) for t in texts if (words := t.split()) for i in range(len(words) - n + 1)]
    return len(set(runs)) / len(runs) if runs else 0.0
