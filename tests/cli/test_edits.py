"""The commands that start from a picture, with a tiny DALL·E 2 in place of the shipped one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from armchair.cli import main
from armchair.core import bundle as bundles
from armchair.core.images import open_image
from tests.dalle2.tiny import picture, whole_bundle

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("bundles")
    shutil.copytree(whole_bundle(tmp_path_factory.getbasetemp() / "dalle2").folder, place / "dalle2")
    return place


@pytest.fixture(autouse=True)
def surroundings_of_a_person(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`dalle2` is shipped, the folder holds two pictures and a mask."""
    monkeypatch.setattr(bundles, "SHIPPED", home)
    monkeypatch.chdir(tmp_path)
    picture(1).save("a.png")
    picture(2).save("b.png")
    mask = Image.new("L", (16, 16), 0)
    mask.paste(255, (4, 4, 9, 11))
    mask.save("mask.png")


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (
            ["vary", "a.png", "--n", "2", "--seed", "3", "--steps", "2"],
            ["3-like-a.png", "4-like-a.png", "3-like-a-strip.png"],
        ),
        (
            ["blend", "a.png", "b.png", "--frames", "3", "--steps", "2"],
            ["0-a-to-b-00.png", "0-a-to-b-01.png", "0-a-to-b-02.png", "0-a-to-b-strip.png", "0-a-to-b.gif"],
        ),
        (
            "textdiff a.png --source red --target green --frames 2 --steps 2".split(),
            ["0-a-to-green-00.png", "0-a-to-green-01.png", "0-a-to-green-strip.png", "0-a-to-green.gif"],
        ),
        (["inpaint", "a.png", "mask.png", "a dog", "--seed", "1"], ["1-a-dog.png", "1-a-dog-strip.png"]),
        (
            ["probe", "a.png", "--components", "2,12", "--seed", "1"],
            ["1-a-from-components-02.png", "1-a-from-components-12.png", "1-a-from-components-strip.png"],
        ),
        (
            ["probe", "a.png", "--components", "2,12", "--seed", "1", "--n", "2"],
            [f"{seed}-a-from-components-{count}.png" for seed in (1, 2) for count in ("02", "12")]
            + ["1-a-from-components-strip.png"],
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_frames_and_a_strip(arguments: list[str], names: list[str], capsys: Capture):
    """Issue 4: each writes a strip or a GIF as well as the frames, and prints every path."""
    assert main(arguments) == 0, capsys.readouterr().err
    assert capsys.readouterr().out.splitlines() == [f"out/{name}" for name in names]
    for name in names:
        with Image.open(Path("out") / name) as image:
            assert min(image.size) >= 16
            assert getattr(image, "n_frames", 1) >= 2 or not name.endswith(".gif")
    assert main(arguments) == 0, "a second time beside the first"
    assert len(list(Path("out").iterdir())) == 2 * len(names)


def test_the_options_of_every_drawing_command(capsys: Capture):
    """DESIGN 4: scripts give each of them the same options, also where frames are what is counted."""
    options = ["--model", "dalle2", "--n", "2", "--seed", "4", "--size", "16x16", "--steps", "1"]
    options += ["--guidance", "1", "--device", "cpu", "--dtype", "float32", "--out", "o", "--json"]
    picture(1).resize((10, 10)).save("small.png")
    for start in (
        ["generate", "a dog"],
        ["vary", "a.png"],
        ["blend", "a.png", "b.png"],
        ["textdiff", "a.png", "--source", "red", "--target", "green"],
        ["inpaint", "a.png", "mask.png", "a dog"],
        ["outpaint", "small.png", "a dog"],
        ["probe", "a.png", "--components", "12"],
    ):
        assert main([*start, *options]) == 0, (start, capsys.readouterr().err)
        rows = json.loads(capsys.readouterr().out)
        assert len(rows) == 2 and rows[0]["seed"] == 4 and rows[0]["size"] == "16x16", start


def test_json_has_the_shape_of_generate(capsys: Capture):
    """Scripts read the frames; the strip is beside them."""
    assert main(["blend", "a.png", "b.png", "--frames", "2", "--steps", "1", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [Path(row["path"]).name for row in rows] == ["0-a-to-b-00.png", "0-a-to-b-01.png"]
    assert set(rows[0]) == {"path", "seed", "prompt", "revised_prompt", "size", "seconds"}


def test_inpaint_and_outpaint_keep_pixels(capsys: Capture):
    """With a mask, with transparency, beyond the edges."""
    picture(1).resize((10, 10)).save("small.png")
    assert main(["outpaint", "small.png", "a dog", "--to", "16x16", "--anchor", "top", "--seed", "1"]) == 0
    drawn = np.array(open_image("out/1-a-dog.png"))
    assert (drawn[:10, 3:13] == np.array(open_image("small.png"))).all()
    image = picture(1)
    mask = open_image("mask.png").convert("L")
    image.putalpha(mask.point(lambda value: 255 - value))
    image.save("holed.png")
    assert main(["inpaint", "holed.png", "a dog", "--seed", "2"]) == 0
    drawn, keep = np.array(open_image("out/2-a-dog.png")), np.array(mask) == 0
    assert (drawn[keep] == np.array(picture(1))[keep]).all()


def test_generate_with_each_prior(capsys: Capture):
    """--prior diffusion|ar|none, told in the recipe."""
    for prior in ("diffusion", "ar", "none"):
        arguments = ["generate", "red dog", "--model", "dalle2", "--seed", "1", "--prior", prior]
        assert main([*arguments, "--out", prior]) == 0
    drawn = {prior: Path(prior, "1-red-dog.png").read_bytes() for prior in ("diffusion", "ar", "none")}
    assert len(set(drawn.values())) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["vary", "nothing.png"], "nothing.png: no such file"),
        (["vary", "a.png", "--eta", "2"], "eta is 2.0"),
        (["vary", "a.png", "--steps", "0"], "steps is 0"),
        (["vary", "a.png", "--size", "32x32"], "does not draw 32x32"),
        (["blend", "a.png", "b.png", "--frames", "1"], "frames is 1"),
        (["textdiff", "a.png", "--source", "x"], "--target"),
        (["textdiff", "a.png", "--source", "", "--target", "x"], "prompt is empty"),
        (["textdiff", "a.png", "--source", "a", "--target", "b", "--strength", "2"], "strength is 2.0"),
        (["inpaint", "a.png", "mask.png", "a", "dog"], "quote the prompt"),
        (["inpaint", "a.png", "a dog"], "no mask given"),
        (["inpaint", "a.png", "nothing.png", "a dog"], "nothing.png: no such file"),
        (["outpaint", "a.png", "a dog"], "--to"),
        (["outpaint", "a.png", "a dog", "--to", "big"], "WIDTHxHEIGHT"),
        (["outpaint", "a.png", "a dog", "--to", "16x16", "--anchor", "centre"], "Did you mean 'center'"),
        (["probe", "a.png", "--components", "two"], "whole numbers, as in 20,40,80"),
        (["probe", "a.png", "--components", "99"], "the embedding has 12"),
        (["complete", "a.png", "x", "--model", "dalle2"], "cannot do complete: dalle1 can"),
    ],
    ids=lambda value: "-".join(value)[:40] if isinstance(value, list) else "",
)
def test_mistakes_are_one_line(arguments: list[str], words: str, capsys: Capture):
    """One line, exit 2, and no picture."""
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: ") and said.err.count("\n") == 1
    assert words in said.err
    assert not Path("out").exists() or not list(Path("out").iterdir())
