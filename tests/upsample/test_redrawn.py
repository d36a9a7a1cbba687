"""scripts/redrawn.py: small pictures as the shipped systems would draw them."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from armchair.core.bundle import SHIPPED, Bundle
from armchair.data.degrade import shrink
from armchair.data.world.art import ShapeArt
from armchair.data.world.source import World

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "redrawn.py"


@pytest.mark.parametrize("name", ["dalle2", "dalle3"])
def test_what_is_redrawn_is_the_picture_and_not_quite(name: str):
    """Nearer to its own scene than to the other, of shapes that none knows; the same from equal seeds."""
    spec = importlib.util.spec_from_file_location("redrawn", SCRIPT)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    world = World(replace(script.WORLD, styles={"glossy": 1.0}), art=ShapeArt())
    samples = [world[i] for i in range(2)]
    redraw = script.SYSTEMS[name](Bundle.open(SHIPPED / name))
    small = [np.asarray(image, dtype=float) for image in redraw(samples, [3, 4])]
    truth = [shrink(sample.image, 4).astype(float) for sample in samples]
    assert [image.shape for image in small] == [(64, 64, 3)] * 2
    off = np.array([[np.abs(a - b).mean() for b in truth] for a in small])
    assert (off.argmin(axis=1) == [0, 1]).all() and (off.diagonal() > 1).all() and (off.diagonal() < 60).all()
    again = [np.asarray(image, dtype=float) for image in redraw(samples, [3, 4])]
    assert all(map(np.array_equal, small, again))
