"""Drafts in the decoder: what learns, beside the U-Net and alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from armchair.core.bundle import Bundle
from armchair.core.rng import SeedBatch
from armchair.dalle2.alone import DecoderDraftTask
from armchair.dalle2.decoder import Decoder
from armchair.dalle2.decoder_task import DecoderTask, DecoderTaskConfig
from armchair.nn.draft import DraftConfig
from tests.dalle2.test_layout import PLACED, WITH, laid, placed
from tests.dalle2.tiny import saved
from tests.stages import alone_learns, wake

DRAFTED = replace(WITH, draft=DraftConfig(widths=(8, 8), side=2, hidden=12, depth=1, groups=4))


def drafted(folder: Path, **changes: object) -> DecoderTask:
    """On weights that had no draft."""
    init, clip = saved(folder / "before", laid(folder)), Bundle.open(folder / "clip")
    task = DecoderTaskConfig(net=DRAFTED, drop_text=0.0, drop_layout=0.0, **changes).build(
        {"clip": clip}, init
    )  # type: ignore[arg-type]
    task.prepare(PLACED, torch.Generator().manual_seed(0))
    return task


def test_a_draft_learns_beside_the_network(tmp_path: Path):
    """By its own error, which is all that moves it; the network is shown it, and a new one is the sketch."""
    task = drafted(tmp_path)
    assert isinstance(task.net, Decoder) and task.net.draft is not None
    made, draft = placed(task, [0, 1, 2]), task.net.draft
    loss, logged = task.loss(made, SeedBatch([5, 6, 7]))
    task.net.draft = None
    before, without = task.loss(made, SeedBatch([5, 6, 7]))
    task.net.draft = draft
    torch.testing.assert_close(loss - logged["draft"], before)
    assert "draft" not in without and float(logged["draft"]) > 0
    loss.backward()
    assert draft.out.weight.grad is not None and draft.out.weight.grad.any()

    wake(draft)
    with torch.no_grad():
        shown, logged = task.loss(made, SeedBatch([5, 6, 7]))
    assert abs(float(shown - logged["draft"]) - float(before.detach())) > 1e-4


def test_a_draft_alone_learns(tmp_path: Path):
    """All else stands still."""
    task = drafted(tmp_path, alone="draft")
    assert isinstance(task, DecoderDraftTask)
    alone_learns(task, placed(task, [0, 1, 2, 3]), PLACED, "draft.")


def test_configs_that_do_not_fit():
    """A draft without a layout."""
    with pytest.raises(ValueError, match="layout is null"):
        replace(DRAFTED, layout=None)
