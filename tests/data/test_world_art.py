"""Where drawings come from: pinned packages, one clear line for each way to fail, a whole cache."""

import io
import json
import pickle
import tarfile
from dataclasses import replace

import numpy as np
import pytest

from armchair.core.errors import BadInput, DataError
from armchair.data.world import art as art_module
from armchair.data.world import packages
from armchair.data.world.art import EmojiArt, ShapeArt, on_paper, rasterise
from armchair.data.world.concepts import Concept, load_concepts
from armchair.data.world.scene import STYLES
from armchair.data.world.shapes import _table, made_for, measure, shape_of

DISC = '<circle cx="10" cy="8" r="6" fill="#c00"/>'
BAR = '<rect x="2" y="8" width="16" height="4" fill="#00c"/>'


def concept(name: str, icon) -> Concept:
    return Concept(name=name, icon=icon, kind="object", en=(name,), ko=(name,))


def tarball(path, icons: dict, chars: dict) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in (("icons.json", icons), ("chars.json", chars)):
            data = json.dumps(content).encode()
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


@pytest.fixture
def sets(tmp_path, monkeypatch):
    """Five made-up icon sets in a cache folder; "disc" is called "circle" in the glossy one."""
    pinned = {}
    for style, package in packages.PACKAGES.items():
        names = {"circle" if style == "glossy" else "disc": {"body": DISC}, "bar": {"body": BAR}}
        icons = {
            "icons": names,
            "aliases": {"mirrored": {"parent": "bar", "hFlip": True}},
            "width": 20,
            "height": 20,
        }
        path = tmp_path / package.file
        tarball(path, icons, {"1f534": next(iter(names)), "2796": "bar"})
        pinned[style] = replace(package, integrity=packages.integrity(path))
    monkeypatch.setattr(packages, "PACKAGES", pinned)
    monkeypatch.setattr(art_module, "PACKAGES", pinned)
    return tmp_path


CONCEPTS = (concept("disc", "disc"), concept("bar", "bar"), concept("other bar", "mirrored"))


def test_drawings_are_trimmed_and_keep_their_proportions(sets):
    """Boxes of scenes are boxes of what is seen, so no empty margin may remain."""
    art = EmojiArt(CONCEPTS, sets)
    disc, bar = art.picture("disc", "flat", 64), art.picture("bar", "flat", 64)
    assert max(disc.shape[:2]) in (127, 128) and abs(disc.shape[0] - disc.shape[1]) <= 1
    assert abs(bar.shape[1] / bar.shape[0] - 4) < 0.2
    assert (bar[..., 3] > 16).all(axis=1).any() and bar[0, :, 3].max() > 16 and bar[:, 0, 3].max() > 16


def test_a_drawing_under_another_name_is_found_by_its_code_point(sets):
    art = EmojiArt(CONCEPTS, sets)
    assert np.array_equal(art.picture("disc", "glossy", 64), art.picture("disc", "flat", 64))


def test_a_concept_without_a_drawing_is_named(sets):
    with pytest.raises(DataError, match=r"no drawing for blob \(no-such-icon\)"):
        EmojiArt((concept("blob", "no-such-icon"),), sets).picture("blob", "flat", 64)


def test_large_pictures_come_from_the_vectors(sets):
    art = EmojiArt(CONCEPTS, sets)
    assert max(art.picture("disc", "flat", 200).shape) in range(254, 257)
    assert max(art.picture("disc", "flat", 1000).shape) in range(1005, 1025)


def test_a_second_start_reads_the_cache(sets, monkeypatch):
    """Rasterising again at each start would cost a minute, and fetching again needs a network."""
    first = EmojiArt(CONCEPTS, sets)
    before = {style: np.array(first.picture("bar", style, 64)) for style in STYLES}
    monkeypatch.setattr(art_module, "rasterise", None)
    monkeypatch.setattr(packages, "fetch", None)
    again = pickle.loads(pickle.dumps(first))
    assert all(np.array_equal(again.picture("bar", style, 64), before[style]) for style in STYLES)


def test_the_cache_follows_the_concepts(sets):
    few, more = EmojiArt(CONCEPTS[:1], sets), EmojiArt(CONCEPTS, sets)
    assert few.key != more.key
    few.picture("disc", "flat", 64)
    assert more.picture("bar", "flat", 64).shape[0] < 40


def test_a_damaged_cache_file_is_one_clear_line(sets):
    art = EmojiArt(CONCEPTS, sets)
    art.picture("disc", "flat", 64)
    next(sets.glob("flat-*-128.npy")).write_bytes(b"not an array")
    with pytest.raises(DataError, match="delete it and try again"):
        EmojiArt(CONCEPTS, sets).picture("disc", "flat", 64)


