"""A writer small enough for tests, and stand-ins that write what a test wants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from armchair.data.world.writing import Writing, WritingConfig
from armchair.text.bpe import BPE
from armchair.writer.config import WriterConfig
from armchair.writer.network import Writer
from armchair.writer.pipeline import WriterModel
from armchair.writer.task import WriterTask, WriterTaskConfig

TINY = WriterConfig(vocab=300, length=128, width=32, depth=2, heads=2)
SOURCE = Writing(WritingConfig(concepts=6, requests=0.5))


def writer_task(**changes: Any) -> WriterTask:
    """Prepared, with weights from a fixed seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        task = WriterTaskConfig(**{"net": TINY, **changes}).build({}, None)
    task.bpe = BPE.train([SOURCE.pair(i).target for i in range(40)], TINY.vocab)
    return task


def network() -> Writer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return Writer(TINY)


def saying(says: Callable[[str, str, str, int], list[str]]) -> WriterModel:
    """A writer whose network says what it is told to: (source, request, language, seed) -> attempts."""
    model = WriterModel(network(), BPE.train(["a red cat"], 300))
    model.attempts = lambda source, request, language, seed, count: says(source, request, language, seed)  # type: ignore[method-assign]
    return model
