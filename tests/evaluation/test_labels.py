"""Labels by eye: which pictures, how they are kept, and how agreement is counted."""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from armchair.core.errors import BadInput
from armchair.core.images import to_image
from armchair.evaluation.labels import (
    Labelled,
    Labels,
    agreement,
    known_labels,
    pack,
    read_labels,
    selection,
    unpack,
)
from armchair.evaluation.prompts import STRATA, load_prompts
from armchair.evaluation.scenes import compose, pictures
from tests.evaluation.worlds import ART, Knowing, another, reading

PROMPTS = load_prompts()


def test_which_pictures():
    """Two hundred: 25 a task, both languages and all seeds alike, none twice, all of the benchmark."""
    rows = list(selection(PROMPTS.prompts))
    assert Counter(p.stratum for p, _, _ in rows) == dict.fromkeys(STRATA, 25)
    assert len({(p.id, language, seed) for p, language, seed in rows}) == 200
    assert all(90 <= count <= 110 for count in Counter(language for _, language, _ in rows).values())
    assert all(40 <= count <= 60 for count in Counter(seed for _, _, seed in rows).values())
    for stratum in STRATA:  # seeds and languages do not go together
        pairs = {(language, seed) for p, language, seed in rows if p.stratum == stratum}
        assert len(pairs) == 8


def test_sheet():
    """What comes out is what went in, but for WebP; too few rows are told."""
    images = [Image.new("RGB", (64, 64), (i * 5, 200, 100)) for i in range(45)]
    sheet = pack(images)
    back = unpack(sheet, 45)
    for a, b in zip(images, back, strict=True):
        assert np.abs(np.array(a, float) - np.array(b, float)).mean() < 3
    with pytest.raises(BadInput, match="does not hold 61"):
        unpack(sheet, 61)


def labels(rights: list[bool | None], seen: list[bool]) -> tuple[Knowing, tuple[Labels, list[Image.Image]]]:
    """A judge that finds the pictures right or not as `seen` says, and a person who says `rights`."""
    judge, rows, images = Knowing(), [], []
    for i, (right, found) in enumerate(zip(rights, seen, strict=True)):
        prompt = PROMPTS.prompts[i]
        scene = compose(prompt if found else another(prompt), 1)
        image = pictures([scene], 64, ART)
        judge.show(image, [scene])
        images.append(to_image(image[0]))
        rows.append(Labelled(prompt=prompt.id, language="en", seed=1, right=right))
    return judge, (Labels(system="toy", sha256="", prompts=PROMPTS.version, pictures=tuple(rows)), images)


def test_agreement():
    """Eight of ten alike; by chance alone half would be: kappa 0.6. What nobody looked at is left out."""
    person = [True] * 5 + [False] * 5 + [None]
    judge = [True] * 4 + [False] + [True] + [False] * 4 + [True]
    values = agreement(*labels(person, judge))  # type: ignore[arg-type]
    value = values["agrees with people: toy"]
    assert (value.value, value.n) == (0.8, 10) and value.interval is not None
    assert values["kappa with people: toy"].value == pytest.approx(0.6)
    assert values["right by eye: toy"].value == values["right by the judge: toy"].value == 0.5
    assert agreement(*labels([None], [True])) == {}  # type: ignore[arg-type]


def test_files(tmp_path: Path):
    """Written and read again; a damaged file is named."""
    _, (made, images) = labels([True, False], [True, True])
    made.save(tmp_path, pack(images))
    again, back = read_labels(tmp_path, "toy")
    assert again == made and [image.size for image in back] == [(64, 64)] * 2
    assert json.loads((tmp_path / "toy.json").read_text())["pictures"][1]["right"] is False
    (tmp_path / "toy.json").write_text("[")
    with pytest.raises(BadInput, match=r"toy\.json is damaged"):
        read_labels(tmp_path, "toy")


def test_what_is_committed():
    """Labels that ship are of these prompts, whole, and their sheet holds every picture."""
    prompts = {p.id for p in PROMPTS.prompts}
    for found, images in known_labels():
        assert found.prompts == PROMPTS.version and len(images) == len(found.pictures) == 200
        assert {row.prompt for row in found.pictures} <= prompts
        assert all(row.right is not None for row in found.pictures)


def test_reading_stands_for_a_judge():
    """The stand-in reads what it was shown: without that, all of the above would pass by accident."""
    scene = compose(PROMPTS.prompts[0], 1)
    judge = Knowing()
    judge.show(pictures([scene], 64, ART), [scene])
    assert judge.read(pictures([scene], 64, ART)) == [reading(scene)]


def test_numbers_of_the_script():
    """A range read wrongly would label the neighbours of the right pictures."""
    path = Path(__file__).parents[2] / "scripts" / "labels.py"
    spec = importlib.util.spec_from_file_location("labels_script", path)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.numbers("0-3, 7", 10) == {0, 1, 2, 3, 7}
    with pytest.raises(SystemExit, match="0 to 9, not 12"):
        script.numbers("3,12", 10)