def test_unknown_names_are_refused(sets):
    art = EmojiArt(CONCEPTS, sets)
    with pytest.raises(BadInput, match="no concept 'blob'"):
        art.picture("blob", "flat", 64)
    with pytest.raises(BadInput, match="no style 'oil'"):
        art.picture("disc", "oil", 64)


def test_missing_npm_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setattr(packages, "which", lambda name: None)
    with pytest.raises(DataError, match="no `npm` here: install Node.js") as caught:
        packages.fetch(packages.PACKAGES["flat"], tmp_path)
    assert "\n" not in str(caught.value)


def fake_npm(tmp_path, script: str) -> str:
    path = tmp_path / "npm"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_no_network_is_one_clear_line(tmp_path, monkeypatch):
    npm = fake_npm(tmp_path, "echo 'npm error code ENOTFOUND' >&2; echo 'npm error network down' >&2; exit 1")
    monkeypatch.setattr(packages, "which", lambda name: npm)
    with pytest.raises(
        DataError, match=r"failed \(code ENOTFOUND; network down\): is there a network\?"
    ) as caught:
        packages.fetch(packages.PACKAGES["flat"], tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "cache").iterdir())


def test_a_wrong_download_is_refused_and_not_kept(tmp_path, monkeypatch):
    """A registry that was tampered with must not put pictures into a training set."""
    npm = fake_npm(tmp_path, f'echo evil > "$4/{packages.PACKAGES["flat"].file}"')
    monkeypatch.setattr(packages, "which", lambda name: npm)
    with pytest.raises(DataError, match="with integrity sha512-.* not sha512-RY47Rg"):
        packages.fetch(packages.PACKAGES["flat"], tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_a_changed_file_in_the_cache_is_refused(tmp_path):
    package = packages.PACKAGES["flat"]
    (tmp_path / package.file).write_bytes(b"changed")
    with pytest.raises(DataError, match="is not the pinned @iconify-json/fluent-emoji-flat 1.2.6: delete it"):
        packages.fetch(package, tmp_path)


def test_the_cache_folder_can_be_chosen(tmp_path, monkeypatch):
    monkeypatch.setenv("ARMCHAIR_CACHE", str(tmp_path / "here"))
    assert packages.cache_folder() == tmp_path / "here"
    assert not (tmp_path / "here").exists()


def test_strokes_get_paper():
    """Black lines vanish on a dark ground: what they enclose becomes white, what is outside stays clear."""
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 20 20" width="20" height="20">'
        '<circle cx="10" cy="10" r="8" fill="none" stroke="#000" stroke-width="2"/></svg>'
    )
    plain, paper = rasterise(svg, 128), rasterise(svg, 128, strokes=True)
    assert plain[64, 64, 3] == 0
    assert tuple(paper[64, 64]) == (255, 255, 255, 255)
    assert paper[0, 0, 3] == 0
    open_line = np.zeros((40, 40, 4), np.uint8)
    open_line[20, 10:30, 3] = 255
    assert (on_paper(open_line)[..., 3] > 0).sum() < 0.25 * 40 * 40


def test_shapes_are_measured_from_pictures():
    """The layout stands things on others by these numbers: a wrong `top` leaves them floating."""
    picture = np.zeros((40, 80, 4), np.uint8)
    picture[30:, :] = (0, 0, 200, 255)  # a flat bench ...
    picture[:, 60:] = (0, 0, 200, 255)  # ... with a back at its right
    shape = measure(picture)
    assert shape.aspect == 2.0 and shape.top == 0.6  # no deeper, so that what stands on it is seen
    assert 0.8 < shape.peak < 0.95
    assert shape.colour == "blue"


def test_shapes_were_measured_for_these_concepts():
    """concepts.json changed? Run `python benchmarks/world.py --measure`."""
    assert set(_table()) == {c.name for c in load_concepts()}
    assert json.loads(art_free_table())["made_for"] == made_for(load_concepts())
    assert shape_of("never heard of", "flat").aspect == 1.0


def art_free_table() -> str:
    from importlib.resources import files

    return (files("armchair.data.world") / "shapes.json").read_text(encoding="utf-8")


def test_own_shapes_differ_between_concepts():
    art = ShapeArt()
    drawn = {art.picture(c.name, "flat", 32).tobytes() for c in load_concepts()[:40]}
    assert len(drawn) > 8


@pytest.mark.network
def test_all_sets_draw_all_concepts():
    """The real packages, from the cache or from npm: every concept, in every style."""
    art = EmojiArt()
    art.prepare()
    for style in STYLES:
        for c in load_concepts():
            assert art.picture(c.name, style, 64)[..., 3].max() > 200
