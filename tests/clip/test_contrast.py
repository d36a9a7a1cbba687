"""The contrastive loss: its value by hand, and over two processes."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

import armchair
from armchair.clip.contrast import contrastive_rows, gather
from armchair.core.rng import SeedBatch
from tests.clip import two
from tests.clip.tiny import batch, clip_task
from tests.train.kill import finish


def test_loss_by_hand():
    """Two pairs, so small that the softmax can be written out: rows are pictures, columns captions."""
    image = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    text = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    to_text, to_image = contrastive_rows(image, text, torch.tensor(2.0))
    similar = [[0.0, 2.0], [1.6, 1.2]]  # scale * image . text
    for i in range(2):
        own, caption, picture = similar[i][i], similar[i][1 - i], similar[1 - i][i]
        assert to_text[i].item() == pytest.approx(math.log(math.exp(own) + math.exp(caption)) - own)
        assert to_image[i].item() == pytest.approx(math.log(math.exp(own) + math.exp(picture)) - own)


def test_chance_is_the_logarithm_of_the_batch():
    """Embeddings that all agree tell nothing: ln N nats."""
    same = F.normalize(torch.ones(7, 5), dim=-1)
    for rows in contrastive_rows(same, same, torch.tensor(14.3)):
        torch.testing.assert_close(rows, torch.full((7,), 7.0).log())


def test_one_process_gathers_nothing():
    """No copy, no collective that would wait for ever."""
    rows = torch.rand(3, 4, requires_grad=True)
    assert gather(rows) is rows


@pytest.mark.timeout(120)
def test_two_processes_have_one_processs_gradient(tmp_path: Path):
    """Each knows its four rows and four columns of an 8 x 8 matrix. Gathering without a gradient, or a mean
    of the two halves' losses, would give other numbers: a picture would not be pushed from the other
    process's captions.
    """
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    places = [str(Path(two.__file__).parents[2]), str(Path(armchair.__path__[0]).parent)]
    finish([*torchrun, two.__file__, str(tmp_path)], PYTHONPATH=os.pathsep.join(places))
    parts = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    task = clip_task()
    whole = batch(task, list(range(two.ROWS)))
    loss, _ = task.loss(whole, SeedBatch(whole.indices))
    loss.backward()
    torch.testing.assert_close(parts[0]["loss"] + parts[1]["loss"], loss.detach())
    for name, p in task.net.named_parameters():
        for part in parts:
            torch.testing.assert_close(part[name], p.grad, rtol=1e-4, atol=1e-5, msg=name)
    # and it is not what each process would find alone
    alone = batch(task, list(range(two.ROWS // 2)))
    task.net.zero_grad()
    task.loss(alone, SeedBatch(alone.indices))[0].backward()
    own = task.net.text.projection.grad
    assert own is not None and not torch.allclose(own, parts[0]["text.projection"], rtol=0.1)
