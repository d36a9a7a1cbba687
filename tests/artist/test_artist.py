"""The Python surface: what an artist draws, refuses and tells, with a toy system in place of a network."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

import armchair
from armchair.artist.artist import BATCH
from armchair.artist.find import available, find
from armchair.artist.redo import psnr, redo, same_pixels, verify_golden
from armchair.core.errors import ArmchairError, BadInput, BundleError, Unsupported
from armchair.core.picture import read_recipe


def pixels(pictures: list[armchair.Picture]) -> list[bytes]:
    return [picture.image.tobytes() for picture in pictures]


def test_import_is_instant():
    """`import armchair` brings no torch, pydantic or PIL, and makes no folder."""
    code = (
        "import sys, armchair; armchair.__all__;"
        "assert not {'torch', 'pydantic', 'PIL', 'numpy'} & set(sys.modules);"
        "import armchair.artist.find; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_generate(shipped: Path):
    """n pictures, seeds counting up from the first, all that redo needs in the recipe."""
    artist = armchair.load("toy")
    pictures = artist.generate("  a red apple ", n=3, seed=7, guidance=2)
    assert [p.seed for p in pictures] == [7, 8, 9]
    assert pictures[0].image.size == (16, 16)
    recipe = pictures[1].recipe
    assert recipe["bundle"] == "toy"
    assert recipe["digest"] == artist.bundle.digest
    assert recipe["seed"] == 8
    assert recipe["prompt"] == "a red apple"
    assert recipe["size"] == "16x16"
    assert recipe["options"] == {"guidance": 2, "temperature": 1.0, "top_k": None}
    assert recipe["armchair"] == armchair.__version__
    assert recipe["revised_prompt"] is None


def test_a_picture_does_not_depend_on_its_batch(shipped: Path):
    """More than a batch: the same pixels as one by one."""
    artist = armchair.load("toy")
    many = pixels(artist.generate("x", n=BATCH + 2, seed=5))
    assert many == [pixels(artist.generate("x", seed=5 + i))[0] for i in range(BATCH + 2)]
    assert len(set(many)) == len(many)


def test_without_a_seed_pictures_differ_and_tell_theirs(shipped: Path):
    """The picture names the seed that was taken, so that it can be drawn again."""
    artist = armchair.load("toy")
    one, two = artist.generate("x")[0], artist.generate("x")[0]
    assert one.seed != two.seed
    assert pixels(artist.generate("x", seed=one.seed)) == pixels([one])


def test_stream_ends_with_the_picture(shipped: Path):
    """Previews come from the same path as the picture."""
    artist = armchair.load("toy")
    steps = list(artist.stream("a red apple", seed=7))
    assert [(s.index, s.total) for s in steps] == [(0, 2), (1, 2)]
    picture = artist.generate("a red apple", seed=7)[0]
    assert np.array_equal(
        (steps[-1].images[0] * 255).round().byte().permute(1, 2, 0).numpy(), np.array(picture.image)
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"prompt": ""}, "prompt is empty"),
        ({"prompt": " \n"}, "prompt is empty"),
        ({"prompt": 3}, "not text"),
        ({"prompt": "a" * 10_001}, "10,001 characters"),
        ({"prompt": "\ud800"}, "UTF-8"),
        ({"n": 0}, "n is 0; 1 to 64"),
        ({"n": 65}, "n is 65"),
        ({"n": True}, "n is True"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**63}, "seed is"),
        ({"size": "17x16"}, "toy does not draw 17x16; it draws 16x16, 8x8"),
        ({"size": "big"}, "WIDTHxHEIGHT"),
        ({"size": (16, 16)}, r"\(16, 16\) is not WIDTHxHEIGHT"),
        ({"expand": 3}, "the writer is 3, not text"),
        ({"steps": 5}, "toy has no option 'steps'.*guidance, temperature, top_k"),
        ({"temprature": 1.0}, "Did you mean 'temperature'"),
        ({"guidance": float("nan")}, "guidance is nan"),
        ({"temperature": -1}, "temperature is -1"),
        ({"top_k": 0}, "top_k is 0"),
        ({"prior": "ar"}, "no option 'prior'"),
    ],
)
def test_wrong_input_is_named(shipped: Path, arguments: dict[str, Any], words: str):
    """Issue 2, section 8: BadInput that names the value and the remedy, before anything is drawn."""
    artist = armchair.load("toy")
    with pytest.raises(BadInput, match=words):
        artist.generate(**{"prompt": "x", **arguments})
    if "prior" not in arguments:
        with pytest.raises(BadInput, match=words):
            artist.stream(**{"prompt": "x", **arguments})


def test_complete_keeps_the_top(shipped: Path, tmp_path: Path):
    """The given rows stay as they are, the picture may be a path of any shape, and R >= grid is an error."""
    artist = armchair.load("toy")
    top = Image.new("RGB", (40, 30), (255, 0, 51))
    top.save(tmp_path / "top.png")
    picture = artist.complete(tmp_path / "top.png", "x", keep_rows=5, seed=1)[0]
    got = np.array(picture.image)
    assert (got[:5] == (255, 0, 51)).all()
    assert (got[5:] != (255, 0, 51)).any()
    assert picture.recipe["operation"] == "complete"
    for rows, words in ((16, "at most 15"), (0, "at least 1")):
        with pytest.raises(BadInput, match=words):
            artist.complete(top, "x", keep_rows=rows)


@pytest.mark.parametrize("operation", ["generate", "complete"])
def test_redo_gives_the_same_pixels(shipped: Path, tmp_path: Path, operation: str):
    """From the PNG alone: no file that the picture started from is needed."""
    artist = armchair.load("toy", dtype="float32")
    if operation == "generate":
        picture = artist.generate("a red apple", seed=7, size="8x8", temperature=0.5)[0]
    else:
        noise = np.random.default_rng(0).integers(0, 255, (20, 20, 3), np.uint8)
        picture = artist.complete(Image.fromarray(noise), "a red apple", seed=7)[0]
    recipe = read_recipe(picture.save(tmp_path / "a.png"))
    again = redo(recipe)
    assert same_pixels(again.image, picture.image)
    assert again.recipe == picture.recipe
    changed = redo({**recipe, "seed": 8})
    assert not same_pixels(changed.image, picture.image)


def test_redo_finds_the_bundle_by_its_hash(shipped: Path, tmp_path: Path, toy: ModuleType):
    """Another bundle under the same name is not the one that drew the picture."""
    toy.save_toy(tmp_path / "work" / "mine", name="toy", scores={"other": 1})
    picture = armchair.load("mine").generate("x", seed=1)[0]
    assert picture.recipe["model"] == "mine"
    assert redo(picture.recipe).recipe == picture.recipe
    (tmp_path / "work" / "mine").rename(tmp_path / "gone")
    with pytest.raises(BundleError, match=r"is not here; here: toy .*--model"):
        redo(picture.recipe)
    assert same_pixels(redo(picture.recipe, model=tmp_path / "gone").image, picture.image)
    with pytest.raises(BadInput, match="no digest"):
        redo({"operation": "generate"})


def test_a_picture_prints_short(shipped: Path, tmp_path: Path):
    """A recipe may hold the picture that it started from: in a notebook, pages of base64."""
    start = tmp_path / "start.png"
    Image.new("RGB", (16, 16), "red").save(start)
    picture = armchair.load("toy").complete(start, "x", seed=7)[0]
    assert "source" in picture.recipe and len(repr(picture)) < 300 and "seed=7" in repr(picture)


def test_recipes_do_not_tell_the_user_name(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toy: Any
):
    """People publish their pictures; a home folder's path is nobody's business."""
    monkeypatch.setenv("HOME", str(tmp_path / "home" / "jane"))
    toy.save_toy(tmp_path / "home" / "jane" / "secret")
    picture = armchair.load(tmp_path / "home" / "jane" / "secret").generate("x", seed=1)[0]
    assert picture.recipe["model"] == "~/secret"
    assert "jane" not in str(picture.recipe)
    assert redo(picture.recipe).recipe == picture.recipe


def test_notes(shipped: Path, toy: ModuleType, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """Unseen words, a language without training and too little training are said, not hidden."""
    artist = armchair.load("toy")
    assert artist.notes("Red apples on the table's apple 12") == []
    assert artist.notes("a glossy zebra") == ["toy has never seen the words glossy, zebra"]
    assert artist.notes("빨간 사과를 apple") == ["toy was not trained on Korean, only on en"]
    assert artist.notes("얼룩말이")[0] == "toy has never seen the word 얼룩말이"
    toy.save_toy(tmp_path / "young", trained={"samples_seen": 12_000, "enough": 1_000_000})
    with caplog.at_level(logging.WARNING, logger="armchair"):
        armchair.load(tmp_path / "young").generate("a red apple", seed=1)
    assert caplog.messages == ["young: 12,000 samples seen: expect noise"]


def test_golden(shipped: Path, toy: ModuleType, tmp_path: Path):
    """verify draws the golden picture again and measures the difference."""
    found = verify_golden(armchair.load("toy"))
    assert found is not None
    assert found[0] > 40
    toy.save_toy(tmp_path / "off", golden=("a red apple", 3, Image.new("RGB", (16, 16), "red")))
    found = verify_golden(armchair.load(tmp_path / "off"))
    assert found is not None
    assert found[0] < 20
    assert psnr(
        Image.new("RGB", (2, 2), (10, 10, 10)), Image.new("RGB", (2, 2), (11, 11, 11))
    ) == pytest.approx(48.13, abs=0.01)


def test_models_are_found_by_name_run_and_folder(shipped: Path, toy: ModuleType):
    """Shipped names first, then runs of this folder, then paths."""
    toy.save_toy(Path("runs/mine/bundle"))
    assert [(f.name, f.where) for f in available()] == [("toy", "shipped"), ("mine", "run")]
    assert find("mine") == find("runs/mine") == find("runs/mine/bundle") == Path("runs/mine/bundle")
    with pytest.raises(BadInput, match=r"unknown model 'tyo'\. Did you mean 'toy'\? Here: toy, mine"):
        armchair.load("tyo")
    with pytest.raises(BundleError, match="runs holds no bundle"):
        find("runs")


def test_a_bundle_that_does_not_draw_says_so(shipped: Path, toy: ModuleType, tmp_path: Path):
    """A stage's bundle is no artist."""
    toy.save_toy(tmp_path / "part", kind="toy_dvae")
    drawing = "those of kind dalle1, dalle2, dalle3, toy do"
    with pytest.raises(Unsupported, match=f"a bundle of kind toy_dvae does not draw by itself; {drawing}"):
        armchair.load(tmp_path / "part")


