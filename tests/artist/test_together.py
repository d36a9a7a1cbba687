"""Several jobs in one run."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
import torch

from armchair.core.images import to_image
from armchair.core.step import Preview


def test_an_artist_draws_jobs_together(shipped: Path, monkeypatch: pytest.MonkeyPatch, toy: ModuleType):
    """Pictures and recipes as of each job alone, in the order of the jobs."""
    import armchair

    stream = toy.ToyPipeline.stream

    def many(self, prompt, seeds, size, **options):
        if isinstance(prompt, str):
            yield from stream(self, prompt, seeds, size, **options)
            return
        for steps in zip(
            *(stream(self, p, [s], size, **options) for p, s in zip(prompt, seeds, strict=True)), strict=True
        ):
            images = torch.cat([step.images for step in steps])
            yield Preview(steps[0].index, steps[0].total, images)

    monkeypatch.setattr(toy.ToyPipeline, "stream", many)
    artist = armchair.load("toy")
    jobs = [
        artist.job("a red apple", n=2, seed=3, options={}),
        artist.job("apples", n=1, seed=9, options={"guidance": None}),
    ]
    *previews, first, second, third = artist.draw_all(jobs)
    alone = [picture for job in jobs for picture in artist.draw(job) if hasattr(picture, "recipe")]
    assert [picture.recipe for picture in (first, second, third)] == [p.recipe for p in alone]
    assert [p.image.tobytes() for p in (first, second, third)] == [p.image.tobytes() for p in alone]
    assert to_image(previews[-1].images[2]).tobytes() == third.image.tobytes()
