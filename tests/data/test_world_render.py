"""Pictures of scenes, and the source that yields them with their captions."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from armchair.core.errors import BadInput
from armchair.data.world.art import ShapeArt
from armchair.data.world.backgrounds import background
from armchair.data.world.layout import Box, sign_box
from armchair.data.world.render import TINT_RGB, pixels, render, tinted
from armchair.data.world.scene import BACKGROUNDS, COLOURS, Relation, Scene, Thing, WorldConfig, sample_scene
from armchair.data.world.shapes import shape_of
from armchair.data.world.source import World, captions, write_world

ART = ShapeArt()


def only(thing: Thing, ground: str = "white", sign: str | None = None) -> Scene:
    return Scene(4, (thing,), (), ground, sign)


def thumbnail(picture: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((16, 16), Image.Resampling.BOX)).astype(float)


@pytest.mark.parametrize(("size", "limit"), [(32, 20), (100, 12), (256, 12), (1024, 12)])
def test_every_size_has_the_same_layout(size, limit):
    """A model trained at 64 is measured at 256: it must be the same scene. Compared as 16-pixel thumbnails;
    those of different scenes are far apart."""
    config = WorldConfig(single=0.3, signs=0.5)
    scenes = [sample_scene(i, config) for i in range(6)]
    small = [thumbnail(render(scene, 64, ART)) for scene in scenes]
    for i, scene in enumerate(scenes):
        large = render(scene, size, ART)
        assert large.shape == (size, size, 3) and large.dtype == np.uint8
        assert np.abs(thumbnail(large) - small[i]).mean() < limit
        assert np.abs(thumbnail(large) - small[i - 1]).mean() > 25


def test_rendering_is_reproducible():
    scene = sample_scene(3, WorldConfig())
    assert np.array_equal(render(scene, 64, ART), render(scene, 64, ART))


def test_things_are_drawn_exactly_in_their_boxes():
    box = Box(0.4, 0.6, 0.5, 0.25)
    name = next(
        name for name in map(str, range(99)) if ART.picture(name, "flat", 8)[..., 3].all()
    )  # a full box
    empty, drawn = (only(Thing(name, "flat", "red", boxes)) for boxes in ((), (box,)))
    differs = (render(drawn, 64, ART) != render(empty, 64, ART)).any(axis=2)
    rows, columns = np.flatnonzero(differs.any(1)), np.flatnonzero(differs.any(0))
    left, top, right, bottom = pixels(box, 64, 64)
    assert (
        (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1) == (left, top, right, bottom) == (10, 30, 42, 46)
    )


def test_wide_and_tall_pictures():
    """Things keep their proportions and lie inside; a background is painted to the edges; the same at every
    size.
    """
    config = WorldConfig(size=32, length=100, wide=0.5, tall=0.5, signs=0.3, single=0.3)
    world = World(config, ART)
    shapes = {"7:4": (32, 56, 3), "4:7": (56, 32, 3)}
    for i in range(24):
        scene, sample = world.scene(i), world[i]
        assert sample.image.shape == shapes[scene.ratio]
        assert world.peek(i).size == sample.image.shape[1::-1] == scene.sides(32)
        for thing in scene.things:
            for box in thing.boxes:
                width, height = scene.sides(1000)
                x0, y0, x1, y1 = pixels(box, width, height)
                aspect = shape_of(thing.concept, thing.style).aspect
                assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
                assert abs((x1 - x0) / (y1 - y0) / aspect - 1) < 0.05
        large = Image.fromarray(render(scene, 128, ART)).resize(scene.sides(8), Image.Resampling.BOX)
        small = Image.fromarray(sample.image).resize(scene.sides(8), Image.Resampling.BOX)
        assert np.abs(np.asarray(large, float) - np.asarray(small, float)).mean() < 20


def test_pixels_stay_inside_the_picture():
    assert pixels(Box(0.999, 0.0, 0.4, 0.001), 32, 32) == (19, 0, 32, 1)


def test_what_is_in_front_covers_what_is_behind():
    a = Thing("apple", "flat", "red", (Box(0.5, 0.5, 0.4, 0.4),))
    b = Thing("dog", "flat", "blue", (Box(0.5, 0.5, 0.8, 0.8),))
    for first, second, kind in ((0, 1, "in front of"), (0, 1, "on")):
        scene = Scene(0, (a, b), (Relation(first, kind, second),), "white", None)
        middle = render(scene, 64, ART)[32, 32].astype(int)
        assert middle[0] > middle[2] + 60


@pytest.mark.parametrize("tint", COLOURS)
def test_a_tint_gives_its_colour_and_keeps_light_and_dark(tint):
    """Recoloured things must still show their shape: lighter parts stay lighter."""
    picture = np.zeros((4, 6, 4), np.uint8)
    picture[:, :2] = (40, 90, 20, 255)
    picture[:, 2:4] = (90, 160, 60, 255)
    picture[:, 4:] = (200, 240, 180, 255)
    out = tinted(picture, tint).astype(int)
    dark, middle, light = (out[0, i, :3] for i in (0, 2, 4))
    assert dark.sum() < middle.sum() < light.sum()
    assert np.abs(middle - TINT_RGB[tint]).max() < 60
    assert np.array_equal(out[..., 3], picture[..., 3])


def test_a_tint_of_strokes_leaves_the_paper_white():
    picture = np.full((2, 2, 4), 255, np.uint8)
    picture[0] = (0, 0, 0, 255)
    out = tinted(picture, "red", strokes=True)
    assert tuple(out[0, 0]) == (*TINT_RGB["red"], 255)
    assert tuple(out[1, 1]) == (255, 255, 255, 255)


def test_tinting_keeps_premultiplication():
    """A colour above its alpha would glow at the edges."""
    ramp = np.arange(256, dtype=np.uint8).repeat(4).reshape(16, 16, 4)
    for tint in COLOURS:
        out = tinted(ramp, tint)
        assert (out[..., :3] <= out[..., 3:]).all()


@pytest.mark.parametrize("name", BACKGROUNDS)
def test_backgrounds_vary_and_keep_their_place(name):
    a, b, again = background(name, 64, 1), background(name, 64, 2), background(name, 64, 1)
    assert a.shape == (64, 64, 3) and a.dtype == np.uint8
    assert np.array_equal(a, again) and not np.array_equal(a, b)
    big = np.asarray(Image.fromarray(background(name, 512, 1)).resize((64, 64), Image.Resampling.BOX))
    assert np.abs(big.astype(float) - a).mean() < 4


def test_a_sign_is_readable_and_clear_of_things():
    config = WorldConfig(signs=1.0, single=0.3)
    for index in range(300):
        scene = sample_scene(index, config)
        sign = sign_box(index)
        for thing in scene.things:
            for box in thing.boxes:
                assert abs(box.y - sign.y) >= (box.h + sign.h) / 2 - 1e-3
    scene = only(Thing("apple", "flat", "natural", ()), sign="open")
    x0, y0, x1, y1 = pixels(sign_box(scene.index), 64, 64)
    board = render(scene, 64, ART)[y0:y1, x0:x1].astype(int).sum(2)
    assert board.max() - board.min() > 300


def test_world_is_a_source():
    world = World(WorldConfig(size=32, length=100), ART)
    assert len(world) == 100
    sample = world[5]
    assert sample.image.shape == (32, 32, 3) and sample.key == "5"
    assert [(c.kind, c.language) for c in sample.captions] == [
        (kind, language) for kind in ("alt", "short", "long") for language in ("en", "ko")
    ]
    assert all(c.text for c in sample.captions)
    assert pickle.loads(pickle.dumps(world))[5].captions == sample.captions
    assert json.loads(json.dumps(world.describe()))["size"] == 32
    for wrong in (-1, 100):
        with pytest.raises(IndexError, match="outside 0..99"):
            world[wrong]


def test_making_a_source_touches_nothing(tmp_path, monkeypatch):
    """Recipes are read by `inspect` and `--dry-run` on machines without npm."""
    monkeypatch.setenv("ARMCHAIR_CACHE", str(tmp_path / "none"))
    World().scene(0)
    WorldConfig().open().describe()
    assert not (tmp_path / "none").exists()


def test_captions_depend_on_the_scene_alone():
    scene = sample_scene(11, WorldConfig())
    assert captions(scene) == captions(replace(scene))


def test_write_world_is_reproducible_and_complete(tmp_path):
    """People train on these folders and quote indices from them."""
    calls = []
    for name in ("a", "b"):
        write_world(tmp_path / name, 5, 32, 10, art=ART, preview=True, progress=lambda *at: calls.append(at))
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == [*(f"{i:08d}.png" for i in range(10, 15)), "metadata.jsonl", "preview.png"]
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert calls[:5] == [(i, 5) for i in range(1, 6)]
    rows = [json.loads(line) for line in (tmp_path / "a" / "metadata.jsonl").read_text().splitlines()]
    world = World(WorldConfig(size=32), ART)
    for index, row in enumerate(rows, start=10):
        assert Scene.from_json(row["scene"]) == world.scene(index)
        assert len(row["captions"]) == 6
        assert np.array_equal(np.asarray(Image.open(tmp_path / "a" / row["file_name"])), world[index].image)


def test_write_world_overwrites_nothing(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(BadInput):
        write_world(tmp_path, 1, 32, art=ART)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    for n, start in ((0, 0), (1, -1), (1, 2**31)):
        with pytest.raises(BadInput):
            write_world(tmp_path / "new", n, 32, start, art=ART)
    assert not (tmp_path / "new").exists()