def test_a_damaged_bundle_does_not_draw(shipped: Path):
    """A flipped bit stops at load."""
    path = shipped / "toy" / "net.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(BundleError, match="net.safetensors is damaged"):
        armchair.load("toy")


def test_what_is_not_there_yet_says_what_it_needs(shipped: Path):
    """No stub pretends: Unsupported names what is needed."""
    artist = armchair.load("toy")
    image = Image.new("RGB", (4, 4))
    calls = [
        (
            lambda: artist.variations(image),
            "cannot do variations: dalle2 can.*It can complete, generate",
        ),
        (lambda: artist.interpolate(image, image), "dalle2"),
        (lambda: artist.text_diff(image, source="a", target="b"), "dalle2"),
        (lambda: artist.probe(image, components=[1]), "dalle2"),
        (lambda: artist.inpaint(image, None, "x"), "dalle2, dalle3 can"),
        (lambda: artist.outpaint(image, "x", size="32x32"), "dalle2, dalle3 can"),
        (lambda: artist.generate("x", rerank=4), "rerank needs a clip bundle"),
        (lambda: artist.generate("x", expand="builtin"), "expand needs a writer bundle"),
        (lambda: armchair.caption(image, long=True), "caption needs a captioner"),
        (lambda: armchair.expand("a cat"), "writer"),
        (lambda: armchair.score([image], ["x"]), "clip"),
    ]
    for call, words in calls:
        with pytest.raises(Unsupported, match=words) as caught:
            call()
        assert isinstance(caught.value, ArmchairError)


def test_another_kind_that_can_is_named(shipped: Path, monkeypatch: pytest.MonkeyPatch, toy: ModuleType):
    """Unsupported names the systems that can."""

    class Other(toy.ToyPipeline):
        operations = frozenset({"variations"})

    from armchair.weights import kinds

    monkeypatch.setattr(toy, "Other", Other, raising=False)
    monkeypatch.setitem(kinds.PIPELINES, "other", "armchair_toy_system:Other")
    with pytest.raises(Unsupported, match="variations: dalle2, other can"):
        armchair.load("toy").variations(Image.new("RGB", (4, 4)))
