"""Softening changes how a picture looks, not what it shows, and says where everything has gone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from armchair.data.world.layout import Box
from armchair.judge.soften import SHARP, Softening, frame, soften, within
from tests.judge.drawn import draw, scene_of

WHOLE = Box(0.5, 0.5, 1.0, 1.0)
KINDS = ("bend", "shrink", "blur", "blotch", "palette", "jpeg", "noise", "light")
PICTURE = draw(scene_of(1), 64)


def dice(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_same_dice_same_picture():
    """(S, S, 3) uint8 in and out at every strength; the same dice give the same; with everything off nothing
    changes.
    """
    how = Softening()
    soft = [soften(PICTURE, WHOLE, how, dice(seed)) for seed in range(30)]
    assert {(s.shape, s.dtype) for s in soft} == {((64, 64, 3), np.dtype(np.uint8))}
    assert len({s.tobytes() for s in soft}) > 26, "few stay as they are"
    assert soft[7].tobytes() == soften(PICTURE, WHOLE, how, dice(7)).tobytes()
    assert np.array_equal(soften(PICTURE, WHOLE, SHARP, dice(0)), PICTURE)


@pytest.mark.parametrize("kind", KINDS)
def test_each_distortion_is_mild(kind: str):
    """Alone and always it changes the picture, yet leaves the most of it: a person still sees the same."""
    shaded = np.clip(PICTURE - np.linspace(0, 60, 64)[:, None, None], 0, 255).astype(np.uint8)
    how = replace(SHARP, **{kind: 1.0})
    changes = [
        np.abs(soften(shaded, WHOLE, how, dice(seed)).astype(float) - shaded).mean() for seed in range(8)
    ]
    assert max(changes) > 0.3, changes
    assert max(changes) < 30, changes


def test_blur_blurs():
    """That is what it is for: a generated picture has no edge as hard as a render's."""

    def steepest(picture: np.ndarray) -> float:
        return float(np.abs(np.diff(picture.astype(float).mean(2), axis=1)).max())

    soft = [steepest(soften(PICTURE, WHOLE, replace(SHARP, blur=1.0), dice(s))) for s in range(20)]
    assert np.mean(soft) < 0.9 * steepest(PICTURE)


def test_boxes_follow_the_frame():
    """A red square is where `within` says, for frames larger, smaller and beside the picture."""
    picture = np.full((64, 64, 3), 255, np.uint8)
    picture[16:40, 24:56] = (255, 0, 0)
    box = Box(40 / 64, 28 / 64, 32 / 64, 24 / 64)
    for chosen in (WHOLE, Box(0.55, 0.45, 0.8, 0.8), Box(0.5, 0.5, 1.2, 1.2), Box(0.42, 0.55, 1.0, 1.0)):
        framed = soften(picture, chosen, SHARP, dice(0))
        rows, columns = np.nonzero(framed[..., 1] < 128)
        part = within(box, chosen)
        edges = (columns.min() / 64, rows.min() / 64, (columns.max() + 1) / 64, (rows.max() + 1) / 64)
        wanted = (part.x - part.w / 2, part.y - part.h / 2, part.x + part.w / 2, part.y + part.h / 2)
        assert edges == pytest.approx(wanted, abs=1 / 64), chosen


def test_frames_leave_things_in():
    """Every thing to the stated share, a board whole: a crop that hid either would teach a lie."""
    how = replace(Softening(), crop=1.0)
    things, board = [Box(0.3, 0.4, 0.5, 0.6), Box(0.85, 0.8, 0.3, 0.3)], Box(0.5, 0.1, 0.9, 0.2)
    seen = {WHOLE}
    for seed in range(200):
        chosen = frame(things, [board], how, dice(seed))
        seen.add(chosen)
        for box, share in ((things[0], 0.75), (things[1], 0.75), (board, 0.97)):
            part = within(box, chosen)
            assert part.w * chosen.w * part.h * chosen.h >= share * box.w * box.h - 1e-9
    assert len(seen) > 100
    assert frame(things, [board], replace(how, crop=0.0), dice(0)) == WHOLE
